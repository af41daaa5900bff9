"""What a walk tells whoever watches."""

from __future__ import annotations

import logging
from typing import Protocol

_LOG = logging.getLogger("pythia_geometry")


class Progress(Protocol):
    """What a walk tells whoever watches."""

    def stage(self, checkpoint: str, stage: str) -> None:
        """Work on a checkpoint enters a stage: load, a probe's name, compare, write."""
        ...

    def finished(self, checkpoint: str, detail: str) -> None:
        """A checkpoint is done; `detail` says why where it could not be used."""
        ...

    def damaged(self, file: str, why: str) -> None:
        """A file of the run folder is not what was written there; what it held is computed again where asked for."""
        ...

    def lost(self, checkpoint: str, count: int) -> None:
        """So many pieces of work that a checkpoint once had are gone, and this walk did not compute them again."""
        ...


class Silent:
    """Nobody watches; only damage is said, by Python's own log."""

    def stage(self, checkpoint: str, stage: str) -> None:
        """Says nothing."""

    def finished(self, checkpoint: str, detail: str) -> None:
        """Says nothing."""

    def damaged(self, file: str, why: str) -> None:
        """Says it."""
        _LOG.warning("%s", damaged_line(file, why))

    def lost(self, checkpoint: str, count: int) -> None:
        """Says it."""
        _LOG.warning("%s", lost_line(checkpoint, count))


def damaged_line(file: str, why: str) -> str:
    """One line about a damaged file."""
    return f"{file}: {why}"


def lost_line(checkpoint: str, count: int) -> str:
    """One line about work that is gone."""
    return (
        f"{checkpoint}: {count} pieces of work that were finished once are gone, and this command does not ask for "
        "them. Type the command that made them again"
    )

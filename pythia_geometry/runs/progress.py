"""What a walk tells whoever watches."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a walk tells whoever watches."""

    def stage(self, checkpoint: str, stage: str) -> None:
        """Work on a checkpoint enters a stage: load, a probe's name, compare, write."""
        ...

    def finished(self, checkpoint: str, detail: str) -> None:
        """A checkpoint is done; `detail` says why where it could not be used."""
        ...


class Silent:
    """Nobody watches."""

    def stage(self, checkpoint: str, stage: str) -> None:
        """Says nothing."""

    def finished(self, checkpoint: str, detail: str) -> None:
        """Says nothing."""

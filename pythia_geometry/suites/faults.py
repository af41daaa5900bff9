"""A published fault of a run: some of its steps are not what they are called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A published fault of served checkpoints: where, what, and who says so.

    Attributes:
        run: The run's name.
        what: What is wrong, after the words "a step".
        source: Who says so.
        steps: Which steps; empty where it is the whole run.
        shared: Whether it is that these steps serve one file: then a second of them shows the fault.
        in_listing: Whether the file listing shows it; else only the weights do.
    """

    run: str
    what: str
    source: str
    steps: tuple[int, ...] = ()
    shared: bool = False
    in_listing: bool = True

    @property
    def told(self) -> str:
        """The fault in one line, with its source."""
        at = f" at {len(self.steps)} steps" if self.steps else ""
        return f"{self.what}{at} ({self.source})"

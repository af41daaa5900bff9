"""What a user is told when something is wrong, and the exit code that goes with it.

Every message says what was wrong, what was expected, and what to type next. The command line
prints it without a traceback. Exit codes are documented in docs/errors.md.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_UNEXPECTED = 1
EXIT_USER = 2
EXIT_GAPS = 3
EXIT_MACHINE = 4
EXIT_INTERRUPTED = 130
EXIT_UNHEARD = 141
EXIT_TERMINATED = 143


class PythiaGeometryError(Exception):
    """A mistake that the user can mend: an unknown name, a malformed file, an empty selection."""

    exit_code = EXIT_USER


class MachineError(PythiaGeometryError):
    """The machine stopped the run: no network, a full disk, a folder that cannot be written."""

    exit_code = EXIT_MACHINE


class DamagedError(PythiaGeometryError):
    """A file of a run folder does not hold what was written there. A walk computes its content again."""


class OutputClosedError(PythiaGeometryError):
    """Whoever read the output, such as `head`, has gone."""

    exit_code = EXIT_UNHEARD


class CheckpointError(PythiaGeometryError):
    """One checkpoint cannot be used. A walk turns it into a row and goes on.

    Attributes:
        status: What the `checkpoints` table records: missing, corrupt or failed.
    """

    exit_code = EXIT_GAPS

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[CheckpointError], tuple[str, str]]:
        """How it travels from the process in which it arose."""
        return type(self), (str(self), self.status)

"""How this package writes: under another name first, one process at a time, and a full disk said in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pythia_geometry.errors import MachineError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Says in the user's words that a folder cannot be written.

    Raises:
        MachineError: If the disk is full, read-only or forbidden.
    """
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"Cannot write to {path}: {error.strerror or error}. What was finished is kept; free some space or "
            "pass another --out (or --activations none), and type the same command again"
        ) from error


def lock(stream: IO[str], path: Path, what: str) -> None:
    """Holds a folder's lock file until the stream is closed.

    Raises:
        MachineError: If another process holds it.
    """
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise MachineError(f"Another {what} is writing to {path}. Wait for it, or pass another --out") from error
    except OSError as error:
        raise MachineError(
            f"{path} lies on a file system without locks ({error.strerror}): two processes could write it at once. "
            "Mount it with them (Lustre: -o flock), or pass an --out on another disk"
        ) from error

"""How this package writes: under another name first, one process at a time, and a full disk said in plain words.

Bytes are on the disk before their name is (`fsync`), so that a power cut leaves the old file or the new one, as a kill
does. Renames become lasting together with the next bytes, in one wait: each wait costs milliseconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pythia_geometry.errors import MachineError

_renamed: set[Path] = set()
"""Folders in which something was renamed and that have not been synced since."""


def sync(paths: Sequence[Path] = ()) -> None:
    """Waits until some files and all renames so far would survive a power cut; all in one wait.

    Raises:
        OSError: If the disk gives out.
    """
    every = [*paths, *_renamed]
    _renamed.clear()
    if every:
        with ThreadPoolExecutor(len(every)) as pool:
            list(pool.map(_sync_one, every))


def _sync_one(path: Path) -> None:
    is_folder = path.is_dir()
    with suppress(FileNotFoundError):  # a folder that was removed since
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError:
            if not is_folder:  # network file systems may refuse to sync a folder
                raise
        finally:
            os.close(descriptor)


def renamed(path: Path, target: Path) -> None:
    """Renames a file or folder whose bytes are synced already."""
    path.rename(target)
    _renamed.update({path.parent, target.parent})


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        yield temporary
        sync([temporary])
        temporary.replace(path)
        _renamed.add(path.parent)
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

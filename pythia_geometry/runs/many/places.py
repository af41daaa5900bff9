"""Places on a machine's disk for tasks that know nothing of each other and may be killed at any moment.

    TMPDIR/pythia-geometry-1000/6f1c20b9d1aa-0/      the first place of a walk
    TMPDIR/pythia-geometry-1000/6f1c20b9d1aa-1/      the second

A process holds a place by a lock on its folder, which the system takes back however the process ends. So a walk has at
most as many tasks with weights on one machine as places, and what a killed one has left is known by its free lock.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pythia_geometry.errors import MachineError

PATIENCE = 3.0
"""Seconds that a process which was killed may take to be gone."""


@contextmanager
def place(walk: str, count: int) -> Iterator[Path]:
    """An empty folder of this process's own, removed afterwards; waits for one of the walk's places.

    First removes what killed tasks of any walk have left on this machine.

    Args:
        walk: Name of the walk.
        count: How many places it has on a machine.

    Raises:
        MachineError: If the temporary folder belongs to somebody else.
    """
    home = _home()
    for left in list(home.iterdir()):
        _remove_if_free(left)
    path, descriptor = _first_free([home / f"{walk}-{i}" for i in range(count)])
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def sweep(walk: str) -> None:
    """Removes the walk's places on this machine once nobody holds them; gives up after some seconds."""
    deadline = time.monotonic() + PATIENCE
    while left := [path for path in _home().glob(f"{walk}-*") if not _remove_if_free(path)]:
        if time.monotonic() > deadline:
            return
        time.sleep(0.05 * len(left))


def _home() -> Path:
    """One folder for all walks of this user, which no other user can have prepared."""
    path = Path(tempfile.gettempdir()) / f"pythia-geometry-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid != os.getuid():
        raise MachineError(f"{path} belongs to somebody else. Point TMPDIR to a folder of your own")
    return path


def _first_free(paths: list[Path]) -> tuple[Path, int]:
    while True:
        for path in paths:
            if (descriptor := _hold(path)) is not None:
                return path, descriptor
        time.sleep(0.1)


def _hold(path: Path) -> int | None:
    """The open lock on a folder, which is made where it is missing; None where another process holds it."""
    import fcntl

    try:
        path.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY)
    except (FileExistsError, FileNotFoundError):  # removed at this moment; pathlib says either
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino == path.stat().st_ino:  # else its last holder has removed it meanwhile
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _remove_if_free(path: Path) -> bool:
    descriptor = _hold(path)
    if descriptor is None:
        return False
    shutil.rmtree(path, ignore_errors=True)
    os.close(descriptor)
    return True

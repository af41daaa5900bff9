"""Weight files ahead of the walk: the next checkpoints download while the current one computes.

One thread fetches in the order of the walk. How far it looks ahead is decided by the disk budget: before each
download room is made for the whole of it, by removing what the walk needs last, and if only things that are
needed sooner could go, the thread waits. Removed is only what a walk made: files at the top of the folders in the run's
own `downloads` folder that bear a checkpoint's name. Anything else that lies there stays, and so does the folder then.

A file stays until the walk asks for the next one, so that a kill in the middle of a checkpoint costs no
download; only the very next checkpoint may take its place earlier.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pythia_geometry.errors import CheckpointError
from pythia_geometry.runs.fetching.ahead import Ahead, Wanted
from pythia_geometry.runs.fetching.disk import too_little
from pythia_geometry.suites.checkpoint import CORRUPT

_MADE = re.compile(r"[0-9a-f]{64}|[\w.\-]+@[\w.=\-]+")
"""What a walk calls its folders: the weights' sha256, or the checkpoint where that is not known."""

AHEAD = 8
"""Checkpoints that wait ready at most, also where they take no room."""


class Fetcher(Ahead[Path]):
    """Hands out the folder of one checkpoint's weight files after the other."""

    def __init__(self, wanted: Sequence[Wanted], folder: Path, budget: int) -> None:
        """Plans; fetches nothing yet.

        Args:
            wanted: What the walk will ask for, in its order. It may ask for others, or in another order.
            folder: Where downloads go; nothing else may lie there.
            budget: Bytes that may lie there at any time.
        """
        super().__init__(wanted)
        self.folder = folder
        self.budget = budget
        self._held: dict[str, int] = {}  # bytes set aside in the folder, by name

    def _begin(self) -> None:
        """Takes over what a stopped walk left, as far as it is wanted and fits; removes the rest."""
        left = {path.name for path in made_here(self.folder)}
        for wanted in self._queue:
            if wanted.name in left and wanted.name not in self._held and self._free() >= wanted.cost > 0:
                self._held[wanted.name] = wanted.cost
        for name in left - set(self._held):
            remove_made(self.folder / name)

    def _end(self, was_stopped: bool) -> None:
        """A walk that was stopped keeps what it has fetched, for the next one."""
        if not was_stopped:
            empty_downloads(self.folder)

    def _free(self) -> int:
        return self.budget - sum(self._held.values())

    def _leave(self) -> None:
        """Removes the files of the checkpoint that is done, unless a later one holds the same weights."""
        if self._current is not None and all(w.name != self._current.name for w in self._queue):
            self._remove(self._current.name)
        self._current = None

    def _remove(self, name: str) -> None:
        self._ready.pop(name, None)
        self._held.pop(name, None)
        remove_made(self.folder / name)

    def _rank(self, name: str) -> float:
        """How soon something is needed: what is being read, the next one, what has been read, those after."""
        ranks = [float(rank) for rank, wanted in enumerate(self._queue) if wanted.name == name]
        if self._current is not None and self._current.name == name:
            ranks.append(0.5 if self._is_loaded else -1.0)
        return min(ranks, default=float("inf"))

    def _next(self) -> Wanted | None:
        """What to fetch now; None where the walk must go on first. Looks no further than a fault."""
        for rank, wanted in enumerate(self._queue[:AHEAD]):
            found = self._ready.get(wanted.name)
            if isinstance(found, Exception):
                return None
            if found is None:
                return wanted if self._make_room(wanted, rank) else None
        return None

    def _make_room(self, wanted: Wanted, rank: int) -> bool:
        """Sets bytes aside, after removing what is needed later; False where there is not enough of that."""
        cost = wanted.cost
        self._held.pop(wanted.name, None)
        while self._free() < cost and self._held:
            last = max(self._held, key=self._rank)
            if self._rank(last) <= rank:
                return False
            self._remove(last)
        self._held[wanted.name] = cost
        return True

    def _keep(self, wanted: Wanted, found: Path | Exception) -> None:
        if found != self.folder / wanted.name:
            self._remove(wanted.name)
        super()._keep(wanted, found)

    def _fetch(self, wanted: Wanted) -> Path:
        if self._held[wanted.name] and not _MADE.fullmatch(wanted.name):  # a server does not choose where it goes
            raise CheckpointError(f"{wanted.checkpoint.label} has weights called {wanted.name[:60]!r}", CORRUPT)
        cost = self._held[wanted.name]
        if cost > self.budget:
            raise too_little(self.budget, wanted.checkpoint.label, cost)
        return wanted.suite.fetch(wanted.checkpoint, self.folder / wanted.name, self._stop)


def made_here(downloads: Path) -> list[Path]:
    """The folders that walks have made in a `downloads` folder, by their names."""
    if not downloads.is_dir() or downloads.is_symlink():
        return []
    return [path for path in downloads.iterdir() if _MADE.fullmatch(path.name) and not path.is_symlink()]


def remove_made(folder: Path) -> None:
    """Removes one of those: its files, and then the folder if nothing else is in it."""
    if folder.is_symlink() or not folder.is_dir() or not _MADE.fullmatch(folder.name):
        return
    for path in folder.iterdir():
        if path.is_file() or path.is_symlink():
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def empty_downloads(downloads: Path) -> None:
    """Removes what walks have made in a `downloads` folder, and it too if nothing else is in it."""
    for folder in made_here(downloads):
        remove_made(folder)
    with suppress(OSError):
        downloads.rmdir()

"""Weights ahead of the walk: the next checkpoints download while the current one computes.

One thread fetches in the order of the walk. How far it looks ahead is decided by the disk budget: before each
download room is made for the whole of it, by removing what the walk needs last, and if only things that are
needed sooner could go, the thread waits. Removed is only what lies in the run's own `downloads` folder.

A file stays until the walk asks for the next one, so that a kill in the middle of a checkpoint costs no
download; only the very next checkpoint may take its place earlier.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from threading import Condition, Event, Thread
from types import TracebackType
from typing import NamedTuple

from pythia_geometry.runs.disk import too_little
from pythia_geometry.suites.checkpoint import Checkpoint, Stopped, Suite

AHEAD = 8
"""Checkpoints that wait ready at most, also where they take no room."""


class Wanted(NamedTuple):
    """A checkpoint to open, and where it comes from."""

    suite: Suite
    checkpoint: Checkpoint

    @property
    def name(self) -> str:
        """Name of its folder: one for all checkpoints that hold the same weights."""
        return self.checkpoint.weight_sha256[:32] or self.checkpoint.label

    @property
    def cost(self) -> int:
        """Bytes that it takes on the disk."""
        return self.suite.bytes_to_download(self.checkpoint)


class Fetcher:
    """Hands out the weights of one checkpoint after the other, most of them before they are asked for."""

    def __init__(self, wanted: Sequence[Wanted], folder: Path, budget: int) -> None:
        """Plans; fetches nothing yet.

        Args:
            wanted: What the walk will ask for, in its order. It may ask for others, or in another order.
            folder: Where downloads go; nothing else may lie there.
            budget: Bytes that may lie there at any time.
        """
        self.folder = folder
        self.budget = budget
        self._queue = list(wanted)
        self._current: Wanted | None = None
        self._is_loaded = False
        self._held: dict[str, int] = {}  # bytes set aside in the folder, by name
        self._ready: dict[str, Path | Exception] = {}
        self._fault: Exception | None = None
        self._stop = Event()
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="fetch", daemon=True)

    def __enter__(self) -> Fetcher:
        self._keep_leftovers()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the thread; a walk that was stopped keeps what it has fetched, for the next one."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def get(self, suite: Suite, checkpoint: Checkpoint) -> Path:
        """The folder of a checkpoint's weights; waits for them. Ends the use of the one before.

        Raises:
            CheckpointError: If they cannot be had, or are not what the Hub lists.
            PythiaGeometryError: If they are larger than the budget.
            OSError: If the disk gives out.
        """
        asked = Wanted(suite, checkpoint)
        with self._changed:
            self._leave()
            self._queue = [asked, *(w for w in self._queue if w.checkpoint is not checkpoint)]
            self._changed.notify_all()
            self._changed.wait_for(lambda: asked.name in self._ready or self._fault is not None)
            if self._fault is not None:
                raise self._fault
            self._queue.pop(0)
            found = self._ready[asked.name]
            if isinstance(found, Exception):
                del self._ready[asked.name]
                raise found
            self._current, self._is_loaded = asked, False
            return found

    def loaded(self) -> None:
        """Says that the weights are in memory: from now on their files may make room for the next."""
        with self._changed:
            self._is_loaded = True
            self._changed.notify_all()

    # -- under the lock, or before the thread starts -------------------------------------------------

    def _keep_leftovers(self) -> None:
        """Takes over what a stopped walk left, as far as it is wanted and fits; removes the rest."""
        left = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
        for wanted in self._queue:
            if wanted.name in left and wanted.name not in self._held and self._free() >= wanted.cost > 0:
                self._held[wanted.name] = wanted.cost
        for name in left - set(self._held):
            shutil.rmtree(self.folder / name, ignore_errors=True)

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
        shutil.rmtree(self.folder / name, ignore_errors=True)

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

    # -- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (wanted := self._turn()) is not None:
                found = self._fetch(wanted)
                with self._changed:
                    if found != self.folder / wanted.name:
                        self._remove(wanted.name)
                    self._ready[wanted.name] = found
                    self._changed.notify_all()
        except Stopped:
            return
        except Exception as error:  # would otherwise leave the walk waiting for ever
            with self._changed:
                self._fault = error
                self._changed.notify_all()

    def _turn(self) -> Wanted | None:
        """Waits until there is something to fetch; None at the end."""
        with self._changed:
            while not self._stop.is_set():
                if (wanted := self._next()) is not None:
                    return wanted
                self._changed.wait()
        return None

    def _fetch(self, wanted: Wanted) -> Path | Exception:
        """The folder, or the error that `get` will raise in the walk's own thread."""
        cost = self._held[wanted.name]
        if cost > self.budget:
            return too_little(self.budget, wanted.checkpoint.label, cost)
        try:
            return wanted.suite.fetch(wanted.checkpoint, self.folder / wanted.name, self._stop)
        except Stopped:
            raise
        except Exception as error:
            return error

"""One thread that gets ready what the walk will ask for next, and hands it over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from threading import Condition, Event, Thread
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar

from pythia_geometry.suites.checkpoint import Checkpoint, Stopped
from pythia_geometry.suites.suite import Suite

T = TypeVar("T")
"""What weights are handed over as."""


class Wanted(NamedTuple):
    """A checkpoint to open, and where it comes from."""

    suite: Suite
    checkpoint: Checkpoint

    @property
    def name(self) -> str:
        """One name for all checkpoints that hold the same weights."""
        return self.checkpoint.weights

    @property
    def cost(self) -> int:
        """Bytes that it takes on the disk."""
        return self.suite.bytes_to_download(self.checkpoint)


class Ahead(ABC, Generic[T]):
    """Hands out the weights of one checkpoint after the other, most of them before they are asked for.

    What is fetched when, and where it lies, is said by the children. A fault found ahead is raised where its
    checkpoint is asked for.
    """

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        """Plans; fetches nothing yet.

        Args:
            wanted: What the walk will ask for, in its order. It may ask for others, or in another order.
        """
        self._queue = list(wanted)
        self._current: Wanted | None = None
        self._is_loaded = False
        self._ready: dict[str, T | Exception] = {}
        self._fault: Exception | None = None
        self._stop = Event()
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="fetch", daemon=True)

    def __enter__(self) -> Self:
        self._begin()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the thread."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()
        self._end(was_stopped=kind is not None)

    def get(self, suite: Suite, checkpoint: Checkpoint) -> T:
        """The weights of a checkpoint; waits for them. Ends the use of the one before.

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
        """Says that the weights are in the model: from now on their room may be the next one's."""
        with self._changed:
            self._is_loaded = True
            self._changed.notify_all()

    # -- what the children say; under the lock but for `_fetch` -----------------------------------------

    def _begin(self) -> None:
        """Before the thread starts."""

    def _end(self, was_stopped: bool) -> None:
        """After the thread has ended."""

    @abstractmethod
    def _leave(self) -> None:
        """Ends the use of the current checkpoint."""

    @abstractmethod
    def _next(self) -> Wanted | None:
        """What to fetch now; None where the walk must go on first."""

    @abstractmethod
    def _fetch(self, wanted: Wanted) -> T:
        """Fetches, in the thread and without the lock; raises what `get` shall raise."""

    def _keep(self, wanted: Wanted, found: T | Exception) -> None:
        """Puts what was fetched where `get` finds it."""
        self._ready[wanted.name] = found

    # -- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (wanted := self._turn()) is not None:
                found = self._tried(wanted)
                with self._changed:
                    self._keep(wanted, found)
                    self._changed.notify_all()
                del found
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

    def _tried(self, wanted: Wanted) -> T | Exception:
        """The weights, or the error that `get` will raise in the walk's own thread."""
        try:
            return self._fetch(wanted)
        except Stopped:
            raise
        except Exception as error:
            return error

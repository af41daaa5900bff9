"""The base model's weights ahead of the walk, in memory and never on the disk.

There is one buffer. While the model computes with what was copied out of it, the next checkpoint's span streams in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from pythia_geometry.errors import CheckpointError, MachineError
from pythia_geometry.extraction.loading.base_spans import places_in_memory, tensors_in
from pythia_geometry.runs.fetching.ahead import Ahead, Wanted
from pythia_geometry.runs.fetching.span_source import SpanSource


class SpanFetcher(Ahead[Path | Mapping[str, Tensor]]):
    """Hands out the base model's tensors of one checkpoint after the other, by their names in the files.

    They share the buffer's memory, so they are the checkpoint's only until `loaded`. A checkpoint that the user's Hub
    cache holds is handed out as its folder, checked as ever.
    """

    def __init__(self, wanted: Sequence[Wanted], sources: Mapping[str, SpanSource]) -> None:
        """Plans; fetches nothing yet.

        Args:
            wanted: What the walk will ask for, in its order.
            sources: By the run's name, where its spans lie.
        """
        super().__init__(wanted)
        self._sources = sources
        self._buffer = bytearray()
        for wanted_one in self._queue:
            with suppress(CheckpointError):  # said where its turn comes
                sources[wanted_one.checkpoint.run].names(wanted_one.checkpoint)  # here, before there are two threads

    def _leave(self) -> None:
        self._current = None

    def _next(self) -> Wanted | None:
        """The next checkpoint once the buffer is free; nothing where it holds the same weights already."""
        is_in_use = self._current is not None and not self._is_loaded
        if is_in_use or not self._queue or self._queue[0].name in self._ready:
            return None
        self._ready.clear()
        return self._queue[0]

    def _fetch(self, wanted: Wanted) -> Path | Mapping[str, Tensor]:
        checkpoint = wanted.checkpoint
        source = self._sources[checkpoint.run]
        if (here := source.fetch_cached(checkpoint)) is not None:
            return here
        spans, files = source.find(checkpoint, self._stop)
        starts, size = places_in_memory(spans)
        self._make_room(checkpoint.label, size)
        memory = memoryview(self._buffer)
        for at, span in zip(starts, spans, strict=True):
            files[span.file].read_into(span.start, memory[at : at + span.size], self._stop)
        return tensors_in(self._buffer, spans)

    def _make_room(self, label: str, size: int) -> None:
        if size <= len(self._buffer):
            return
        self._buffer = bytearray()  # the old one goes first: never two at once
        try:
            self._buffer = bytearray(size)
        except MemoryError as error:
            raise MachineError(
                f"{label}: --fetch ranges holds {size / 1e9:.1f} GB of weights in memory, which this machine does not "
                "have. Type the same command without it: files are read from the disk"
            ) from error

"""The walk over one training run: forward passes, measures, comparisons.

The last step goes first, because every other one is compared with it; the rest follow in order. While one
probe runs through the model, other threads measure those before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.errors import CheckpointError
from pythia_geometry.extraction.capture import Answers, capture, check_head
from pythia_geometry.extraction.encoding import EncodedProbe
from pythia_geometry.extraction.models import SuiteModel
from pythia_geometry.runs.fetching.ahead import Wanted
from pythia_geometry.runs.fetching.files import Fetcher
from pythia_geometry.runs.fetching.spans import SpanFetcher
from pythia_geometry.runs.ledger import Ledger, LostActivationsError, Measured
from pythia_geometry.runs.request import FILES
from pythia_geometry.runs.rows import Row, answer_rows, behaviour_rows, headless_id, measure_id, measure_layers
from pythia_geometry.runs.steps_beside import compare
from pythia_geometry.store.activations import FLOAT16_MAX
from pythia_geometry.store.writing import disk_errors
from pythia_geometry.suites.checkpoint import Checkpoint

MEASURING_THREADS = 8
"""Most threads that measure beside a GPU."""

Elsewhere = Mapping[str, CheckpointError | None]
"""What other machines have tried, by the checkpoint's label: why it cannot be used, or None where it could."""

UNREAD = "not read: --fetch ranges leaves out the output head"


@dataclass
class RunWalk:
    """The walk over one training run.

    Attributes:
        ledger: Where it is written.
        measurer: The threads that measure.
        fetcher: Hands out the weights.
        model: The model; built when it is first needed.
        elsewhere: What need not be tried here, and was already shown as finished.
        head_checked: Whether the output head was found to give the model's logits.
        in_part: Whether the weights in the model came in part, so that their sha256 could not be checked.
    """

    ledger: Ledger
    measurer: ThreadPoolExecutor
    fetcher: Fetcher | SpanFetcher | None = None
    model: SuiteModel | None = None
    elsewhere: Elsewhere = field(default_factory=dict)
    head_checked: bool = False
    in_part: bool = False

    @property
    def has_head(self) -> bool:
        """Whether answers are scored."""
        return self.ledger.request.fetch == FILES

    def wanted(self) -> list[Wanted]:
        """The checkpoints whose weights will be needed, in the order of the walk."""
        usable = self.ledger.run.usable
        order = (*usable[-1:], *usable[:-1])
        return [
            Wanted(self.ledger.run.suite, c)
            for c in order
            if self.elsewhere.get(c.label) is None and self.ledger.todo(c)
        ]

    def all(self, fetcher: Fetcher | SpanFetcher) -> None:
        """Walks the run's usable checkpoints and records the others."""
        self.fetcher = fetcher
        for gap in self.ledger.run.gaps:
            self.ledger.record(gap)
            self.ledger.progress.finished(gap.label, gap.detail)
        last, earlier = self._last_that_works()
        previous: Checkpoint | None = None
        for checkpoint in earlier:
            if self._one(checkpoint):
                self._compare(checkpoint, previous, last)
                self.ledger.forget(previous)
                previous = checkpoint
        if last is not None:
            self._compare(last, previous, last)
            self.ledger.forget(previous)
            self.ledger.forget(last)

    def _last_that_works(self) -> tuple[Checkpoint | None, list[Checkpoint]]:
        """Walks the last usable checkpoint; where it is broken, the one before it. And those still to walk."""
        remaining = self.ledger.run.usable
        while remaining:
            candidate = remaining.pop()
            if self._one(candidate):
                return candidate, remaining
        return None, []

    def _one(self, checkpoint: Checkpoint) -> bool:
        """Captures and measures one checkpoint; False where it cannot be used."""
        try:
            if (broken := self.elsewhere.get(checkpoint.label)) is not None:
                raise broken
            for _ in range(2):  # the second time where the file that the first one added to was damaged
                if todo := self.ledger.todo(checkpoint):
                    self.capture(checkpoint, todo)
            self._mended(partial(self._measure_cached, checkpoint))
        except CheckpointError as error:
            self.ledger.record(replace(checkpoint, status=error.status, detail=str(error)))
            self._finished(checkpoint, str(error))
            return False
        probes = [encoded.probe for encoded in self.ledger.run.probes]
        self.ledger.record(checkpoint, {self.ledger.question(p): self.ledger.current(checkpoint, p) for p in probes})
        self._finished(checkpoint, "")
        return True

    def _finished(self, checkpoint: Checkpoint, detail: str) -> None:
        if checkpoint.label not in self.elsewhere:
            self.ledger.progress.finished(checkpoint.label, detail)

    def _compare(self, checkpoint: Checkpoint, previous: Checkpoint | None, last: Checkpoint | None) -> None:
        comparing = partial(compare, self.ledger, checkpoint, {"previous": previous, "last": last})
        try:
            self._mended(comparing)
        except CheckpointError:  # neither activations nor weights: unknown, with that reason
            comparing()

    def _mended(self, reading: Callable[[], None]) -> None:
        """Does what reads cached activations; those that are damaged are made again first, of three files at most.

        Raises:
            CheckpointError: If the weights for that cannot be had any more.
        """
        for _ in range(3):
            try:
                return reading()
            except LostActivationsError as error:
                self.capture(error.checkpoint, self.ledger.run.probes)
        return reading()

    # -- forward passes ------------------------------------------------------------------------------

    def capture(self, checkpoint: Checkpoint, todo: Sequence[EncodedProbe]) -> None:
        """Runs probes through the model, measures, and commits all of it.

        Raises:
            CheckpointError: If the checkpoint cannot be had or used.
        """
        self._load(checkpoint)
        jobs = list(self._forward(checkpoint, todo))
        self.ledger.progress.stage(checkpoint.label, "write")
        arrays = {encoded.probe.name: half for encoded, _, half, _ in jobs}
        works = {e.probe.name: self.ledger.capture_id(checkpoint, e.probe) for e in todo}
        with disk_errors(self.ledger.folder.path):
            self.ledger.folder.add_activations(self.ledger.file(checkpoint), arrays, works)
        geometry: list[Row] = []
        behaviour: list[Row] = []
        answers: list[Row] = []
        ids: list[str] = []
        for encoded, given, _, future in jobs:
            rest = {**self.ledger.columns(checkpoint, encoded.probe), "precision": self.ledger.request.dtype}
            geometry += self.ledger.geometry_rows(future.result(), rest)
            if self.has_head:
                behaviour += behaviour_rows(given, encoded.probe, rest)
                answers += answer_rows(given, encoded.probe, rest)
                ids.append(self.ledger.capture_id(checkpoint, encoded.probe))
            else:
                ids.append(headless_id(checkpoint, encoded.probe, self.ledger.request, self.in_part))
                behaviour += behaviour_rows(given, encoded.probe, {**rest, "work": ids[-1]}, UNREAD)
            ids += self._measure_ids(checkpoint, encoded, self.ledger.request.chosen_measures)
        self.ledger.commit(checkpoint, ids, {"geometry": geometry, "behaviour": behaviour, "answers": answers})

    def _load(self, checkpoint: Checkpoint) -> None:
        assert self.fetcher is not None
        self.ledger.progress.stage(checkpoint.label, "fetch")
        with disk_errors(self.ledger.folder.path):
            weights = self.fetcher.get(self.ledger.run.suite, checkpoint)
        self.in_part = not isinstance(weights, Path)
        self.ledger.progress.stage(checkpoint.label, "load")
        if self.model is None:
            request = self.ledger.request
            config = self.ledger.run.suite.config_file()
            self.model = SuiteModel(config, request.dtype, request.resolved_device, self.has_head)
            set_threads(self.ledger.request.threads, self.ledger.run.shape.width)
        try:
            self.model.swap(weights, checkpoint)
        finally:  # also where that fails, since this may be why
            if isinstance(weights, Path):
                self.ledger.run.suite.confirm(checkpoint, weights)
        self.fetcher.loaded()
        if self.has_head and not self.head_checked:
            check_head(self.model, self.ledger.run.probes[0])
            self.head_checked = True

    def _forward(
        self, checkpoint: Checkpoint, todo: Sequence[EncodedProbe]
    ) -> Iterator[tuple[EncodedProbe, Answers, NDArray[np.floating], Future[Measured]]]:
        assert self.model is not None
        for encoded in todo:
            self.ledger.progress.stage(checkpoint.label, encoded.probe.name)
            captured = capture(self.model, encoded, self.ledger.request.position, self.ledger.request.batch)
            future = self.measurer.submit(measure_layers, captured.activations, self.ledger.request.chosen_measures)
            yield encoded, captured.answers, _compact(captured.activations), future

    # -- measures from cached activations --------------------------------------------------------------

    def _measure_cached(self, checkpoint: Checkpoint) -> None:
        """Adds measures that earlier walks did not have, without running the model again."""
        missing = {
            encoded.probe.name: (encoded, names)
            for encoded in self.ledger.run.probes
            if (names := self._missing_measures(checkpoint, encoded))
        }
        if not missing:
            return
        self.ledger.progress.stage(checkpoint.label, "measure from cache")
        cached = self.ledger.read(checkpoint)
        rows: list[Row] = []
        ids: list[str] = []
        for name, (encoded, names) in missing.items():
            rest = {
                **self.ledger.columns(checkpoint, encoded.probe),
                "precision": self.ledger.cached_precision(cached[name]),
            }
            rows += self.ledger.geometry_rows(measure_layers(cached[name], names), rest)
            ids += self._measure_ids(checkpoint, encoded, names)
        self.ledger.commit(checkpoint, ids, {"geometry": rows})

    def _missing_measures(self, checkpoint: Checkpoint, encoded: EncodedProbe) -> list[str]:
        return [
            name
            for name in self.ledger.request.chosen_measures
            if measure_id(checkpoint, encoded.probe, self.ledger.request, name) not in self.ledger.done
        ]

    def _measure_ids(self, checkpoint: Checkpoint, encoded: EncodedProbe, names: Sequence[str]) -> list[str]:
        return [measure_id(checkpoint, encoded.probe, self.ledger.request, name) for name in names]


def measuring_threads(device: str) -> ThreadPoolExecutor:
    """Measures while the model runs on: in one thread where it runs on these cores too, else in most of them.

    On a GPU a small model's forward pass takes less time than its spectra, which are always computed on the CPU.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(1 if device == "cpu" else max(1, min(MEASURING_THREADS, cores - 1)))


def set_threads(threads: int, width: int) -> None:
    """Sets torch's CPU threads; matrices narrower than 128 are slower on two threads than on one."""
    import torch

    if threads or width < 128:
        torch.set_num_threads(threads or 1)


def _compact(activations: NDArray[np.float32]) -> NDArray[np.floating]:
    """float16 where every finite value fits: what the cache will hold."""
    finite = np.where(np.isfinite(activations), activations, 0.0)
    fits = np.abs(finite).max() <= FLOAT16_MAX
    with np.errstate(over="ignore"):
        return activations.astype(np.float16) if fits else activations

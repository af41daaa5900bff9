"""Rows out: runs probes through an opened checkpoint, measures, and commits what was found.

While one probe runs through the model, other threads measure those before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.extraction.attention.patterns import PatternReader
from pythia_geometry.extraction.benchmark_capture import capture_benchmark
from pythia_geometry.extraction.capture import Answers, capture
from pythia_geometry.extraction.loading.matrices import matrices
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.probes.encoding import EncodedProbe
from pythia_geometry.extraction.probes.text_cloud import TEXT
from pythia_geometry.geometry.cloud import unknown
from pythia_geometry.landscape.measured import SurfaceReading
from pythia_geometry.measures import CIRCUITS, PATTERN, PREDICTIONS, RESIDUAL, WEIGHTS, Measure
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.one_run.alone import (
    NO_TEXT,
    WHOLE_MODEL,
    Decoded,
    measure_circuits,
    measure_matrices,
    measure_surface,
)
from pythia_geometry.runs.one_run.loader import Loader
from pythia_geometry.runs.request import ONCE
from pythia_geometry.runs.rows import (
    Measured,
    Row,
    answer_rows,
    behaviour_rows,
    measure_heads,
    measure_layers,
)
from pythia_geometry.runs.work import Alone
from pythia_geometry.store.activations import FLOAT16_MAX
from pythia_geometry.store.writing import disk_errors
from pythia_geometry.suites.checkpoint import Checkpoint

MEASURING_THREADS = 8
"""Most threads that measure beside a GPU."""

UNREAD = "not read: --fetch ranges leaves out the output head"


@dataclass(frozen=True)
class Measuring:
    """What is measured of the checkpoints of one run.

    Attributes:
        ledger: Where it is written.
        loader: Opens the checkpoints.
        threads: They measure.
    """

    ledger: Ledger
    loader: Loader
    threads: ThreadPoolExecutor

    def walk(self, checkpoint: Checkpoint, probes: Sequence[EncodedProbe], alone: Sequence[Alone]) -> None:
        """Takes whatever the checkpoint lacks and its weights are needed for.

        Raises:
            CheckpointError: If the checkpoint cannot be had or used.
        """
        if probes:
            self._probes(checkpoint, probes)
        if alone:
            self._alone(checkpoint, alone)

    def _probes(self, checkpoint: Checkpoint, todo: Sequence[EncodedProbe]) -> None:
        """Runs probes through the model, measures, and commits all of it."""
        ledger = self.ledger
        model = self.loader.open(checkpoint, ledger.folder.path)
        jobs = list(self._forward(model, checkpoint, todo))
        ledger.progress.stage(checkpoint.label, "write")
        arrays = {encoded.probe.name: half for encoded, _, half, _ in jobs}
        works = {e.probe.name: ledger.work.capture(checkpoint, e) for e in todo}
        with disk_errors(ledger.folder.path):
            ledger.folder.add_activations(ledger.file(checkpoint), arrays, works)
        geometry: list[Row] = []
        behaviour: list[Row] = []
        answers: list[Row] = []
        ids: list[str] = []
        for encoded, given, _, futures in jobs:
            rest = {**ledger.columns(checkpoint, encoded), "precision": ledger.precision}
            geometry += ledger.geometry_rows([one for future in futures for one in future.result()], rest)
            if self.loader.has_head:
                behaviour += behaviour_rows(given, encoded.probe, rest)
                answers += answer_rows(given, encoded.probe, rest)
                ids.append(ledger.work.capture(checkpoint, encoded))
            else:
                ids.append(ledger.work.headless(checkpoint, encoded, self.loader.in_part))
                behaviour += behaviour_rows(given, encoded.probe, {**rest, "work": ids[-1]}, UNREAD)
            ids += self._ids(checkpoint, encoded, ledger.request.forward_measures)
        ledger.commit(checkpoint, ids, {"geometry": geometry, "behaviour": behaviour, "answers": answers})

    def _forward(
        self, model: SuiteModel, checkpoint: Checkpoint, todo: Sequence[EncodedProbe]
    ) -> Iterator[tuple[EncodedProbe, Answers, NDArray[np.floating], list[Future[Measured]]]]:
        request, layers = self.ledger.request, self.ledger.run.shape.layers
        of_cloud = [m for m in request.forward_measures if m.reads == RESIDUAL]
        of_heads = [m for m in request.forward_measures if m.reads == PATTERN]
        for encoded in todo:
            self.ledger.progress.stage(checkpoint.label, encoded.probe.name)
            reader = PatternReader(model, self.ledger.run.prompts[encoded.probe.name]) if of_heads else None
            with reader or nullcontext():
                if encoded.probe.facts:
                    once = request.contexts == ONCE
                    captured = capture_benchmark(model, encoded, request.position, request.batch, once)
                else:
                    captured = capture(model, encoded, request.position, request.batch, reader)
            futures = [
                self.threads.submit(measure_layers, captured.activations, layers, of_cloud, encoded.probe.clusters)
            ]
            if reader is not None:
                futures.append(self.threads.submit(measure_heads, reader.reading, of_heads))
            yield encoded, captured.answers, _compact(captured.activations), futures

    def from_cache(self, checkpoint: Checkpoint) -> None:
        """Adds measures that earlier walks did not have and float16 does not move, without running the model again."""
        ledger = self.ledger
        missing = {e.probe.name: (e, lacking) for e in ledger.run.probes if (lacking := ledger.missing(checkpoint, e))}
        if not missing:
            return
        ledger.progress.stage(checkpoint.label, "measure from cache")
        cached = ledger.read(checkpoint)
        rows: list[Row] = []
        ids: list[str] = []
        for name, (encoded, measures) in missing.items():
            precision = ledger.cached_precision(cached[name])
            found = measure_layers(cached[name], ledger.run.shape.layers, measures, encoded.probe.clusters)
            rows += ledger.geometry_rows(found, {**ledger.columns(checkpoint, encoded), "precision": precision})
            ids += self._ids(checkpoint, encoded, measures)
        ledger.commit(checkpoint, ids, {"geometry": rows})

    def _alone(self, checkpoint: Checkpoint, todo: Sequence[Alone]) -> None:
        """Takes measures of the checkpoint alone, one after the other, while nobody else uses the model."""
        ledger = self.ledger
        model = self.loader.open(checkpoint, ledger.folder.path)
        surfaces: dict[str, SurfaceReading] = {}
        found = list(matrices(model)) if any(one.measure.reads == WEIGHTS for one in todo) else []
        decoded = Decoded(model, ledger.request.batch)
        for one in todo:
            ledger.progress.stage(checkpoint.label, one.key)
            work = ledger.of_alone(checkpoint, one)
            rest = ledger.columns_alone(checkpoint, work)
            if one.rows is not None:
                of = {"probe": one.rows.named, "task": one.rows.task}
                rows = [
                    row
                    for position, measured in decoded.measured(one.measure, one.rows)
                    for row in ledger.geometry_rows(measured, {**rest, **of, "position": position})
                ]
            elif one.measure.reads == PREDICTIONS:
                nothing = [(WHOLE_MODEL, one.measure, unknown(0, one.measure.range[1], NO_TEXT))]
                rows = ledger.geometry_rows(nothing, {**rest, "probe": TEXT})
            elif one.measure.reads == CIRCUITS:
                rows = ledger.geometry_rows(measure_circuits(model, one.measure), rest)
            elif one.loss is None:
                rows = ledger.geometry_rows(measure_matrices(found, one.measure), rest)
            else:
                rows = [
                    row
                    for task, measured in measure_surface(model, one.measure, one.loss, surfaces)
                    for row in ledger.geometry_rows(measured, {**rest, "probe": one.loss.kind, "task": task})
                ]
            ledger.commit(checkpoint, [work], {"geometry": rows})

    def _ids(self, checkpoint: Checkpoint, encoded: EncodedProbe, measures: Sequence[Measure]) -> list[str]:
        return [self.ledger.work.measure(checkpoint, encoded, measure) for measure in measures]


def measuring_threads(device: str) -> ThreadPoolExecutor:
    """Measures while the model runs on: in one thread where it runs on these cores too, else in most of them.

    On a GPU a small model's forward pass takes less time than its spectra, which are always computed on the CPU.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(1 if device == "cpu" else max(1, min(MEASURING_THREADS, cores - 1)))


def _compact(activations: NDArray[np.float32]) -> NDArray[np.floating]:
    """float16 where every finite value fits: what the cache will hold."""
    finite = np.where(np.isfinite(activations), activations, 0.0)
    fits = np.abs(finite).max() <= FLOAT16_MAX
    with np.errstate(over="ignore"):
        return activations.astype(np.float16) if fits else activations

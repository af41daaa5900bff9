"""The ledger of one run's walk: what is done, and how rows and activations get into the run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.errors import DamagedError, MachineError
from pythia_geometry.extraction.encoding import EncodedProbe
from pythia_geometry.extraction.probes import Probe
from pythia_geometry.geometry.cloud import Estimate
from pythia_geometry.measures import MEASURES
from pythia_geometry.runs.plan import RunPlan
from pythia_geometry.runs.progress import Progress
from pythia_geometry.runs.request import NONE, Request
from pythia_geometry.runs.rows import (
    Row,
    capture_id,
    captured_by,
    checkpoint_row,
    geometry_row,
    headless_id,
    measure_id,
    probe_columns,
)
from pythia_geometry.store.activations import read_activations
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.suites.checkpoint import FAILED, MISSING, OK, Checkpoint

UNCHECKED = "Read in part (--fetch ranges): the bytes could not be checked against the listed sha256."

Measured = list[tuple[int, str, Estimate]]
Works = Mapping[str, Mapping[str, str]]
Arrays = dict[str, NDArray[np.floating]]


class LostActivationsError(MachineError):
    """A checkpoint's cached activations were damaged: its probes need a new forward pass."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(
            f"The cached activations of {checkpoint.label} are damaged as often as they are written: the disk does not "
            "keep what it is given. Pass an --out on another disk"
        )
        self.checkpoint = checkpoint


@dataclass
class Ledger:
    """One run's part of a run folder.

    Attributes:
        run: The run's plan.
        request: What the user asked for.
        folder: The run folder, held for writing.
        progress: Told of every step.
        done: Identities of finished work, with the numbers of the parts that hold it.
    """

    run: RunPlan
    request: Request
    folder: RunFolder
    progress: Progress
    done: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.done = self.folder.done()

    def capture_id(self, checkpoint: Checkpoint, probe: Probe) -> str:
        """Identity of a probe's activations, with or without an output head behind them."""
        return capture_id(checkpoint, probe, self.request)

    def current(self, checkpoint: Checkpoint, probe: Probe) -> dict[str, str]:
        """What the tables show of a probe from now on: its activations, its behaviour, and what they were read from.

        `unchecked` is set where any of it was read from weights that came in part.
        """
        return {
            "capture": self.capture_id(checkpoint, probe),
            "behaviour": captured_by(checkpoint, probe, self.request, self.done),
            "weights": checkpoint.weight_sha256,
            "unchecked": "yes" if self._came_in_part(checkpoint, probe) else "",
        }

    def _came_in_part(self, checkpoint: Checkpoint, probe: Probe) -> bool:
        """Whether the activations, or any measure, are of weights that came in part.

        A measure is of the last forward pass that was written no later; the activations are of the last one.
        """
        whole = (self.capture_id(checkpoint, probe), headless_id(checkpoint, probe, self.request, in_part=False))
        in_part = headless_id(checkpoint, probe, self.request, in_part=True)
        passes = [(number, one == in_part) for one in (*whole, in_part) for number in self.done.get(one, ())]
        measures = (self.done.get(measure_id(checkpoint, probe, self.request, name)) for name in MEASURES)
        shown = [math.inf, *(numbers[-1] for numbers in measures if numbers)]
        return any(max((p for p in passes if p[0] <= number), default=(0, False))[1] for number in shown)

    def todo(self, checkpoint: Checkpoint) -> list[EncodedProbe]:
        """Probes that were never run through the checkpoint, or whose measures can come from nowhere else."""
        cached = self.cached_probes(checkpoint)
        return [e for e in self.run.probes if self._needs_forward(checkpoint, e.probe, cached)]

    def _needs_forward(self, checkpoint: Checkpoint, probe: Probe, cached: set[str]) -> bool:
        captured = captured_by(checkpoint, probe, self.request, self.done) != ""
        if self.request.activations == NONE:
            ids = {measure_id(checkpoint, probe, self.request, name) for name in self.request.chosen_measures}
            return not (captured and (self.done.keys() >= ids or probe.name in cached))
        return not (captured and probe.name in cached)

    def question(self, probe: Probe) -> str:
        """What a piece of work answers: a probe at a position."""
        return f"{probe.name} {self.request.position}"

    def columns(self, checkpoint: Checkpoint, probe: Probe) -> Row:
        """Run, step, probe, task and the forward pass that a row comes from."""
        origin = {"work": self.capture_id(checkpoint, probe), "probe_sha256": probe.sha256[:16]}
        return {**probe_columns(checkpoint, probe), **origin}

    def geometry_rows(self, measured: Measured, rest: Row) -> list[Row]:
        """Rows of the `geometry` table."""
        layers = self.run.shape.layers
        rest = {"reference_step": None, **rest, "position": self.request.position}
        return [geometry_row(estimate, layers[i], i, name, rest) for i, name, estimate in measured]

    def commit(self, checkpoint: Checkpoint, ids: Sequence[str], tables: Mapping[str, list[Row]]) -> None:
        """Writes rows with the identities of the work that made them."""
        number = self.folder.add_part(checkpoint.label, ids, tables)
        for one in ids:
            self.done.setdefault(one, []).append(number)

    def record(self, checkpoint: Checkpoint, current: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """Writes the checkpoint's row; what cannot be reached now does not undo what was walked before."""
        held = self.folder.checkpoint(checkpoint.label)
        if checkpoint.status in (MISSING, FAILED) and held["row"].get("status") == OK:
            return
        if checkpoint.status == OK and _is_unchecked(held["current"], current or {}, checkpoint.weight_sha256):
            checkpoint = replace(checkpoint, detail=" ".join(filter(None, (checkpoint.detail, UNCHECKED))))
        self.folder.set_checkpoint(checkpoint.label, checkpoint_row(checkpoint), current)

    # -- cached activations ----------------------------------------------------------------------------

    def file(self, checkpoint: Checkpoint) -> Path:
        """Where the checkpoint's activations lie."""
        kept = self.request.activations != NONE
        return self.folder.activations_file(checkpoint.label, self.request.position, self.request.dtype, kept)

    def cached_probes(self, checkpoint: Checkpoint) -> set[str]:
        """Names of the probes whose cached activations come from the forward pass that is asked for."""
        works = self.folder.cached_works(self.file(checkpoint))
        probes = [encoded.probe for encoded in self.run.probes]
        return {p.name for p in probes if works.get(p.name) == self.capture_id(checkpoint, p)}

    def read(self, checkpoint: Checkpoint) -> Arrays:
        """Cached activations [L, N, D] by probe name; those that are missing or stale are left out.

        Raises:
            LostActivationsError: If they are not what was written; they are removed then.
        """
        fresh = self.cached_probes(checkpoint)
        try:
            held = read_activations(self.file(checkpoint)) if fresh else {}
        except DamagedError as error:
            self.folder.drop(self.file(checkpoint), error)
            raise LostActivationsError(checkpoint) from error
        return {name: array for name, array in held.items() if name in fresh}

    def cached_precision(self, array: NDArray[np.floating]) -> str:
        """The `precision` of a number that was measured from the cache."""
        return f"{self.request.dtype}, cached {array.dtype}"

    def forget(self, checkpoint: Checkpoint | None) -> None:
        """Removes activations that nothing needs any more, where the user does not keep them."""
        if checkpoint is not None and self.request.activations == NONE:
            file = self.file(checkpoint)
            file.unlink(missing_ok=True)
            if file.parent.is_dir() and not any(file.parent.iterdir()):
                file.parent.rmdir()


def _is_unchecked(held: Works, new: Works, weights: str) -> bool:
    """Whether anything that the tables will show of some weights was read from them in part."""
    works = [{**held.get(question, {}), **new.get(question, {})} for question in {*held, *new}]
    return any(w.get("unchecked") and w.get("weights") == weights for w in works)

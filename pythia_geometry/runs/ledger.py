"""The ledger of one run's walk: what is done, and how rows and activations get into the run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.errors import DamagedError, MachineError
from pythia_geometry.extraction.loading.models import ATTENTION_KERNEL
from pythia_geometry.extraction.probes.encoding import EncodedProbe
from pythia_geometry.extraction.probes.probes import Probe
from pythia_geometry.measures import Measure
from pythia_geometry.runs import format1
from pythia_geometry.runs.plan import RunPlan
from pythia_geometry.runs.progress import Progress
from pythia_geometry.runs.request import NONE, Request
from pythia_geometry.runs.rows import Measured, Row, checkpoint_row, geometry_row, probe_columns, run_columns
from pythia_geometry.runs.work import Alone, RunWork, question_of, superseded
from pythia_geometry.store.activations import read_activations
from pythia_geometry.store.inputs import version_key
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.suites.checkpoint import FAILED, MISSING, OK, Checkpoint

UNCHECKED = "Read in part (--fetch ranges): the bytes could not be checked against the listed sha256."
WHOLE = "the checkpoint"
"""The question that measures of a checkpoint alone answer; those of a probe answer the probe's."""

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
        work: The identities of the run's work.
        done: Those that are finished, with the numbers of the parts that hold them.
    """

    run: RunPlan
    request: Request
    folder: RunFolder
    progress: Progress
    work: RunWork = field(init=False)
    done: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.work = RunWork(self.run, self.request)
        self.done = self.folder.done()

    # -- what is lacking -------------------------------------------------------------------------------

    def todo(self, checkpoint: Checkpoint) -> list[EncodedProbe]:
        """Probes that were never run through the checkpoint, or whose measures can come from nowhere else."""
        cached = self.cached_probes(checkpoint)
        return [e for e in self.run.probes if self._needs_forward(checkpoint, e, cached)]

    def is_of_format_1(self, checkpoint: Checkpoint, encoded: EncodedProbe) -> bool:
        """Whether rows of an old folder answer the probe's question whole; they are kept, and marked."""
        recorded = self.folder.checkpoint(checkpoint.label)["current"].get(self.question(encoded.probe), {})
        return format1.is_answered(checkpoint, encoded, self.request, recorded, self.done)

    def _needs_forward(self, checkpoint: Checkpoint, encoded: EncodedProbe, cached: set[str]) -> bool:
        if self.is_of_format_1(checkpoint, encoded):
            return False
        if self.work.captured_by(checkpoint, encoded, self.done) == "":
            return True
        missing = self.missing(checkpoint, encoded)
        is_cached = encoded.probe.name in cached
        if not all(measure.from_cache for measure in missing):
            return True
        return not is_cached and (bool(missing) or self.request.activations != NONE)

    def missing(self, checkpoint: Checkpoint, encoded: EncodedProbe) -> list[Measure]:
        """Chosen measures of a probe's forward pass that are not done."""
        if self.is_of_format_1(checkpoint, encoded):
            return []
        chosen = self.request.forward_measures
        return [m for m in chosen if self.work.measure(checkpoint, encoded, m) not in self.done]

    def todo_alone(self, checkpoint: Checkpoint) -> list[Alone]:
        """Measures of the checkpoint alone that are not done."""
        return [one for one in self.work.alone(checkpoint) if self.of_alone(checkpoint, one) not in self.done]

    def of_alone(self, checkpoint: Checkpoint, one: Alone) -> str:
        """Identity of a measure of the checkpoint alone, as the tables show it."""
        return self.work.of_alone(checkpoint, one, self.done)

    # -- what the tables show ----------------------------------------------------------------------------

    def current(self, checkpoint: Checkpoint, encoded: EncodedProbe) -> dict[str, str]:
        """What the tables show of a probe from now on: its activations, its behaviour, and what they were read from.

        `unchecked` is set where any of it was read from weights that came in part.
        """
        taken = [m for m in self.request.forward_measures if self.work.measure(checkpoint, encoded, m) in self.done]
        return {
            "capture": self.work.capture(checkpoint, encoded),
            "behaviour": self.work.captured_by(checkpoint, encoded, self.done),
            "weights": checkpoint.weight_sha256,
            "unchecked": "yes" if self._came_in_part(checkpoint, encoded) else "",
            **self.run.inputs_of(encoded),
            **{version_key(measure.name): str(measure.version) for measure in taken},
        }

    def current_alone(self, checkpoint: Checkpoint) -> dict[str, str]:
        """What the tables show of the checkpoint alone."""
        ids = {one.key: self.of_alone(checkpoint, one) for one in self.work.alone(checkpoint)}
        works = {"capture": self.work.opened(checkpoint), "weights": checkpoint.weight_sha256}
        return {**works, **{name: one for name, one in ids.items() if one in self.done}}

    def _came_in_part(self, checkpoint: Checkpoint, encoded: EncodedProbe) -> bool:
        """Whether the activations, or any measure, are of weights that came in part.

        A measure is of the last forward pass that was written no later; the activations are of the last one.
        """
        whole = (self.work.capture(checkpoint, encoded), self.work.headless(checkpoint, encoded, in_part=False))
        in_part = self.work.headless(checkpoint, encoded, in_part=True)
        passes = [(number, one == in_part) for one in (*whole, in_part) for number in self.done.get(one, ())]
        measures = (self.done.get(one) for one in self.work.measures(checkpoint, encoded))
        shown = [math.inf, *(numbers[-1] for numbers in measures if numbers)]
        return any(max((p for p in passes if p[0] <= number), default=(0, False))[1] for number in shown)

    def question(self, probe: Probe) -> str:
        """What a piece of work answers: a probe at a position."""
        return question_of(probe, self.request.position)

    # -- rows --------------------------------------------------------------------------------------------

    def columns(self, checkpoint: Checkpoint, encoded: EncodedProbe) -> Row:
        """Run, step, probe, task and the forward pass that a row comes from."""
        probe = encoded.probe
        origin = {"work": self.work.capture(checkpoint, encoded), "probe_sha256": probe.sha256[:16]}
        return {**probe_columns(checkpoint, probe), **origin, "position": self.request.position}

    def columns_alone(self, checkpoint: Checkpoint, work: str) -> Row:
        """The same for a row of the checkpoint alone: it has no probe and no position."""
        nothing = dict.fromkeys(("probe", "task", "probe_sha256", "position"), "")
        return {**run_columns(checkpoint), **nothing, "work": work, "precision": self.precision}

    @staticmethod
    def geometry_rows(measured: Measured, rest: Row) -> list[Row]:
        """Rows of the `geometry` table."""
        return [geometry_row(*one, {"reference_step": None, **rest}) for one in measured]

    def commit(self, checkpoint: Checkpoint, ids: Sequence[str], tables: Mapping[str, list[Row]]) -> None:
        """Writes rows with the identities of the work that made them."""
        number = self.folder.add_part(checkpoint.label, ids, tables)
        for one in ids:
            self.done.setdefault(one, []).append(number)

    def record(self, checkpoint: Checkpoint, current: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """Writes the checkpoint's row; what cannot be reached now does not undo what was walked before."""
        held = self.folder.checkpoint(checkpoint.label)
        if current and WHOLE in current:
            before, now = held["current"].get(WHOLE, {}), current[WHOLE]
            shown = {**before, **now} if before.get("capture") == now.get("capture") else now
            current = {**current, WHOLE: {**now, **superseded(shown)}}
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
        return {
            encoded.probe.name
            for encoded in self.run.probes
            if works.get(encoded.probe.name) == self.work.capture(checkpoint, encoded)
        }

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

    @property
    def precision(self) -> str:
        """The `precision` of a number from a forward pass: its dtype, and the attention kernel where it is not sdpa."""
        kernel = self.run.shape.kernel
        return self.request.dtype if kernel == ATTENTION_KERNEL else f"{self.request.dtype}, {kernel}"

    def cached_precision(self, array: NDArray[np.floating]) -> str:
        """The `precision` of a number that was measured from the cache."""
        return f"{self.precision}, cached {array.dtype}"

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

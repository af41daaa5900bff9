"""The identity of a piece of work: a hash of everything that decides its numbers, and of nothing else.

A piece of work is what one forward pass, or one measure, gives at one checkpoint. It is done when its rows exist. Where
an input changes, so does the identity, and the work is computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pythia_geometry.extraction.labelled import LabelledRows
from pythia_geometry.extraction.losses import NONE, EncodedLoss
from pythia_geometry.extraction.probes.encoding import EncodedProbe
from pythia_geometry.extraction.probes.probes import Probe
from pythia_geometry.extraction.probes.text_cloud import TextCloud
from pythia_geometry.measures import (
    EDITED,
    LABELLED,
    MEASURES,
    MODEL_PAIR,
    PATTERN,
    PREDICTIONS,
    RESIDUAL,
    SURFACE,
    SURFACE_PAIR,
    WEIGHTS,
    Measure,
)
from pythia_geometry.runs import format1
from pythia_geometry.runs.plan import RunPlan
from pythia_geometry.runs.readings import READINGS, Reading
from pythia_geometry.runs.request import RANGES, Request
from pythia_geometry.suites.checkpoint import Checkpoint

FORWARD, HEADLESS = "forward pass", "forward pass without the output head"


def identity(place: Checkpoint, **decides: Any) -> str:
    """The one identity of all work.

    Args:
        place: The checkpoint that the rows are about: two steps with the same weights have each their own rows.
        **decides: What decides the numbers, as plain values.
    """
    where = (place.run, place.step, place.weight_sha256)
    text = json.dumps([where, decides], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Alone(NamedTuple):
    """A measure of a checkpoint alone, and what it reads beside the weights.

    Attributes:
        measure: The measure.
        loss: The loss that its surface is of, where it reads one.
        rows: What is decoded, or the text that is predicted, where anything is.
    """

    measure: Measure
    loss: EncodedLoss | None = None
    rows: LabelledRows | TextCloud | None = None

    @property
    def key(self) -> str:
        """Its name in the record of what the tables show."""
        if self.rows:
            return f"{self.measure.name} {self.rows.named}/{self.rows.task}"
        return f"{self.measure.name} {self.loss.kind} {self.loss.task}" if self.loss else self.measure.name


def superseded(shown: Mapping[str, str]) -> dict[str, str]:
    """Keys, without work, of rows that say that no loss or no text is named, where the tables show those of one."""
    found: dict[str, str] = {}
    for measure in MEASURES.values():
        if measure.reads not in (SURFACE, SURFACE_PAIR, PREDICTIONS):
            continue
        nothing = measure.name if measure.reads == PREDICTIONS else f"{measure.name} {NONE} "
        beside = {nothing, f"{measure.name} with"}  # the second names a step
        something = [k for k, work in shown.items() if work and k.startswith(f"{measure.name} ") and k not in beside]
        if nothing in shown and something:
            found[nothing] = ""
    return found


class Edit(NamedTuple):
    """A measure for which a probe runs while heads do something else; beside is an earlier step, where it reads two."""

    checkpoint: Checkpoint
    encoded: EncodedProbe
    measure: Measure
    beside: Checkpoint | None


class Todo(NamedTuple):
    """What a run folder lacks of one run: checkpoints, ascending, and names of the probes that any of them lacks."""

    checkpoints: tuple[Checkpoint, ...]
    probes: frozenset[str]


Held = Mapping[str, Mapping[str, str]]
Recorded = Callable[[str], Held]


def question_of(probe: Probe, position: str) -> str:
    """What the rows of a probe answer: the probe at a position."""
    return f"{probe.name} {position}"


@dataclass(frozen=True)
class RunWork:
    """All work of one run, by its identity."""

    run: RunPlan
    request: Request

    def capture(self, checkpoint: Checkpoint, encoded: EncodedProbe) -> str:
        """A probe's forward pass: activations and answers."""
        return self._of_probe(checkpoint, encoded, READINGS[RESIDUAL], what=FORWARD)

    def headless(self, checkpoint: Checkpoint, encoded: EncodedProbe, in_part: bool) -> str:
        """A forward pass without the output head: its activations are those of `capture`.

        Args:
            checkpoint: The checkpoint.
            encoded: The probe.
            in_part: Whether the weights came in part, so that their sha256 could not be checked.
        """
        return self._of_probe(checkpoint, encoded, READINGS[RESIDUAL], what=HEADLESS, in_part=in_part)

    def measure(
        self,
        checkpoint: Checkpoint,
        encoded: EncodedProbe | None,
        measure: Measure,
        *beside: Checkpoint | None,
        loss: EncodedLoss | None = None,
    ) -> str:
        """One measure at all its sites.

        Args:
            checkpoint: The checkpoint.
            encoded: The probe; None for a measure of the whole checkpoint.
            measure: The measure.
            *beside: The other checkpoints of a pair or three; None where there is no such step.
            loss: The loss of its surface, where it reads one.
        """
        what = {"measure": measure.name, "version": measure.version, "settings": measure.settings_text}
        if any(beside):
            others = [[one.step, one.weight_sha256, self.run.config_of(one)] if one else [] for one in beside]
            what["beside"] = json.dumps(others[0] if len(others) == 1 else others)
        if loss is not None:
            what["loss"] = loss.sha256
        reading = READINGS[measure.reads]
        if encoded is not None and measure.reads in (PATTERN, EDITED, MODEL_PAIR):
            what["marks"] = encoded.probe.marks_sha256
        if encoded is not None:
            return self._of_probe(checkpoint, encoded, reading, **what)
        return self._of_checkpoint(checkpoint, reading, **what)

    def _of_probe(self, checkpoint: Checkpoint, encoded: EncodedProbe, reading: Reading, **what: Any) -> str:
        probe = encoded.probe
        return self._of_checkpoint(
            checkpoint,
            reading,
            probe=[probe.name, probe.sha256, encoded.sha256],
            position=self.request.position,
            **what,
        )

    def _of_checkpoint(self, checkpoint: Checkpoint, reading: Reading, **what: Any) -> str:
        return identity(
            checkpoint,
            config=self.run.config_of(checkpoint),
            reading=[reading.name, reading.version, reading.kernel or self.run.shape.kernel],
            dtype=self.request.dtype,
            **what,
        )

    def captured_by(self, checkpoint: Checkpoint, encoded: EncodedProbe, done: Collection[str]) -> str:
        """Of the forward passes that are done, the one to show: with behaviour if there is one; empty if there is none.

        A walk that asks for behaviour counts only those that have it.
        """
        ids = [self.capture(checkpoint, encoded)]
        if self.request.fetch == RANGES:
            ids += [self.headless(checkpoint, encoded, in_part) for in_part in (False, True)]
        return next((one for one in ids if one in done), "")

    def measures(self, checkpoint: Checkpoint, encoded: EncodedProbe) -> Iterable[str]:
        """Every measure of a probe's forward pass that there is, chosen or not."""
        of_forward = (m for m in MEASURES.values() if READINGS[m.reads].from_forward)
        return (self.measure(checkpoint, encoded, measure) for measure in of_forward)

    def alone(self, checkpoint: Checkpoint) -> list[Alone]:
        """What is measured of the checkpoint alone at this step."""
        alone = (m for m in self.request.opening_measures if not READINGS[m.reads].per_probe and not m.against)
        taken = [m for m in alone if self.run.is_taken(m, checkpoint)]
        losses = [loss.at(checkpoint.step) for loss in self.run.losses]
        plain = [Alone(m) for m in taken if m.reads not in (SURFACE, LABELLED, PREDICTIONS)]
        plain += [Alone(m, None, self.run.text) for m in taken if m.reads == PREDICTIONS]
        surfaces = [Alone(m, loss) for loss in losses for m in taken if m.reads == SURFACE]
        return plain + surfaces + [Alone(m, None, r) for r in self.run.labelled for m in taken if m.reads == LABELLED]

    def of_alone(self, checkpoint: Checkpoint, one: Alone, done: Collection[str]) -> str:
        """Identity of a measure of the checkpoint alone.

        Without the output head it is other work; where it was done with the head before, that is shown.
        """
        whole = self._of_alone(checkpoint, one)
        if self.request.fetch == RANGES and whole not in done:
            return self._of_alone(checkpoint, one, without="output head")
        return whole

    def _of_alone(self, checkpoint: Checkpoint, one: Alone, **rest: str) -> str:
        what = {"measure": one.measure.name, "version": one.measure.version, "settings": one.measure.settings_text}
        what |= {"loss": one.loss.sha256} if one.loss else {}
        what |= {"rows": one.rows.sha256} if one.rows else {}
        return self._of_checkpoint(checkpoint, READINGS[one.measure.reads], **what, **rest)

    def edits(self, checkpoint: Checkpoint, earlier: Checkpoint | None) -> Iterator[Edit]:
        """What runs a probe while heads do something else, at this step.

        Args:
            checkpoint: The checkpoint.
            earlier: The one before it at which such measures are taken.
        """
        for measure in self.request.opening_measures:
            if READINGS[measure.reads].edits_heads and self.run.is_taken(measure, checkpoint):
                for encoded in self.run.probes:
                    yield Edit(checkpoint, encoded, measure, earlier if measure.against else None)

    def of_edit(self, edit: Edit) -> str:
        """Its identity."""
        return self.measure(edit.checkpoint, edit.encoded, edit.measure, edit.beside)

    def planned_edits(self, order: Iterable[Checkpoint], done: Collection[str]) -> Iterator[Edit]:
        """Those that are not done and will open a model, if all of these checkpoints can be used."""
        earlier: Checkpoint | None = None
        for checkpoint in sorted(order, key=lambda one: one.step):
            edits = list(self.edits(checkpoint, earlier))
            opening = (edit for edit in edits if edit.beside or not edit.measure.against)
            yield from (edit for edit in opening if self.of_edit(edit) not in done)
            earlier = checkpoint if edits else earlier

    def opened(self, checkpoint: Checkpoint) -> str:
        """What all measures of the checkpoint alone are of: where it changes, none of them is shown any more."""
        return self._of_checkpoint(checkpoint, READINGS[WEIGHTS], what="opened")

    def todo(self, done: Collection[str], recorded: Recorded) -> Todo:
        """Usable checkpoints that lack a forward pass or a measure, and the probes that some of them lack.

        Args:
            done: Identities of the work that is done.
            recorded: What the run folder records of a checkpoint's questions, by its label.
        """
        edited = {edit.checkpoint.label for edit in self.planned_edits(self.run.usable, done)}
        lacking: list[Checkpoint] = []
        probes: set[str] = set()
        for checkpoint in self.run.usable:
            held = recorded(checkpoint.label)
            missing = {e.probe.name for e in self.run.probes if not self._is_finished(checkpoint, e, done, held)}
            lacks_alone = any(self.of_alone(checkpoint, one, done) not in done for one in self.alone(checkpoint))
            if missing or lacks_alone or checkpoint.label in edited:
                lacking.append(checkpoint)
            probes |= missing
        return Todo(tuple(lacking), frozenset(probes))

    def _is_finished(self, checkpoint: Checkpoint, encoded: EncodedProbe, done: Collection[str], held: Held) -> bool:
        question = question_of(encoded.probe, self.request.position)
        if format1.is_answered(checkpoint, encoded, self.request, held.get(question, {}), done):
            return True
        return self.captured_by(checkpoint, encoded, done) != "" and all(
            self.measure(checkpoint, encoded, m) in done for m in self.request.forward_measures
        )

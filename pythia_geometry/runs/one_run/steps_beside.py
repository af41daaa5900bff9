"""Measures of two checkpoints: each step beside the step before it and beside the last.

Two clouds come from cached activations, always (assumption A16); sets of weights are held in memory. What needs the
step after is taken when that has been walked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.extraction.loading.matrices import Matrix
from pythia_geometry.extraction.losses import EncodedLoss
from pythia_geometry.extraction.probes.encoding import EncodedProbe
from pythia_geometry.geometry.cloud import Cloud, Estimate, unknown
from pythia_geometry.measures import BOTH_SIDES, LAST, Measure
from pythia_geometry.runs.ledger import WHOLE, Arrays, Ledger
from pythia_geometry.runs.one_run.alone import surface_of
from pythia_geometry.runs.one_run.held import Held, Others, identities, of_two
from pythia_geometry.runs.rows import MODEL, Measured, Row, Site
from pythia_geometry.suites.checkpoint import Checkpoint

NOT_KEPT = "-not-kept"
NO_PREVIOUS = "there is no previous step"
NO_NEXT = "there is no next step"
Pair = Sequence[NDArray[np.floating] | None]


@dataclass
class _Found:
    """What comparisons of one checkpoint have found, until it is written."""

    rows: list[Row] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    current: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, identity: str, rows: list[Row]) -> None:
        self.rows += [{**row, "work": identity} for row in rows]
        self.ids.append(identity)


References = Mapping[str, Others]
"""By what a measure is against (`previous`, `last`, …), the steps that it is taken with."""


def compare(ledger: Ledger, held: Held, checkpoint: Checkpoint, references: References) -> None:
    """Adds the comparisons that are missing.

    A narrower selection does not replace what a wider one compared with a nearer step, and an unknown value
    does not replace a known one.

    Args:
        ledger: The run's ledger.
        held: Weights of other steps.
        checkpoint: The checkpoint, already captured.
        references: What to compare it with; measures against anything else are left for another call.
    """
    found = _Found()
    _clouds(ledger, checkpoint, references, found)
    _weights(ledger, held, checkpoint, references, found)
    if found.rows:
        ledger.progress.stage(checkpoint.label, "compare")
        ledger.commit(checkpoint, found.ids, {"geometry": found.rows})
    ledger.record(checkpoint, found.current)


# -- two clouds ------------------------------------------------------------------------------------------


def _clouds(ledger: Ledger, checkpoint: Checkpoint, references: References, found: _Found) -> None:
    arrays: dict[str, Arrays] = {}
    recorded = ledger.folder.checkpoint(checkpoint.label)["current"]
    for measure in ledger.request.cached_pairs:
        if measure.against not in references:
            continue
        (reference,) = references[measure.against]
        step = reference.step if reference else -1
        for encoded in ledger.run.probes:
            question = ledger.question(encoded.probe)
            known = known_step(recorded, question, measure)
            is_old = known == step and measure.name in recorded.get(question, {})
            if known > step or (is_old and ledger.is_of_format_1(checkpoint, encoded)):
                continue
            identity = ledger.work.measure(checkpoint, encoded, measure, reference)
            pair: Pair = ()
            if identity not in ledger.done:
                pair = [_read(ledger, c, arrays).get(encoded.probe.name) for c in (checkpoint, reference) if c]
                if any(side is None for side in pair):
                    if known >= 0:
                        continue
                    identity += NOT_KEPT
            found.current.setdefault(question, {}).update({measure.name: identity, with_step(measure): str(step)})
            if identity not in ledger.done:
                found.add(identity, _cloud_rows(ledger, measure, checkpoint, reference, (encoded, pair)))


def _cloud_rows(
    ledger: Ledger,
    measure: Measure,
    checkpoint: Checkpoint,
    reference: Checkpoint | None,
    compared: tuple[EncodedProbe, Pair],
) -> list[Row]:
    """One row a layer; unknown with a reason where a side is missing."""
    encoded, pair = compared
    n, layers = len(encoded.items), ledger.run.shape.layers
    if reference is None:
        estimates = [unknown(n, 1.0, NO_PREVIOUS)] * len(layers)
    elif (x := pair[0]) is None or (y := pair[1]) is None:
        estimates = [unknown(n, 1.0, "activations were not kept (--activations none)")] * len(layers)
    else:
        estimates = [measure.compute(Cloud(a), Cloud(b), **measure.settings) for a, b in zip(x, y, strict=True)]
    rest = {
        **ledger.columns(checkpoint, encoded),
        "precision": ledger.cached_precision(pair[0]) if pair[0] is not None else ledger.precision,
        "reference_step": reference.step if reference else None,
    }
    sites = [Site(layer, index) for index, layer in enumerate(layers)]
    return ledger.geometry_rows([(site, measure, one) for site, one in zip(sites, estimates, strict=True)], rest)


def _read(ledger: Ledger, checkpoint: Checkpoint, arrays: dict[str, Arrays]) -> Arrays:
    """A checkpoint's cached activations, read once for all probes."""
    if checkpoint.label not in arrays:
        arrays[checkpoint.label] = ledger.read(checkpoint)
    return arrays[checkpoint.label]


# -- two sets of weights -----------------------------------------------------------------------------------


def _weights(ledger: Ledger, held: Held, checkpoint: Checkpoint, references: References, found: _Found) -> None:
    recorded = ledger.folder.checkpoint(checkpoint.label)["current"]
    for measure in of_two(ledger):
        if measure.against not in references or not ledger.run.is_taken(measure, checkpoint):
            continue
        others = references[measure.against]
        if _is_better(recorded.get(WHOLE, {}).get(with_step(measure), ""), measure, others, checkpoint.step):
            continue
        shown = {"capture": ledger.work.opened(checkpoint), "weights": checkpoint.weight_sha256}
        current = found.current.setdefault(WHOLE, shown)
        current[with_step(measure)] = " ".join(str(other.step if other else -1) for other in others)
        for identity, loss in identities(ledger, measure, checkpoint, others):
            current[f"{measure.name} {loss.kind} {loss.task}" if loss else measure.name] = identity
            if identity in ledger.done:
                continue
            rest = ledger.columns_alone(checkpoint, identity)
            rest |= {"reference_step": others[-1].step if others[-1] else None}
            if loss is None:
                found.add(identity, ledger.geometry_rows(_matrix_sets(held, measure, checkpoint, others), rest))
            else:
                ledger.progress.stage(checkpoint.label, measure.name)
                rest |= {"probe": loss.kind, "task": loss.task}
                found.add(identity, ledger.geometry_rows(_along(held, measure, checkpoint, (others[0], loss)), rest))


def _is_better(recorded: str, measure: Measure, others: Others, here: int) -> bool:
    """Whether the tables compare with a later last step already, or with nearer ones: on no side with a further one."""
    known = [int(step) for step in recorded.split()]
    new = [other.step if other else -1 for other in others]
    if len(known) != len(new) or known == new:
        return False
    if measure.against == LAST:
        return known > new
    return all(0 <= _gap(one, here) <= _gap(two, here) for one, two in zip(known, new, strict=True))


def _gap(step: int, here: int) -> float:
    """How far a step is; one that is not there is further than all."""
    return float("inf") if step < 0 else abs(step - here)


def _along(held: Held, measure: Measure, checkpoint: Checkpoint, to: tuple[Checkpoint | None, EncodedLoss]) -> Measured:
    """A number of the way from a checkpoint to the next one, on the loss around it."""
    following, loss = to
    if loss.reason or following is None:
        estimate = unknown(0, measure.range[1], loss.reason or NO_NEXT)
    else:
        try:
            start, ahead = held.parameters(checkpoint), held.parameters(following)
            surface = surface_of(held.any_model(checkpoint), loss)  # whose weights the two stand in for
            estimate = measure.compute(surface, ahead, start)
        except CheckpointError as error:
            estimate = unknown(0, measure.range[1], f"step {following.step} could not be opened again: {error}")
        except PythiaGeometryError as error:
            estimate = unknown(0, measure.range[1], str(error))
    return [(Site(MODEL, -1), measure, estimate)]


def _matrix_sets(held: Held, measure: Measure, checkpoint: Checkpoint, others: Others) -> Measured:
    mine = [m for m in held.matrices(checkpoint) if measure.is_taken_at(m.name, *m.roles)]
    missing = NO_NEXT if measure.against == BOTH_SIDES and others[0] else NO_PREVIOUS
    found = [_theirs(held, other, missing) for other in others]
    reason = next((why for _, why in found if why), "")

    def estimate(some: Sequence[Matrix]) -> Estimate:
        if reason:
            return unknown(sum(m.values.size for m in some), measure.range[1], reason)
        here = {m.name: m.values for m in some}
        there = [{m.name: theirs[m.name] for m in some} for theirs, _ in found]
        compared: Estimate = measure.compute(here, *there, **measure.settings)
        return compared

    whole = [(Site(MODEL, -1), measure, estimate(mine))]
    return [*whole, *((Site(matrix.name, matrix.layer_index), measure, estimate([matrix])) for matrix in mine)]


def _theirs(held: Held, reference: Checkpoint | None, missing: str) -> tuple[Mapping[str, NDArray[np.floating]], str]:
    """The other step's matrices by name; or why there are none."""
    if reference is None:
        return {}, missing
    try:
        return {matrix.name: matrix.values for matrix in held.matrices(reference)}, ""
    except CheckpointError as error:
        return {}, f"step {reference.step} could not be opened again: {error}"


# -- both ------------------------------------------------------------------------------------------------


def with_step(measure: Measure) -> str:
    """Key of a question's record: the step that a measure compares with."""
    return f"{measure.name} with"


def known_step(recorded: Mapping[str, Mapping[str, str]], question: str, measure: Measure) -> int:
    """The step that the tables compare with now; -1 where there is none."""
    return int(recorded.get(question, {}).get(with_step(measure), -1))

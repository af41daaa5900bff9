"""Measures of two checkpoints: each step beside the step before it and beside the last.

Two clouds come from cached activations, always (assumption A16); two sets of weights are held in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.errors import CheckpointError
from pythia_geometry.extraction.loading.matrices import Matrix
from pythia_geometry.extraction.probes.encoding import EncodedProbe
from pythia_geometry.geometry.cloud import Cloud, Estimate, unknown
from pythia_geometry.measures import Measure
from pythia_geometry.runs.ledger import WHOLE, Arrays, Ledger
from pythia_geometry.runs.one_run.held import Held, of_two
from pythia_geometry.runs.rows import MODEL, Measured, Row, Site
from pythia_geometry.suites.checkpoint import Checkpoint

NOT_KEPT = "-not-kept"
NO_PREVIOUS = "there is no previous step"
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


def compare(ledger: Ledger, held: Held, checkpoint: Checkpoint, references: Mapping[str, Checkpoint | None]) -> None:
    """Adds the comparisons that are missing.

    A narrower selection does not replace what a wider one compared with a nearer step, and an unknown value
    does not replace a known one.

    Args:
        ledger: The run's ledger.
        held: Weights of other steps.
        checkpoint: The checkpoint, already captured.
        references: By name (`previous`, `last`), what to compare it with; None where there is none.
    """
    found = _Found()
    _clouds(ledger, checkpoint, references, found)
    _weights(ledger, held, checkpoint, references, found)
    if found.rows:
        ledger.progress.stage(checkpoint.label, "compare")
        ledger.commit(checkpoint, found.ids, {"geometry": found.rows})
    ledger.record(checkpoint, found.current)


# -- two clouds ------------------------------------------------------------------------------------------


def _clouds(ledger: Ledger, checkpoint: Checkpoint, references: Mapping[str, Checkpoint | None], found: _Found) -> None:
    arrays: dict[str, Arrays] = {}
    recorded = ledger.folder.checkpoint(checkpoint.label)["current"]
    for measure in ledger.request.cached_pairs:
        reference = references[measure.against]
        step = reference.step if reference else -1
        for encoded in ledger.run.probes:
            question = ledger.question(encoded.probe)
            known = _known_step(recorded, question, measure)
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
            found.current.setdefault(question, {}).update({measure.name: identity, _with(measure): str(step)})
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


def _weights(
    ledger: Ledger, held: Held, checkpoint: Checkpoint, references: Mapping[str, Checkpoint | None], found: _Found
) -> None:
    recorded = ledger.folder.checkpoint(checkpoint.label)["current"]
    for measure in of_two(ledger):
        reference = references[measure.against]
        step = reference.step if reference else -1
        if _known_step(recorded, WHOLE, measure) > step:
            continue
        identity = ledger.work.measure(checkpoint, None, measure, reference)
        shown = {"capture": ledger.work.opened(checkpoint), "weights": checkpoint.weight_sha256}
        found.current.setdefault(WHOLE, shown).update({measure.name: identity, _with(measure): str(step)})
        if identity not in ledger.done:
            rest = {
                **ledger.columns_alone(checkpoint, identity),
                "reference_step": reference.step if reference else None,
            }
            found.add(identity, ledger.geometry_rows(_matrix_pairs(held, measure, checkpoint, reference), rest))


def _matrix_pairs(held: Held, measure: Measure, checkpoint: Checkpoint, reference: Checkpoint | None) -> Measured:
    mine = [m for m in held.matrices(checkpoint) if measure.is_taken_at(m.name, *m.roles)]
    theirs, reason = _theirs(held, reference)

    def estimate(some: Sequence[Matrix]) -> Estimate:
        if reason:
            return unknown(sum(m.values.size for m in some), measure.range[1], reason)
        here, there = ({m.name: of(m) for m in some} for of in (lambda m: m.values, lambda m: theirs[m.name]))
        compared: Estimate = measure.compute(here, there, **measure.settings)
        return compared

    whole = [(Site(MODEL, -1), measure, estimate(mine))]
    return [*whole, *((Site(matrix.name, matrix.layer_index), measure, estimate([matrix])) for matrix in mine)]


def _theirs(held: Held, reference: Checkpoint | None) -> tuple[Mapping[str, NDArray[np.floating]], str]:
    """The other step's matrices by name; or why there are none."""
    if reference is None:
        return {}, NO_PREVIOUS
    try:
        return {matrix.name: matrix.values for matrix in held.matrices(reference)}, ""
    except CheckpointError as error:
        return {}, f"step {reference.step} could not be opened again: {error}"


# -- both ------------------------------------------------------------------------------------------------


def _with(measure: Measure) -> str:
    return f"{measure.name} with"


def _known_step(recorded: Mapping[str, Mapping[str, str]], question: str, measure: Measure) -> int:
    """The step that the tables compare with now; -1 where there is none."""
    return int(recorded.get(question, {}).get(_with(measure), -1))

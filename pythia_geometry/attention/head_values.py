"""From a probe's reduced attention to rows: a value with its error for each head, and sums over heads.

The sum over all heads of a model is what jumps with behaviour; "the best head at the end" is a worse clock, since the
head that ends with most is often not the one that was first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from pythia_geometry.attention.copying import LayerCircuits, copying_through
from pythia_geometry.attention.output_rank import output_rank
from pythia_geometry.attention.pattern import Array
from pythia_geometry.attention.prompt_means import mean_over_prompts
from pythia_geometry.attention.reading import HeadReading
from pythia_geometry.attention.scores import SCORES
from pythia_geometry.attention.targets import (
    MatchedMass,
    baseline_estimates,
    mass_estimates,
    matched_mass,
    selectivity_estimates,
)
from pythia_geometry.geometry.cloud import Estimate, unknown

SUMMED = ("previous_token", "duplicate_token", "induction")
"""Scores that are also summed over the heads of a layer and of the model; so are the three of the target."""

TARGETS = {
    "target_mass": mass_estimates,
    "target_baseline": baseline_estimates,
    "target_selectivity": selectivity_estimates,
}
OUTPUT_RANK = "output_rank"
HEAD_MEASURES = (*SCORES, *(name for name in TARGETS if name not in SCORES), OUTPUT_RANK)
"""Every measure of a head that one forward pass gives."""


@dataclass(frozen=True)
class HeadValue:
    """A measure of one head, or of several summed.

    Attributes:
        measure: Its name.
        layer: Block, from 1; None for all of the model.
        head: Head, from 0; None for the sum over the heads.
        estimate: The value.
    """

    measure: str
    layer: int | None
    head: int | None
    estimate: Estimate


def head_values(reading: HeadReading, measures: Sequence[str] = HEAD_MEASURES) -> Iterator[HeadValue]:
    """Values of every head, then of the heads summed by layer and over the model where that means something.

    Raises:
        KeyError: If there is no such measure, or its score was not taken.
    """
    for measure in measures:
        if measure in TARGETS:
            yield from _of_target(reading, measure)
        elif measure == OUTPUT_RANK:
            for layer, outputs in enumerate(reading.outputs, start=1):
                for head in range(outputs.shape[1]):
                    yield HeadValue(measure, layer, head, output_rank(outputs[:, head]))
        else:
            yield from _of_score(reading, measure)


def copying_values(layers: Iterable[LayerCircuits]) -> Iterator[HeadValue]:
    """`copying` of every head; n counts its eigenvalues. There is no error: the weights are what they are."""
    for layer, circuits in enumerate(layers, start=1):
        for head, (value, output) in enumerate(circuits.heads):
            score, n = copying_through(circuits.tokens, value, output), value.shape[1]
            known = Estimate(score, float("nan"), 1.0, n)
            is_known = bool(np.isfinite(score))
            yield HeadValue("copying_score", layer, head, known if is_known else unknown(n, 1.0, NO_EIGENVALUE))


NO_EIGENVALUE = "every eigenvalue is 0 or not finite"


def _of_score(reading: HeadReading, measure: str) -> Iterator[HeadValue]:
    present = np.asarray(reading.present[:, reading.index(measure)])
    ceilings = [_ceiling(measure, prompt.n) for prompt, one in zip(reading.prompts, present, strict=True) if one]
    ceiling = float(np.mean(ceilings)) if ceilings else 1.0

    def estimate(values: Array, heads: int = 1) -> Estimate:
        return mean_over_prompts(values, present, SCORES[measure].absent, heads * ceiling)

    by_layer = [reading.score(measure, layer) for layer in range(reading.n_layers)]
    for layer, values in enumerate(by_layer, start=1):
        for head, column in enumerate(values.T):
            yield HeadValue(measure, layer, head, estimate(column))
        if measure in SUMMED:
            yield HeadValue(measure, layer, None, estimate(values.sum(axis=1), values.shape[1]))
    if measure in SUMMED:
        every = np.concatenate(by_layer, axis=1)
        yield HeadValue(measure, None, None, estimate(every.sum(axis=1), every.shape[1]))


def _ceiling(measure: str, n: int) -> float:
    """The largest score of a prompt of n tokens."""
    return float(np.log(np.arange(2, n + 1)).mean()) if measure == "entropy" else 1.0


def _of_target(reading: HeadReading, measure: str) -> Iterator[HeadValue]:
    by_layer = _matched(reading)
    for layer, found in enumerate(by_layer, start=1):
        for head, one in enumerate(TARGETS[measure](found)):
            yield HeadValue(measure, layer, head, one)
        yield HeadValue(measure, layer, None, *TARGETS[measure](found.summed()))
    yield HeadValue(measure, None, None, *TARGETS[measure](_joined(by_layer).summed()))


def _matched(reading: HeadReading) -> list[MatchedMass]:
    """Of every layer; once for the three measures of the target, which a walk asks for one by one."""
    if (found := _kept.get(reading)) is None:
        found = _kept[reading] = [matched_mass(rows, reading.prompts) for rows in reading.last_rows]
    return found


_kept: WeakKeyDictionary[HeadReading, list[MatchedMass]] = WeakKeyDictionary()


def _joined(layers: Sequence[MatchedMass]) -> MatchedMass:
    """The heads of all layers side by side."""
    mass, baseline, deleted = (
        np.concatenate([getattr(layer, part) for layer in layers], axis=-1) for part in ("mass", "baseline", "deleted")
    )
    return MatchedMass(mass, baseline, deleted, layers[0].left_out, layers[0].absent)

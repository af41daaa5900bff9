"""Attention on the marked keys, beside what the head gives to keys of the same age that are not marked.

Age is the distance from the query that predicts the answer. A head that always looks five tokens back has mass on a
target five tokens back: the baseline, from prompts of the same probe whose target has another age, tells the two apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pythia_geometry.attention.entries import TARGET
from pythia_geometry.attention.pattern import Array, Prompt
from pythia_geometry.attention.prompt_means import NON_FINITE, mean_over_prompts
from pythia_geometry.geometry.cloud import Estimate, unknown
from pythia_geometry.geometry.deletion import jackknife_error

NO_CONTROL = "no baseline: no key of any age is unmarked"


@dataclass(frozen=True, eq=False)
class MatchedMass:
    """Mass on the target of some heads, and the matched baseline; prompts without the mark are left out.

    Attributes:
        mass: Attention on the target's keys [n, H].
        baseline: Expected mass on equally many unmarked keys of the same age [H].
        deleted: The same without each prompt [n, H].
        left_out: Prompts without the mark.
        absent: Why they lack it.
    """

    mass: Array
    baseline: Array
    deleted: Array
    left_out: int
    absent: str

    def summed(self) -> MatchedMass:
        """All heads as one: their sums."""
        mass, baseline, deleted = (
            part.sum(axis=-1, keepdims=True) for part in (self.mass, self.baseline, self.deleted)
        )
        return MatchedMass(mass, baseline, deleted, self.left_out, self.absent)


def matched_mass(last_rows: Array, prompts: Sequence[Prompt], mark: str = TARGET) -> MatchedMass:
    """Mass on the target and its baseline.

    The baseline at an age is the mean attention, over prompts, that the query gives to a key of that age which is
    neither marked nor the first token (heads rest there). Where no prompt has such a key, as in probes whose target
    always has one age, the mean of the nearest ages that have some stands in.

    Args:
        last_rows: Attention by age [N, H, A], as `HeadReading` holds it for a layer.
        prompts: The prompts [N].
        mark: Name of the mark.
    """
    has = np.array([bool(prompt.marks.get(mark)) for prompt in prompts], dtype=bool)
    rows = np.asarray(last_rows, dtype=float)[has]
    marked = [prompt for prompt, one in zip(prompts, has, strict=True) if one]
    target = np.zeros((len(marked), rows.shape[2]), dtype=bool)
    control = np.isfinite(rows).any(axis=1)
    for i, prompt in enumerate(marked):
        target[i, [prompt.last - k for k in prompt.marks[mark]]] = True
        control[i, prompt.last] = False
    control &= ~target
    mass = np.where(target[:, None], rows, 0.0).sum(axis=2)
    held = np.where(control[:, None], rows, 0.0)
    baseline = _baseline(held.sum(axis=0), control.sum(axis=0), target.sum(axis=0), len(marked))
    others = [
        _baseline(held.sum(axis=0) - held[i], control.sum(axis=0) - control[i], target.sum(axis=0) - target[i], n)
        for n in (len(marked) - 1,)
        for i in range(len(marked))
    ]
    deleted = np.array(others).reshape(len(marked), rows.shape[1])
    why = next((prompt.lost[mark] for prompt in prompts if mark in prompt.lost), "")
    absent = f"no mark {mark!r}" + (f" ({why})" if why else "")
    return MatchedMass(mass, baseline, deleted, int((~has).sum()), absent)


def _baseline(attention: Array, controls: Array, targets: Array, n: int) -> Array:
    """Mean over n prompts of the expected attention at the ages of their targets [H].

    Args:
        attention: Sum over controls by age [H, A].
        controls: How many there are by age [A].
        targets: Marked keys by age [A].
        n: Prompts.
    """
    ages, known = np.flatnonzero(targets), np.flatnonzero(controls)
    if not n or not len(known):
        return np.full(len(attention), np.nan)
    distance = np.abs(known[None, :] - ages[:, None])
    nearest = distance == distance.min(axis=1, keepdims=True)
    share = nearest / nearest.sum(axis=1, keepdims=True) * targets[ages][:, None]
    return np.asarray((attention[:, known] / controls[known]) @ share.sum(axis=0) / n)


def mass_estimates(found: MatchedMass) -> list[Estimate]:
    """The mean mass of each head with its standard error."""
    present = np.arange(len(found.mass) + found.left_out) < len(found.mass)
    padded = np.vstack([found.mass, np.full((found.left_out, found.mass.shape[1]), np.nan)])
    return [mean_over_prompts(column, present, found.absent) for column in padded.T]


def baseline_estimates(found: MatchedMass) -> list[Estimate]:
    """The baseline of each head with a delete-one jackknife error."""
    pairs = zip(found.baseline, found.deleted.T, strict=True)
    return [_replicated(value, deleted, 1.0, found) for value, deleted in pairs]


def selectivity_estimates(found: MatchedMass) -> list[Estimate]:
    """Mass on the target over its baseline, a ratio of means, with a delete-one jackknife error.

    Range 0 … ∞; no unit. 1: the head does not care that the key is the target.

    How it misleads: a ratio of 50 of a mass of .001 moves no answer; read it beside mass and baseline. Its baseline is
    other keys of the same distance, so a head that likes every noun is selective in a prompt with few nouns.
    """
    n = len(found.mass)
    total = found.mass.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = total / n / found.baseline
        deleted = (total - found.mass) / (n - 1) / found.deleted
    return [_replicated(v, d, np.inf, found) for v, d in zip(value, deleted.T, strict=True)]


def _replicated(value: float, deleted: Array, ceiling: float, found: MatchedMass) -> Estimate:
    n, left_out = len(found.mass), found.left_out
    if n < 2:
        return unknown(n, ceiling, f"{found.absent} in {left_out} of {left_out + n} prompts")
    if not np.isfinite(found.mass).all():
        return unknown(n, ceiling, NON_FINITE)
    if not np.isfinite(value):
        return unknown(n, ceiling, "the baseline is 0" if np.isposinf(value) else NO_CONTROL)
    return Estimate(float(value), jackknife_error(deleted), ceiling, n)

"""Every event rule, stated once: when a curve rises, falls and comes back. docs/definitions.md has them in words.

A curve is a row of an array [T, n]: T curves at the same n steps, higher is better. Rules of when return the index of
the first step at which they hold, or NEVER; an index stands for an interval, as what happened lies between the step
before it and that step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.analysis.tables.step_curves import Array, running_median

NEVER = -1
EARLY = 16  # steps whose mean is the untrained baseline
ERRORS = 2.0  # standard errors by which a curve must leave its baseline
MIN_RISE = 3.0  # standard errors between baseline and top; a smaller rise has no fractions
SUSTAINED = 0.8  # share of the later checkpoints that must stay above a fraction
MIN_FALL, MIN_RETURN = 0.22, 0.1  # nats
APART = 3.0  # standard errors between two points that differ

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]
Texts = NDArray[np.str_] | NDArray[np.object_]
Where = Index | int

# -- before any rule: which points count, how sure each is, where a curve starts ---------------------------------


def counts_once(steps: Array, weights: Texts) -> Mask:
    """Which checkpoints count where several hold the same weights: the last of them (assumption A17).

    How it misleads: it sees equal bytes only. The same tensors saved in another format or dtype pass as two.

    Args:
        steps: Training steps [n], in any order, each once.
        weights: Name of each checkpoint's weights, such as their sha256 [n]; empty where unknown, which equals nothing.

    Returns:
        [n], false where a later step holds the same weights.

    Source: EleutherAI/pythia issues 83 and 205.
    """
    order = np.argsort(-steps, kind="stable")
    _, first = np.unique(np.asarray(weights)[order], return_index=True)
    counts = np.zeros(len(steps), dtype=bool)
    counts[order[first]] = True
    return np.asarray(counts | (np.asarray(weights) == ""))


def share_error(share: Array, n: Array, stated: Array | float = np.nan) -> Array:
    """e: the one standard error of a share of right items.

    Half the width of Wilson's interval at one standard error, √(p(1−p)/n + 1/4n²) / (1 + 1/n); the source's own error
    where that is larger, as one that knows of clustered items may be. An own error of 0, as 0 of n right gives it, is
    none.

    How it misleads: it takes items for independent. Items made from few templates are not, and then it is too small
    unless the source's own error says so.

    Args:
        share: p in 0 … 1, any shape.
        n: Items, the same shape; NaN where unknown.
        stated: The source's own errors; 0 and NaN are none.

    Returns:
        Errors above 0; NaN where neither n nor an own error is known.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22:209, solved for z = 1.
    """
    p = np.clip(share, 0.0, 1.0)
    wilson = np.sqrt(p * (1 - p) / n + 1 / (4 * n**2)) / (1 + 1 / n)
    return np.asarray(np.fmax(wilson, np.where(np.asarray(stated) > 0, stated, np.nan)))


def baselines(steps: Array, values: Array, level: Array) -> Array:
    """B: what a run does before it has learned anything, max(level, mean of the values over steps ≤ 16).

    How it misleads: without early checkpoints it is the level alone, and untrained models are not at chance (PIQA .53
    for .50), so that an artefact of the format counts as ability.

    Args:
        steps: [n].
        values: Curves [T, n].
        level: The larger of chance and majority rate of each curve [T]; NaN where there is none.

    Returns:
        [T], in the values' units; NaN where neither a level nor an early step is known.
    """
    early = steps <= EARLY
    return np.asarray(np.fmax(level, values[:, early].mean(axis=1)) if early.any() else level)


# -- rises ------------------------------------------------------------------------------------------------------


def tops(values: Array) -> Array:
    """A [T]: the highest running median of 3, wherever it lies; a late decline does not lower it.

    How it misleads: a curve that still climbs has its top at the last value, which is too low and unsmoothed.
    """
    return np.asarray(running_median(values).max(axis=1))


def heights(values: Array, error: Array, baseline: Array) -> Array:
    """Z [T] = (A − B) / e, with e at the top; infinite where that error is 0.

    How it misleads: A is the largest of many points, so that noise alone reaches z of 1 to 2.
    """
    at_top = running_median(values).argmax(axis=1)
    rise, e = tops(values) - baseline, _at(error, at_top)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where((rise == 0) & (e == 0), 0.0, rise / e))


def leaves_baseline(values: Array, error: Array, baseline: Array, errors: float = ERRORS) -> Index:
    """E2: first step from which a − 2e stays above B to the end.

    How it misleads: it asks when a rise became significant, not when it began. A small gain or few items make it late
    with nothing late about it; one dip at the end undoes it.

    Args:
        values: Curves [T, n].
        error: e [T, n].
        baseline: B [T].
        errors: Standard errors between curve and baseline.
    """
    return _first(_from_here_on(_above(values, error, baseline, errors)))


def three_above(values: Array, error: Array, baseline: Array, errors: float = ERRORS) -> Index:
    """E2x3: first of three steps in a row at which a − 2e is above B.

    The last step where it alone of the last two is above: it may be the first of three, and is told apart from none.

    How it misleads: as E2; and what three checkpoints show may be gone at the fourth.
    """
    above = _above(values, error, baseline, errors)
    runs = np.zeros_like(above)
    runs[:, :-2] = above[:, :-2] & above[:, 1:-1] & above[:, 2:]
    alone = above[:, -1] & ~above[:, -2]
    return np.where(runs.any(axis=1), runs.argmax(axis=1), np.where(alone, values.shape[1] - 1, NEVER))


def rises(values: Array, baseline: Array, share: float) -> Index:
    """When a curve is a share φ of the way from B to A: ã ≥ B + φ(A − B) there, and at four fifths of all that follows.

    How it misleads: on a curve that does not rise clearly it is the place of a noise peak: `fraction` asks first.

    Args:
        values: Curves [T, n].
        baseline: B [T].
        share: φ in (0, 1).
    """
    curve = running_median(values)
    above = curve >= (baseline + share * (curve.max(axis=1) - baseline))[:, None]
    later = np.arange(above.shape[1], 0, -1)
    held = np.cumsum(above[:, ::-1], axis=1)[:, ::-1] / later
    return _first(above & (held >= SUSTAINED))


def fraction(values: Array, error: Array, baseline: Array, share: float) -> Index:
    """F.φ: `rises`, where the top stands three errors above the baseline; NEVER elsewhere.

    How it misleads: it needs a plateau. On a curve that still climbs every fraction is too early, and F10 is inside the
    noise where the rise is a few errors.
    """
    return np.where(heights(values, error, baseline) >= MIN_RISE, rises(values, baseline, share), NEVER)


Rule = Callable[[Array, Array, Array], Index]
FRACTIONS = {"F10": 0.10, "F25": 0.25, "F50": 0.50}
RULES: dict[str, Rule] = {
    "E2": leaves_baseline,
    "E2x3": three_above,
    **{name: partial(fraction, share=share) for name, share in FRACTIONS.items()},
}
"""Onset rules by name: (values [T, n], error [T, n], baseline [T]) → index [T]."""


def has_emerged(values: Array, error: Array, baseline: Array) -> Mask:
    """Whether each curve [T, n] rises at all: F50 exists, before the last step.

    How it misleads: with many steps and small errors a rise of a per cent has emerged.
    """
    half = fraction(values, error, baseline, 0.5)
    return np.asarray((half != NEVER) & (half < values.shape[1] - 1))


def halfway(steps: Array, values: Array, baseline: Array) -> Array:
    """log10(step) at which each curve is halfway from B to A for good [T], between checkpoints; NaN where never.

    How it misleads: the place between two checkpoints is a straight line's, not seen.
    """
    curve, x = running_median(values), np.log10(steps)
    level = baseline + 0.5 * (curve.max(axis=1) - baseline)
    first = rises(values, baseline, 0.5)
    return np.array(
        [crossing(x, c, v, i) if i != NEVER else np.nan for c, v, i in zip(curve, level, first, strict=True)]
    )


# -- falls and recoveries: of ln of a positive measure, such as RankMe ---------------------------------------------


def floors(curve: Array, inside: Mask | None = None) -> Index:
    """Index [T] of the lowest point of each curve, among the steps of a mask [n] where one is given."""
    return np.asarray((curve if inside is None else np.where(inside, curve, np.inf)).argmin(axis=1))


def peaks(curve: Array, start: Where, end: Where | None = None) -> Index:
    """Index [T] of the highest point of each curve from `start` to `end`, both counted; to the last where None."""
    index = np.arange(curve.shape[1])
    inside = index >= np.reshape(start, (-1, 1))
    if end is not None:
        inside = inside & (index <= np.reshape(end, (-1, 1)))
    return np.asarray(np.where(inside, curve, -np.inf).argmax(axis=1))


def are_apart(curve: Array, error: Array, first: Where, second: Where, least: float) -> Mask:
    """Whether two points of each curve differ by `least` nats and by three errors; not where an error is unknown."""
    gap = np.abs(_at(curve, first) - _at(curve, second))
    noise = APART * np.hypot(_at(error, first), _at(error, second))
    return np.asarray(gap >= np.maximum(least, noise))


def falls(curve: Array, error: Array, top: Where, low: Where) -> Mask:
    """Collapse: whether each curve falls from `top` to a later `low` by a fifth (.22 nats) and three errors.

    How it misleads: uncentred RankMe can fall because the mean grows while the spread around it stays.

    Args:
        curve: ln of the running median [T, n].
        error: Relative standard errors [T, n]; NaN, and then nothing counts as a collapse.
        top: Index, or indices [T].
        low: The same.
    """
    downward = (np.asarray(low) > np.asarray(top)) & (_at(curve, top) > _at(curve, low))
    return np.asarray(downward & are_apart(curve, error, top, low, MIN_FALL))


def returns(curve: Array, low: Where, high: Where, share: float) -> Index:
    """ρ_φ: first step after the floor from which a curve stays φ of the way up to its peak, until that peak.

    How it misleads: the peak is where this run's grid ends or turns; a longer run has another, and a later return.

    Args:
        curve: [T, n].
        low: Index of the floor F, or indices [T].
        high: Of the later peak P.
        share: φ in (0, 1): stays at F + φ(P − F) or above.
    """
    index, low, high = np.arange(curve.shape[1]), np.reshape(low, (-1, 1)), np.reshape(high, (-1, 1))
    floor, peak = _at(curve, low[:, 0])[:, None], _at(curve, high[:, 0])[:, None]
    above = (curve >= floor + share * (peak - floor)) | (index > high)
    first = _first(_from_here_on(above) & (index > low))
    return np.where(first <= high[:, 0], first, NEVER)


def recovers(geometry: Array, share: float, error: Array | float = 0.0) -> Index:
    """Recovery: `returns` from a curve's lowest point to its later peak; NEVER where the peak is less than .1 above.

    Args:
        geometry: ln of the measure [T, n]; its running median is read.
        share: φ in (0, 1).
        error: Relative standard errors [T, n], three of which the peak must be above the floor; none asked where 0.

    How it misleads: a curve that never fell and only rises has its floor at the start, and "recovers".
    """
    curve = running_median(geometry)
    low = floors(curve)
    high = peaks(curve, low)
    clear = are_apart(curve, np.broadcast_to(error, curve.shape), low, high, MIN_RETURN)
    return np.where(clear, returns(curve, low, high, share), NEVER)


# -- order and place ------------------------------------------------------------------------------------------------


def comes_first(geometry: Index, behaviour: Index) -> Mask:
    """Whether geometry's event is at an earlier checkpoint, for all pairs [Tg, Tb]; not where either is missing.

    How it misleads: any early global event comes first; order is no evidence that one drives the other.
    """
    g, b = geometry[:, None], behaviour[None, :]
    return np.asarray((g != NEVER) & (b != NEVER) & (g < b))


def crossing(x: Array, curve: Array, level: float, at: int) -> float:
    """The x at which one rising curve [n] reaches a level, linear between the checkpoint before `at` and `at`."""
    if at == 0 or curve[at] <= curve[at - 1]:
        return float(x[at])
    share = np.clip((level - curve[at - 1]) / (curve[at] - curve[at - 1]), 0, 1)
    return float(x[at - 1] + share * (x[at] - x[at - 1]))


def _above(values: Array, error: Array, baseline: Array, errors: float) -> Mask:
    return np.asarray(values - errors * error > baseline[:, None])


def _at(curve: Array, index: Where) -> Array:
    return np.asarray(curve[np.arange(len(curve)), index])


def _from_here_on(mask: Mask) -> Mask:
    return np.asarray(np.logical_and.accumulate(mask[:, ::-1], axis=1)[:, ::-1])


def _first(mask: Mask) -> Index:
    return np.where(mask.any(axis=1), mask.argmax(axis=1), NEVER)

"""When a curve rises, when it recovers: the rules of statistics.md A.3 for many curves at once.

All return the index of the first step at which the rule holds, or NEVER. An index stands for an interval: what
happened lies between the step before it and that step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.analysis.step_curves import Array, running_median

NEVER = -1
UNTRAINED = 16  # the mean over steps up to here is part of the baseline
SUSTAINED = 0.8  # share of later checkpoints that must hold a fractional crossing
MIN_RISE = 3.0  # standard errors between baseline and top
MIN_RECOVERY = 0.1  # ln units between floor and peak

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


def baselines(steps: Array, accuracy: Array, chance: Array) -> Array:
    """B [T] = max(chance, mean accuracy over steps ≤ 16): untrained accuracy is not chance."""
    early = steps <= UNTRAINED
    return np.maximum(chance, accuracy[:, early].mean(axis=1)) if early.any() else chance


def tops(accuracy: Array) -> Array:
    """A [T]: highest running median of 3."""
    return np.asarray(running_median(accuracy).max(axis=1))


def has_emerged(accuracy: Array, error: Array, baseline: Array) -> Mask:
    """Whether each curve [T, n] rises at all: F_.5 exists before the last step and A − B is three errors or more.

    The error is the one at the checkpoint of the highest running median.
    """
    at_top = running_median(accuracy).argmax(axis=1)
    rise = tops(accuracy) - baseline
    half = rises(accuracy, baseline, 0.5)
    clear = rise >= MIN_RISE * error[np.arange(len(error)), at_top]
    return np.asarray((rise > 0) & clear & (half != NEVER) & (half < accuracy.shape[1] - 1))


def rises(accuracy: Array, baseline: Array, share: float) -> Index:
    """F_φ: first step at which the running median is at B + φ(A − B), as is four fifths of all that follows.

    Args:
        accuracy: Curves [T, n].
        baseline: B [T].
        share: φ in (0, 1).
    """
    curve = running_median(accuracy)
    above = curve >= (baseline + share * (curve.max(axis=1) - baseline))[:, None]
    later = np.arange(above.shape[1], 0, -1)
    held = np.cumsum(above[:, ::-1], axis=1)[:, ::-1] / later
    return _first(above & (held >= SUSTAINED))


def leaves_baseline(accuracy: Array, error: Array, baseline: Array, errors: float = 2.0) -> Index:
    """E_k: first step from which accuracy stays k standard errors above its baseline."""
    above = accuracy - errors * error > baseline[:, None]
    return _first(_from_here_on(above))


def recovers(geometry: Array, share: float) -> Index:
    """ρ_φ: first step after the floor from which ln RankMe stays at F + φ(P − F) until its later peak P.

    Floor and peak are of the running median. NEVER where the peak is less than .1 above the floor.

    Args:
        geometry: ln RankMe [T, n].
        share: φ in (0, 1).
    """
    curve = running_median(geometry)
    index, rows = np.arange(curve.shape[1]), np.arange(len(curve))
    low = curve.argmin(axis=1)
    after = np.where(index >= low[:, None], curve, -np.inf)
    high = after.argmax(axis=1)
    floor, peak = curve[rows, low], curve[rows, high]
    above = (curve >= (floor + share * (peak - floor))[:, None]) | (index > high[:, None])
    held = _from_here_on(above) & (index > low[:, None])
    first = _first(held)
    return np.where((peak - floor >= MIN_RECOVERY) & (first <= high), first, NEVER)


def comes_first(geometry: Index, behaviour: Index) -> Mask:
    """Whether geometry's event is at an earlier checkpoint, for all pairs [Tg, Tb]; not where either is missing."""
    g, b = geometry[:, None], behaviour[None, :]
    return np.asarray((g != NEVER) & (b != NEVER) & (g < b))


def crossing(x: Array, curve: Array, level: float, at: int) -> float:
    """The x at which a curve reaches a level, linear between the checkpoint before `at` and `at`."""
    if at == 0 or curve[at] <= curve[at - 1]:
        return float(x[at])
    share = np.clip((level - curve[at - 1]) / (curve[at] - curve[at - 1]), 0, 1)
    return float(x[at - 1] + share * (x[at] - x[at - 1]))


def halfway(steps: Array, accuracy: Array, baseline: Array) -> Array:
    """log10(step) at which each curve is halfway from B to A for good [T]; NaN where it never is."""
    curve, x = running_median(accuracy), np.log10(steps)
    level = baseline + 0.5 * (curve.max(axis=1) - baseline)
    first = rises(accuracy, baseline, 0.5)
    return np.array(
        [crossing(x, c, v, i) if i != NEVER else np.nan for c, v, i in zip(curve, level, first, strict=True)]
    )


def _from_here_on(mask: Mask) -> Mask:
    return np.asarray(np.logical_and.accumulate(mask[:, ::-1], axis=1)[:, ::-1])


def _first(mask: Mask) -> Index:
    return np.where(mask.any(axis=1), mask.argmax(axis=1), NEVER)

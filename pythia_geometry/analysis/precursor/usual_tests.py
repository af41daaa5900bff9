"""The tests that are usually run, so that their false alarms can be shown (docs/precursors.md).

Each calls "geometry leads" or not for every pair of a geometry and a behaviour. None holds its level: they fire on
any early global event. They are here to be printed beside the primary test, never instead of it.
"""

from __future__ import annotations

import numpy as np

from pythia_geometry.analysis.events.rules import (
    NEVER,
    Index,
    Mask,
    comes_first,
    leaves_baseline,
    recovers,
    rises,
)
from pythia_geometry.analysis.precursor.task_matched_lag import recovery_differences
from pythia_geometry.analysis.tables.step_curves import (
    LAGS,
    Array,
    StepCurves,
    common_grid,
    lagged_products,
    resample,
    smooth,
)

ORDER = 2  # lags of the Granger regressions, in bins
LEVEL = 0.05
CLEAR_LAG, CLEAR_R = 0.2, 0.35
TINY = 1e-12

ONSET, HALVES = "onset: a−2se vs 10 % recovery", "onset: symmetric .5"
CCF_LEVELS, CCF_CHANGES = "CCF of levels, lag>0", "CCF of differences, whole curve, |r| peak lag>0"
CCF_RECOVERY, CCF_CLEAR = "CCF of differences, recovery part, lag>0", "same, lag ≥.2 decade and r>.35"
GRANGER_LEVELS, GRANGER_CHANGES = "Granger, levels (p=2)", "Granger, differences (p=2)"
USUAL = (
    ONSET,
    HALVES,
    CCF_LEVELS,
    CCF_CHANGES,
    CCF_RECOVERY,
    CCF_CLEAR,
    GRANGER_LEVELS,
    GRANGER_CHANGES,
)


def onset_calls(geometry: StepCurves, accuracy: StepCurves, error: Array, baseline: Array) -> dict[str, Mask]:
    """Onset orders: does geometry's event lie at an earlier step than behaviour's?

    `onset: a−2se vs 10 % recovery` is the paper-style rule: a low threshold on one side, significance on the other.
    It calls leads for small gains whatever the truth. `onset: symmetric .5` takes both halfway.

    Args:
        geometry: ln RankMe [Tg, n].
        accuracy: [Tb, m], its own steps.
        error: Standard errors [Tb, m].
        baseline: [Tb].

    Returns:
        By rule, calls for all pairs [Tg, Tb].
    """
    a = accuracy.values
    events = {
        ONSET: (recovers(geometry.values, 0.1), leaves_baseline(a, error, baseline)),
        HALVES: (recovers(geometry.values, 0.5), rises(a, baseline, 0.5)),
    }
    return {name: comes_first(*_on_one_axis(geometry, accuracy, *pair)) for name, pair in events.items()}


def ccf_calls(geometry: StepCurves, behaviour: StepCurves) -> dict[str, Mask]:
    """Signs of cross-correlation lags on the even grid: levels, differences, and differences after the floor."""
    grid = common_grid((geometry, behaviour))
    g, b = resample(geometry, grid), resample(behaviour, grid)
    changes = _standard(smooth(np.diff(b)))
    levels = np.abs(lagged_products(_standard(g), _standard(b)))
    whole = np.abs(lagged_products(_standard(smooth(np.diff(g))), changes))
    recovery = lagged_products(_standard(smooth(recovery_differences(g))), changes)
    lag = LAGS[recovery.argmax(axis=-1)]
    return {
        CCF_LEVELS: LAGS[levels.argmax(axis=-1)] > TINY,
        CCF_CHANGES: LAGS[whole.argmax(axis=-1)] > TINY,
        CCF_RECOVERY: lag > TINY,
        CCF_CLEAR: (lag >= CLEAR_LAG - TINY) & (recovery.max(axis=-1) > CLEAR_R),
    }


def granger_calls(geometry: StepCurves, behaviour: StepCurves) -> dict[str, Mask]:
    """Granger tests at 5 %: do two past bins of geometry improve a prediction from two past bins of behaviour?"""
    grid = common_grid((geometry, behaviour))
    g, b = resample(geometry, grid), resample(behaviour, grid)
    return {
        GRANGER_LEVELS: granger(g, b) < LEVEL,
        GRANGER_CHANGES: granger(np.diff(g), np.diff(b)) < LEVEL,
    }


def granger(cause: Array, effect: Array) -> Array:
    """p-values of the F-test that past `cause` [Tg, n] helps to predict `effect` [Tb, n], for all pairs [Tg, Tb].

    b_k = c + Σ_i α_i b_{k−i} + Σ_i β_i g_{k−i}, i = 1, 2; the F-test of β = 0. Assumes stationary series, which
    training curves are not: on levels 13 to 67 % of nulls are called.
    """
    n = cause.shape[1]
    explained = np.zeros((len(cause), len(effect)))
    left = np.zeros(len(effect))
    for column, series in enumerate(effect):
        own = np.stack([np.ones(n - ORDER), *_past(series[None])[:, 0]], axis=1)
        q, _ = np.linalg.qr(own)
        unexplained = series[ORDER:] - q @ (q.T @ series[ORDER:])
        new = _past(cause)
        explained[:, column] = _explained(unexplained, new - (new @ q) @ q.T)
        left[column] = unexplained @ unexplained
    freedom = n - ORDER - 2 * ORDER - 1
    ratio = (explained / ORDER) / np.maximum((left - explained) / freedom, TINY * np.maximum(left, TINY))
    return np.asarray((1 + ORDER * ratio / freedom) ** (-freedom / 2))  # the F distribution's tail for 2 and ν


def _past(series: Array) -> Array:
    """The two past values of each value from the third on, [2, T, n − 2]."""
    return np.stack([series[:, ORDER - i : -i] for i in range(1, ORDER + 1)])


def _explained(left: Array, new: Array) -> Array:
    """Sum of squares of `left` [n] that the two rows new[:, t] explain, for every t."""
    first, second = new
    size = np.einsum("tn,tn->t", first, first)
    share = np.einsum("tn,tn->t", first, second) / np.where(size > TINY, size, 1.0)
    second = second - share[:, None] * first
    rest = np.einsum("tn,tn->t", second, second)
    parts = [
        np.where(s > TINY, (row @ left) ** 2 / np.where(s > TINY, s, 1.0), 0.0)
        for row, s in ((first, size), (second, rest))
    ]
    return np.asarray(sum(parts))


def _on_one_axis(geometry: StepCurves, behaviour: StepCurves, first: Index, second: Index) -> tuple[Index, Index]:
    """Indices as steps, which two curves with different checkpoints share; NEVER stays."""
    return _as_steps(geometry, first), _as_steps(behaviour, second)


def _as_steps(curves: StepCurves, index: Index) -> Index:
    return np.where(index == NEVER, NEVER, curves.steps[index].astype(np.int64))


def _standard(rows: Array) -> Array:
    """Rows of mean 0 and length 1; constant rows become 0."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return np.asarray(np.where(length > TINY, rows / np.maximum(length, TINY), 0.0))


def ccf_scores(geometry: StepCurves, behaviour: StepCurves) -> Array:
    """Highest correlation of differences at a lead of up to a decade, geometry from its floor on, [Tg, Tb]."""
    grid = common_grid((geometry, behaviour))
    g = _standard(smooth(recovery_differences(resample(geometry, grid))))
    b = _standard(smooth(np.diff(resample(behaviour, grid))))
    leading = (LAGS > TINY) & (LAGS <= 1 + TINY)
    return np.asarray(lagged_products(g, b)[:, :, leading].max(axis=-1))


def closeness_scores(geometry: StepCurves, behaviour: StepCurves, baseline: Array) -> Array:
    """Minus the gap in decades between halfway recovery and halfway rise, −∞ where geometry is not first, [Tg, Tb]."""
    onsets = _on_one_axis(geometry, behaviour, recovers(geometry.values, 0.5), rises(behaviour.values, baseline, 0.5))
    first = comes_first(*onsets)
    g, b = (np.log10(np.maximum(steps, 1)) for steps in onsets)
    return np.where(first, g[:, None] - b[None, :], -np.inf)


def own_rank_p(own: Array, controls: Array) -> Array:
    """The p of each task [T] from the rank of its own score among its controls' [K, T]; a tie counts against it."""
    return np.asarray((1 + (controls >= own).sum(axis=0)) / (1 + len(controls)))

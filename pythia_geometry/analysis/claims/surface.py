"""Is the coefficient synchronous, does the Hessian lag, is information there before behaviour? C5, C6 and C12.

The statistic is that of `moves.py`, the same for every measure; the words' lines are in decision 0014.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.evidence import FINAL_NORM, UNCENTRED, Evidence, Needs
from pythia_geometry.analysis.claims.moves import MIN_RUNS, Curve, Lag, half_width, lags
from pythia_geometry.analysis.claims.ruling import (
    DOES_NOT,
    NOT_SEEN,
    REPLICATES,
    SEEN,
    UNDECIDED,
    Effect,
    Rule,
    Ruling,
    Truth,
    not_enough,
)

MARGIN, SAME = 0.10, 0.30  # decades
RUN_SPREAD, FAMILY_SPREAD, FAMILIES = 0.15, 0.30, 8  # of the made-up truths

RANK = Curve(UNCENTRED, FINAL_NORM)
RISE = Curve("llc_task_rise", of_surface=True)
SELECTIVITY = Curve("decoding_selectivity", FINAL_NORM, is_share=True)
DECODED = Curve("decoding", FINAL_NORM, minus_start=True, is_share=True)
HESSIAN = Curve("hessian_top", of_surface=True)
BESIDE = (
    RANK,
    *(Curve(name, of_surface=True) for name in ("fisher_rank", "covariance_rank", "llc", "hessian_trace")),
)
"""Shown beside each verdict: where every other measure stands by the same statistic."""


def is_synchronous(low: float, high: float) -> str:
    """C5's word of an interval."""
    if low >= -SAME and high <= SAME:
        return REPLICATES
    return DOES_NOT if low > MARGIN or high < -MARGIN else UNDECIDED


def is_late(low: float, high: float) -> str:
    """C6's word of an interval."""
    return REPLICATES if high < -MARGIN else DOES_NOT if low > -MARGIN else UNDECIDED


def is_early(low: float, high: float) -> str:
    """C12's word of one of its two intervals."""
    return REPLICATES if low > MARGIN else DOES_NOT if high < MARGIN else UNDECIDED


def synchronous(evidence: Evidence) -> Ruling:
    """C5, on each task's loss rise while the mixture is sampled."""
    return _rule(evidence, (RISE,), is_synchronous)


def lagging(evidence: Evidence) -> Ruling:
    """C6, on the largest eigenvalue of the Hessian."""
    return _rule(evidence, (HESSIAN,), is_late)


def decodable(evidence: Evidence) -> Ruling:
    """C12, on selectivity and on the accuracy minus that of step 0: both must lead."""
    return _rule(evidence, (SELECTIVITY, DECODED), is_early)


def _rule(evidence: Evidence, curves: Sequence[Curve], word: Callable[[float, float], str]) -> Ruling:
    evidence = evidence.surfaces or evidence
    found = [_lag(evidence, curve) for curve in curves]
    decisive = [lag for lag in found if isinstance(lag, Lag)]
    if len(decisive) < len(found):
        return not_enough("; ".join(lag for lag in found if isinstance(lag, str)))
    beside = [lag for curve in BESIDE if isinstance(lag := _lag(evidence, curve), Lag)]
    said = " | ".join(lag.words for lag in decisive)
    said += f". Beside it: {'; '.join(lag.words for lag in beside)}" if beside else ""
    rows = pd.concat([lag.rows.assign(measure=lag.measure) for lag in [*decisive, *beside]], ignore_index=True)
    least = min(decisive, key=lambda lag: lag.value)
    effect = Effect(f"lag in decades, {least.measure}", least.value, least.low, least.high, least.n_runs, SAME)
    verdict = in_all([word(lag.low, lag.high) for lag in decisive], least.n_runs)
    return Ruling(verdict, said, rows, effect)


def _lag(evidence: Evidence, curve: Curve) -> Lag | str:
    rows = evidence.own if curve is RANK else evidence.geometry
    return lags(rows, evidence.behaviour, curve, evidence.tasks)


def in_all(words: Sequence[str], n_runs: int) -> str:
    """One word of several intervals: all must replicate, one is enough to refute; few runs are described."""
    one = REPLICATES if set(words) == {REPLICATES} else DOES_NOT if DOES_NOT in words else UNDECIDED
    return one if n_runs >= MIN_RUNS else {REPLICATES: SEEN, DOES_NOT: NOT_SEEN}.get(one, one)


def _made_up(name: str, lag: float, word: Callable[[float, float], str], times: int = 1) -> Truth:
    """Lags of runs and families around a true one, judged as real ones are."""

    def drawn(n_runs: int, rng: np.random.Generator) -> str:
        intervals = []
        for _ in range(times):
            of_runs = rng.normal(0, RUN_SPREAD, (n_runs, 1))
            table = lag + of_runs + rng.normal(0, FAMILY_SPREAD, (1, FAMILIES)) + rng.normal(0, 0.1, (n_runs, FAMILIES))
            wide = [half_width(table.mean(axis=0))]
            wide += [half_width(table.mean(axis=1))] if n_runs >= MIN_RUNS else []
            intervals.append((float(table.mean()) - max(wide), float(table.mean()) + max(wide)))
        return in_all([word(low, high) for low, high in intervals], n_runs)

    what = f"a lag of {lag:+g} decade; runs differ by {RUN_SPREAD:g}, families by {FAMILY_SPREAD:g}"
    return Truth(name, what, drawn)


NULL, EFFECT = "null", "the paper's effect"
RULES = {
    "synchronous": Rule(
        Needs(),
        synchronous,
        (_made_up(NULL, 0.5, is_synchronous), _made_up(EFFECT, 0.0, is_synchronous)),
    ),
    "late": Rule(Needs(), lagging, (_made_up(NULL, 0.0, is_late), _made_up(EFFECT, -0.3, is_late))),
    "decodable": Rule(
        Needs(),
        decodable,
        (_made_up(NULL, 0.0, is_early, 2), _made_up(EFFECT, 0.3, is_early, 2)),
    ),
}

"""Onsets of many runs where some had none by the last step: Kaplan–Meier, and a permutation log-rank.

A run that has not emerged by its last step is *censored*: it is known to be later, not to be never. Leaving it out
makes emergence look early; giving it the last step makes late and never the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from pythia_geometry.errors import PythiaGeometryError

Array = NDArray[np.float64]
DRAWS = 9999


@dataclass(frozen=True, eq=False)
class SurvivalCurve:
    """Share of runs that have not emerged, by step.

    Attributes:
        step: Steps at which some emerged, rising [K].
        at_risk: Runs that had not emerged before, and were still seen [K].
        emerged: Runs that emerged at the step [K].
        waiting: Estimated share that has not emerged after the step [K].
        low: Lower end of its interval [K].
        high: Upper end [K].
        n: Runs.
        n_censored: Runs that were never seen to emerge.
    """

    step: Array
    at_risk: NDArray[np.int64]
    emerged: NDArray[np.int64]
    waiting: Array
    low: Array
    high: Array
    n: int
    n_censored: int

    @property
    def median(self) -> float:
        """First step by which at least half have emerged; NaN where fewer have."""
        past = self.waiting <= 0.5 + 1e-12
        return float(self.step[past.argmax()]) if past.any() else float("nan")


def kaplan_meier(by: ArrayLike, last: ArrayLike, level: float = 0.95) -> SurvivalCurve:
    """The Kaplan–Meier estimate of the share of runs that has not emerged.

    S(t) = Π over onset steps s ≤ t of (1 − emerged_s / at_risk_s), with the log(−log) interval of Greenwood's variance.
    Range 0 … 1, falling; no unit.

    How it misleads: it takes censoring to say nothing of the onset; runs that were stopped because nothing happened
    break that. Onsets are known to the grid only: S falls at the first checkpoint past the onset, so a coarse grid
    makes scatter look like steps. With ten runs the interval spans half the range.

    Args:
        by: The first step past each run's onset [n]; NaN where it was not seen to emerge.
        last: The last step at which each run was looked at [n].
        level: Of the interval.

    Raises:
        PythiaGeometryError: If there are no runs, lengths differ, or an onset lies after the last step.

    Source: Kaplan and Meier 1958; interval: Kalbfleisch and Prentice 1980, section 1.4.

    Example:
        >>> kaplan_meier([10, 20, np.nan, 30], [50, 50, 15, 50]).waiting.round(3).tolist()
        [0.75, 0.375, 0.0]
    """
    time, is_event = _times(by, last)
    step = np.unique(time[is_event])
    at_risk = np.array([(time >= s).sum() for s in step], dtype=int)
    emerged = np.array([((time == s) & is_event).sum() for s in step], dtype=int)
    waiting = np.cumprod(1 - emerged / at_risk)
    low, high = _interval(waiting, at_risk, emerged, float(norm.ppf(0.5 + level / 2)))
    return SurvivalCurve(step, at_risk, emerged, waiting, low, high, len(time), int((~is_event).sum()))


def _interval(waiting: Array, at_risk: Array, emerged: Array, z: float) -> tuple[Array, Array]:
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(np.cumsum(emerged / (at_risk * (at_risk - emerged)))) / np.abs(np.log(waiting))
        low, high = (waiting ** np.exp(sign * z * spread) for sign in (1, -1))
    inside = (waiting > 0) & (waiting < 1)
    return np.where(inside, low, 0.0), np.where(inside, high, np.where(waiting > 0, 1.0, waiting))


@dataclass(frozen=True)
class LogRank:
    """Whether runs with a higher score emerge earlier.

    Attributes:
        statistic: Σ score · (emerged − expected); above 0: higher scores emerge earlier.
        p: Two-sided permutation p.
        n: Runs that entered.
        n_emerged: Of them, those that emerged.
    """

    statistic: float
    p: float
    n: int
    n_emerged: int


def log_rank(
    by: ArrayLike,
    last: ArrayLike,
    score: ArrayLike,
    strata: Sequence[object] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    runs: Sequence[object] | None = None,
) -> LogRank:
    """The log-rank test for trend, its p from permuting scores within strata.

    T = Σ_i s_i (δ_i − Λ(t_i)) with s the scores minus their stratum's mean, δ whether run i emerged and Λ the
    Nelson–Aalen cumulative hazard of its stratum's runs together. With scores 0 and 1 it is observed minus expected
    onsets of the second group. Permutation, because the usual normal approximation is not to be trusted at three to
    ten runs a group.

    How it misleads: it weighs all steps alike and sees no difference between curves that cross. The permutation takes
    runs to be exchangeable within a stratum: groups looked at for different lengths are not, unless censoring is alike.

    Args:
        by: The first step past each run's onset [n]; NaN where it was not seen to emerge.
        last: The last step at which each run was looked at [n].
        score: What orders the groups, such as log10 of the parameters [n].
        strata: Runs that may be exchanged, such as those of one capability [n]; all where None.
        draws: Random permutations.
        seed: Of the permutations.
        runs: Whose training run each row is, where a run has several (its capabilities, a stratum each): then whole
            runs are permuted, since a run that is early in one is often early in all, and rows are no n.

    Returns:
        p is NaN where no run emerged or all scores of every stratum are the same.

    Raises:
        PythiaGeometryError: As `kaplan_meier`; or if a score is not a number, or a run has two.

    Source: Mantel 1966; trend: Tarone 1975; martingale form: Therneau and Grambsch 2000, section 4.

    Example:
        >>> found = log_rank([10, 20, 30, 40, 50, 60], [99] * 6, [1, 1, 1, 0, 0, 0])
        >>> found.p < 0.15, found.statistic > 0
        (True, True)
    """
    time, is_event = _times(by, last)
    given = np.asarray(score, dtype=float)
    if given.shape != time.shape or not np.isfinite(given).all():
        raise PythiaGeometryError(f"log_rank needs a finite score for each of {len(time)} runs")
    groups = _strata(strata, len(time))
    residual, centred = np.empty(len(time)), np.empty(len(time))
    for members in groups:
        residual[members] = is_event[members] - _hazard(time[members], is_event[members])
        centred[members] = given[members] - given[members].mean()
    n = len(time)
    if runs is not None:
        centred, residual = _by_run(runs, given, residual)
        groups = [np.arange(len(centred))]
    own = float(centred @ residual)
    if not is_event.any() or not centred.any():
        return LogRank(own, float("nan"), n, int(is_event.sum()))
    rng = np.random.default_rng(seed)
    drawn = np.tile(residual, (draws, 1))
    for members in groups:
        drawn[:, members] = rng.permuted(drawn[:, members], axis=1)
    as_far = np.abs(drawn @ centred) >= abs(own) - 1e-9
    return LogRank(own, float((1 + as_far.sum()) / (1 + draws)), n, int(is_event.sum()))


def _by_run(runs: Sequence[object], score: Array, residual: Array) -> tuple[Array, Array]:
    """Centred score and summed residual of each run; T is the same, as residuals of a stratum sum to 0."""
    names, of = np.unique([str(one) for one in runs], return_inverse=True)
    if len(of) != len(score):
        raise PythiaGeometryError(f"log_rank needs the run of each of {len(score)} rows; got {len(of)}")
    by_run = np.zeros(len(names))
    by_run[of] = score
    if (by_run[of] != score).any():
        raise PythiaGeometryError("log_rank: all rows of a run need one score")
    return by_run - by_run.mean(), np.asarray(np.bincount(of, residual), dtype=float)


def _hazard(time: Array, is_event: NDArray[np.bool_]) -> Array:
    """Nelson–Aalen cumulative hazard at each run's own time."""
    step = np.unique(time[is_event])
    jump = np.array([((time == s) & is_event).sum() / (time >= s).sum() for s in step])
    return np.array([jump[step <= t].sum() for t in time])


def _strata(strata: Sequence[object] | None, n: int) -> list[NDArray[np.int64]]:
    if strata is None:
        return [np.arange(n)]
    names = np.array([str(one) for one in strata])
    if len(names) != n:
        raise PythiaGeometryError(f"log_rank needs a stratum for each of {n} runs; got {len(names)}")
    return [np.flatnonzero(names == name) for name in np.unique(names)]


def _times(by: ArrayLike, last: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    """When each run emerged or was last seen, and which of the two it is."""
    onset, end = np.asarray(by, dtype=float), np.asarray(last, dtype=float)
    if onset.ndim != 1 or onset.shape != end.shape or not len(onset):
        raise PythiaGeometryError(
            f"Onsets and last steps must be two lists of one length; got {onset.shape}, {end.shape}"
        )
    if not np.isfinite(end).all() or (onset > end).any():
        raise PythiaGeometryError("Every run needs a last step, at or after its onset")
    is_event = np.isfinite(onset)
    return np.where(is_event, onset, end), is_event

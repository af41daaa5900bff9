"""The primary test: does each task's own geometry move before that task's behaviour (task-matched lag, TML)?

Both curves of a task become profiles of *when* they change: differences on an even
grid in log10(step), the geometry's from its floor on, each divided by its total, less the mean over tasks. What
all tasks share (warm-up, the collapse, a global recovery) is gone; what is left is each task's own timing.

    C[u, t, l] = Σ_k Δgeometry_u(k) · Δbehaviour_t(k + l)      summed over runs
    S(π)       = max_l Σ_t C[π(t), t, l]
    p          = share of permutations π of tasks with S(π) ≥ S(identity), one π for all runs
    lag        = argmax_l Σ_t C[t, t, l], its bounds from bootstraps of tasks

A leg says that geometry leads if all of this holds at 5 %: p; the lag over δ = .10 decade (×1.26 in steps) in
bootstraps of runs and families; and, of two runs or more, the mean of their lags over δ by Student's t
(docs/definitions.md, Tests).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product
from math import factorial, prod

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom
from scipy.stats import t as student

from pythia_geometry.analysis.precursor.multiplicity import westfall_young
from pythia_geometry.analysis.tables.step_curves import (
    Array,
    StepCurves,
    common_grid,
    lagged_products,
    peak_lag,
    resample,
)
from pythia_geometry.analysis.tables.step_curves import smooth as smoothed
from pythia_geometry.errors import PythiaGeometryError

DELTA = 0.10  # decades
LEVEL = 0.05
PERMUTATIONS, BOOTSTRAPS = 2000, 1000
ALL_UP_TO = 7  # tasks for which every permutation is listed
TIE = 1e-12
FLAT = 1e-9  # a profile that is this short after the common mode is nothing but rounding

LEADS, COUPLED, LAGS_BEHIND, NOTHING = "leads", "coupled", "lags", "no coupling shown"
"""What one leg says; the word of a study is in `finding`."""

Orders = NDArray[np.int64]
Families = Sequence[str] | None


@dataclass(frozen=True)
class MatchedRun:
    """Geometry and behaviour of the same tasks, row for row, in one training run."""

    geometry: StepCurves
    behaviour: StepCurves


@dataclass(frozen=True)
class Leg:
    """Outcome of the test on one behaviour metric.

    Attributes:
        p_specific: Share of permutations of families whose S reaches that of the true matching.
        lag: Best common lag in decades; positive where geometry comes first. Shrunk towards 0 (a true .5 reads .38).
        lower: 5 % quantile over bootstraps of runs and of families.
        upper: 95 % quantile.
        p_lag: Share of those bootstraps whose lag is not over δ.
        run_lags: Best common lag of each run alone.
        runs_lower: 5 % bound of the mean of `run_lags` by Student's t; NaN for one run.
        p_runs: One-sided p of a mean over δ by Student's t; NaN for one run.
        p_sign: Sign test: p of so many runs over δ by coin flips; NaN for one run.
        statistic: S(identity) divided by the number of tasks and runs, a mean correlation from −1 to 1.
        n_tasks: Tasks.
        n_families: Families of tasks, which are permuted whole.
        n_permutations: Permutations, the identity included; p cannot be less than its inverse.
    """

    p_specific: float
    lag: float
    lower: float
    upper: float
    p_lag: float
    run_lags: tuple[float, ...]
    runs_lower: float
    p_runs: float
    p_sign: float
    statistic: float
    n_tasks: int
    n_families: int
    n_permutations: int

    @property
    def is_coupled(self) -> bool:
        """Whether it matters which geometry belongs to which task."""
        return self.p_specific <= LEVEL

    @property
    def p(self) -> float:
        """The p of a lead on this metric: the largest of its parts, since all must hold."""
        return max(self.p_specific, self.p_lag, 0.0 if np.isnan(self.p_runs) else self.p_runs)

    @property
    def label(self) -> str:
        """What this leg alone says, at 5 % and without a correction for other measures or models."""
        if not self.is_coupled:
            return NOTHING
        if self.p <= LEVEL:
            return LEADS
        return LAGS_BEHIND if self.upper < -DELTA else COUPLED


def task_matched_lag(
    runs: Sequence[MatchedRun], seed: int = 0, families: Families = None, own_strength: bool = False
) -> Leg:
    """Tests whether the geometry of a task leads the behaviour of that task, all runs together.

    How it misleads: permutation takes the families' prompt sets to be exchangeable. Where hard tasks also have longer
    prompts and length alone delays geometry, the test fires; the companion on token-shuffled prompts is there to
    show it. Accuracy alone fires on a metric that needs several right tokens: a claim needs the leg on
    log-probability too. A measure that is a concave function of what behaviour shows looks earlier without being
    earlier (`bend`). One run says nothing of how runs differ. A lead is not a cause.

    Args:
        runs: Models and seeds with the same tasks in the same order.
        seed: Of random permutations and bootstraps.
        families: The family of each task [T]; every task its own where None. Tasks of a family stand together, the
            easiest first: permutations move families whole, and only among families of one size.
        own_strength: Whether what all tasks' geometry shares is taken away at each task's own strength: a sensitivity
            that one event whose size differs between tasks cannot pass.

    Returns:
        The leg. Identical geometry for all tasks gives p = 1.

    Raises:
        PythiaGeometryError: If there are no runs, fewer than two tasks, or runs and curves do not match.
    """
    products = run_products(runs, own_strength)
    n_runs, n_tasks = products.shape[:2]
    drawn = _redraw(seed, n_runs, n_tasks, None if families is None else tuple(families))
    return _leg(products, permuted_statistics(products.sum(axis=0), drawn.orders), drawn)


@dataclass(frozen=True, eq=False)
class _Redrawn:
    """Permutations and bootstraps of one seed; the same for both metrics and every bend, and so drawn once.

    Attributes:
        blocks: Tasks of each family.
        orders: Permutations [P, T].
        of_families: How often each family is drawn [bootstrap, family]; the same in every run, since runs share them.
        of_runs: How often each run is drawn [bootstrap, run].
    """

    blocks: list[NDArray[np.int64]]
    orders: Orders
    of_families: NDArray[np.int64]
    of_runs: NDArray[np.int64]


@lru_cache(maxsize=2)
def _redraw(seed: int, n_runs: int, n_tasks: int, families: tuple[str, ...] | None) -> _Redrawn:
    rng, blocks = np.random.default_rng(seed), as_blocks(families, n_tasks)
    orders, n = task_orders(n_tasks, rng, blocks), len(blocks)
    of_families = rng.multinomial(n, np.full(n, 1 / n), BOOTSTRAPS)
    return _Redrawn(blocks, orders, of_families, rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), BOOTSTRAPS))


def run_products(runs: Sequence[MatchedRun], own_strength: bool = False) -> Array:
    """C[r, u, t, l]: in run r, geometry of task u against behaviour of task t at each lag [R, T, T, 41]."""
    if not runs:
        raise PythiaGeometryError("No training run was given. Expected at least one with geometry and behaviour")
    sizes = {len(c.values) for run in runs for c in (run.geometry, run.behaviour)}
    if len(sizes) > 1:
        raise PythiaGeometryError(
            f"Column 'task': runs and curves hold {sorted(sizes)} tasks. Expected the same tasks, in the same order"
        )
    if max(sizes) < 2:
        raise PythiaGeometryError(
            f"Column 'task': {sizes.pop()} task cannot be permuted. Expected several (5 for a verdict)"
        )
    return np.stack([_products(run, own_strength) for run in runs])


def as_blocks(families: Families, n_tasks: int) -> list[NDArray[np.int64]]:
    """Tasks of each family, in the order of the families' first tasks; every task alone where None."""
    if families is None:
        return [np.array([task]) for task in range(n_tasks)]
    names = list(families)
    if len(names) != n_tasks:
        raise PythiaGeometryError(f"{len(names)} families for {n_tasks} tasks. Expected one name a task")
    return [np.flatnonzero([name == own for name in names]) for own in dict.fromkeys(names)]


def task_orders(
    n_tasks: int, rng: np.random.Generator, blocks: Sequence[NDArray[np.int64]] = (), draws: int = PERMUTATIONS
) -> Orders:
    """Permutations of tasks, one a row, the identity first; families move whole, among families of one size.

    All are listed up to 7! of them, else so many are drawn, 2,000 if not said.
    """
    blocks = blocks or as_blocks(None, n_tasks)
    groups = [np.stack([b for b in blocks if len(b) == size]) for size in dict.fromkeys(map(len, blocks))]
    if prod(factorial(len(group)) for group in groups) <= factorial(ALL_UP_TO):
        every = [np.array(list(permutations(range(len(group))))) for group in groups]
        chosen = np.array(list(product(*(range(len(moves)) for moves in every)))).T
        moves = [m[rows] for m, rows in zip(every, chosen, strict=True)]
    else:
        moves = [_identity_and_random(len(group), rng, draws) for group in groups]
    orders = np.tile(np.arange(n_tasks), (len(moves[0]), 1))
    for group, moved in zip(groups, moves, strict=True):
        orders[:, group.ravel()] = group[moved].reshape(len(moved), -1)
    return orders


def _identity_and_random(n: int, rng: np.random.Generator, draws: int) -> Orders:
    drawn = rng.permuted(np.tile(np.arange(n), (draws - 1, 1)), axis=1)
    return np.concatenate([np.arange(n)[None], drawn])


def permuted_statistics(products: Array, orders: Orders) -> Array:
    """S(π) for every permutation [P]; the first is the true matching."""
    totals = np.zeros((len(orders), products.shape[2]))
    taken = np.empty_like(totals)
    for own, places in zip(np.ascontiguousarray(products.swapaxes(0, 1)), np.ascontiguousarray(orders.T), strict=True):
        totals += np.take(own, places, axis=0, out=taken, mode="clip")  # clip: no second buffer
    return np.asarray(totals.max(axis=1))


def _leg(products: Array, reached: Array, redrawn: _Redrawn) -> Leg:
    n_runs, n_tasks = products.shape[:2]
    tasks, blocks = np.arange(n_tasks), redrawn.blocks
    each = products[:, tasks, tasks]  # [run, task, lag]
    own = np.stack([each[:, block].sum(axis=1) for block in blocks], axis=1)  # [run, family, lag]
    drawn = _bootstrapped_lags(own, redrawn)
    lower, upper = np.quantile(drawn, (LEVEL, 1 - LEVEL))
    run_lags = peak_lag(own.sum(axis=1))
    return Leg(
        p_specific=float((reached >= reached[0] - TIE).mean()),
        lag=float(peak_lag(own.sum(axis=(0, 1)))),
        lower=float(lower),
        upper=float(upper),
        p_lag=float((1 + (drawn <= DELTA).sum()) / (1 + len(drawn))),
        run_lags=tuple(float(lag) for lag in run_lags),
        **over_runs(run_lags),
        statistic=float(reached[0] / n_tasks / n_runs),
        n_tasks=n_tasks,
        n_families=len(blocks),
        n_permutations=len(reached),
    )


def _bootstrapped_lags(own: Array, redrawn: _Redrawn) -> Array:
    """Lags of bootstraps that draw families and runs anew, of own [run, family, lag]."""
    if len(own) == 1:
        return peak_lag(redrawn.of_families @ own[0])
    runs = np.tensordot(redrawn.of_runs, own, axes=1)  # [bootstrap, family, lag]
    return peak_lag(np.einsum("bf,bfl->bl", redrawn.of_families, runs))


def over_runs(run_lags: Array) -> dict[str, float]:
    """What runs say as the unit: Student's bound and p of a mean lag over δ, and the sign test.

    How it misleads: with few runs Student's bound takes their lags to be normal about their mean. The sign test does
    not, but five runs cannot give less than .031.
    """
    n = len(run_lags)
    if n < 2:
        return dict.fromkeys(("runs_lower", "p_runs", "p_sign"), float("nan"))
    mean, error = float(run_lags.mean()), float(run_lags.std(ddof=1) / np.sqrt(n)) + TIE
    return {
        "runs_lower": mean - float(student.ppf(1 - LEVEL, n - 1)) * error,
        "p_runs": float(student.sf((mean - DELTA) / error, n - 1)),
        "p_sign": float(binom.sf(int((run_lags > DELTA).sum()) - 1, n, 0.5)),
    }


def _products(run: MatchedRun, own_strength: bool) -> Array:
    grid = common_grid((run.geometry, run.behaviour))
    geometry, behaviour = resample(run.geometry, grid), resample(run.behaviour, grid)
    return lagged_products(profiles(recovery_differences(geometry), own_strength), profiles(np.diff(behaviour)))


def recovery_differences(geometry: Array) -> Array:
    """First differences [T, n − 1] with zeros before each curve's lowest point: the recovery only."""
    differences = np.diff(geometry)
    return np.where(np.arange(differences.shape[1]) >= geometry.argmin(axis=1)[:, None], differences, 0.0)


def profiles(differences: Array, own_strength: bool = False) -> Array:
    """When each task changes, less what all tasks share; rows of length 1, or 0 where nothing is left.

    Args:
        differences: [T, n].
        own_strength: Whether the mean over tasks is first taken away at each row's own strength (its projection).
    """
    rows = smoothed(differences)
    rows = rows / (np.abs(rows).sum(axis=1, keepdims=True) + FLAT)
    if own_strength:
        mean = rows.mean(axis=0)
        rows = rows - np.outer(rows @ mean / max(float(mean @ mean), FLAT**2), mean)
    rows = rows - rows.mean(axis=0)
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return np.asarray(np.where(length > FLAT, rows / np.maximum(length, FLAT), 0.0))


@dataclass(frozen=True)
class LayerScan:
    """The same test at every layer, corrected for having looked at all of them.

    Attributes:
        layers: Names of the layers.
        lag: Best lag of each layer in decades.
        p_adjusted: Westfall–Young p of each layer: the share of permutations whose largest S over layers reaches
            that layer's own.
    """

    layers: tuple[str, ...]
    lag: Array
    p_adjusted: Array


def scan_layers(runs_by_layer: Mapping[str, Sequence[MatchedRun]], seed: int = 0) -> LayerScan:
    """Scans layers with one set of permutations.

    Args:
        runs_by_layer: The runs of `task_matched_lag`, with the geometry of one layer.
        seed: Of the permutations.

    Returns:
        Adjusted p and lag a layer. Not the primary test: its geometry is declared beforehand.
    """
    products = [run_products(runs).sum(axis=0) for runs in runs_by_layer.values()]
    orders = task_orders(len(products[0]), np.random.default_rng(seed))
    reached = np.stack([permuted_statistics(c, orders) for c in products], axis=1)  # [permutation, layer]
    own = np.array([peak_lag(np.einsum("ttl->l", c)) for c in products])
    return LayerScan(tuple(runs_by_layer), own, westfall_young(reached))

"""The primary test: does each task's own geometry move before that task's behaviour (task-matched lag, TML)?

Method of statistics.md A.7. Both curves of a task become profiles of *when* they change: differences on an even
grid in log10(step), the geometry's from its floor on, each divided by its total, less the mean over tasks. What
all tasks share (warm-up, the collapse, a global recovery) is gone; what is left is each task's own timing.

    C[u, t, l] = Σ_k Δgeometry_u(k) · Δbehaviour_t(k + l)      summed over runs
    S(π)       = max_l Σ_t C[π(t), t, l]
    p          = share of permutations π of tasks with S(π) ≥ S(identity), one π for all runs
    lag        = argmax_l Σ_t C[t, t, l], its bounds from bootstraps of tasks

A leg says that geometry leads if p ≤ .05 and the lag's lower 5 % bound exceeds δ = .10 decade (×1.26 in steps).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.analysis.precursor.multiplicity import westfall_young
from pythia_geometry.analysis.step_curves import Array, StepCurves, common_grid, lagged_products, peak_lag, resample
from pythia_geometry.analysis.step_curves import smooth as smoothed
from pythia_geometry.errors import PythiaGeometryError

DELTA = 0.10  # decades
LEVEL = 0.05
PERMUTATIONS, BOOTSTRAPS = 2000, 1000
ALL_UP_TO = 7  # tasks for which every permutation is listed
TIE = 1e-12
FLAT = 1e-9  # a profile that is this short after the common mode is nothing but rounding

LEADS, COUPLED, LAGS_BEHIND, NOTHING = "precursor", "coupled, not leading", "lagging", "no task-specific coupling"

Orders = NDArray[np.int64]


@dataclass(frozen=True)
class MatchedRun:
    """Geometry and behaviour of the same tasks, row for row, in one training run."""

    geometry: StepCurves
    behaviour: StepCurves


@dataclass(frozen=True)
class Leg:
    """Outcome of the test on one behaviour metric.

    Attributes:
        p_specific: Share of permutations whose S reaches that of the true matching.
        lag: Best common lag in decades; positive where geometry comes first. Shrunk towards 0 (a true .5 reads .38).
        lower: 5 % quantile over bootstraps of tasks.
        upper: 95 % quantile.
        statistic: S(identity) divided by the number of tasks and runs, a mean correlation from −1 to 1.
        n_tasks: Tasks.
        n_permutations: Permutations, the identity included; p cannot be less than its inverse.
    """

    p_specific: float
    lag: float
    lower: float
    upper: float
    statistic: float
    n_tasks: int
    n_permutations: int

    @property
    def is_coupled(self) -> bool:
        """Whether it matters which geometry belongs to which task."""
        return self.p_specific <= LEVEL

    @property
    def label(self) -> str:
        """What this leg alone says."""
        if not self.is_coupled:
            return NOTHING
        if self.lower > DELTA:
            return LEADS
        return LAGS_BEHIND if self.upper < -DELTA else COUPLED


def task_matched_lag(runs: Sequence[MatchedRun], seed: int | Sequence[int] = 0) -> Leg:
    """Tests whether the geometry of a task leads the behaviour of that task, all runs together.

    How it misleads: permutation takes the tasks' prompt sets to be exchangeable. Where hard tasks also have longer
    prompts and length alone delays geometry, the test fires; the companion on token-shuffled prompts is there to
    show it. Accuracy alone fires on a metric that needs several right tokens (statistics.md A.4): a claim needs
    the leg on log-probability too. A lead is not a cause.

    Args:
        runs: Models and seeds with the same tasks in the same order.
        seed: Of random permutations and bootstraps.

    Returns:
        The leg. Identical geometry for all tasks gives p = 1.

    Raises:
        PythiaGeometryError: If there are no runs, fewer than two tasks, or runs and curves do not match.

    Source: statistics.md A.7 and A.8.
    """
    products = matched_products(runs)
    rng = np.random.default_rng(seed)
    reached = permuted_statistics(products, task_orders(len(products), rng))
    return _leg(products, reached, rng, len(runs))


def matched_products(runs: Sequence[MatchedRun]) -> Array:
    """C[u, t, l]: geometry of task u against behaviour of task t at each lag, summed over runs [T, T, 41]."""
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
    return np.asarray(sum(_products(run) for run in runs))


def task_orders(n_tasks: int, rng: np.random.Generator) -> Orders:
    """Permutations of tasks, one a row, the identity first: all up to 7 tasks, else 2,000 drawn."""
    if n_tasks <= ALL_UP_TO:
        return np.array(list(permutations(range(n_tasks))))
    drawn = rng.permuted(np.tile(np.arange(n_tasks), (PERMUTATIONS - 1, 1)), axis=1)
    return np.concatenate([np.arange(n_tasks)[None], drawn])


def permuted_statistics(products: Array, orders: Orders) -> Array:
    """S(π) for every permutation [P]; the first is the true matching."""
    totals = np.zeros((len(orders), products.shape[2]))
    for task in range(len(products)):
        totals += products[orders[:, task], task]
    return np.asarray(totals.max(axis=1))


def _leg(products: Array, reached: Array, rng: np.random.Generator, n_runs: int) -> Leg:
    tasks = np.arange(len(products))
    own = products[tasks, tasks]
    drawn = rng.multinomial(len(tasks), np.full(len(tasks), 1 / len(tasks)), BOOTSTRAPS)
    lower, upper = np.quantile(peak_lag(drawn @ own), (LEVEL, 1 - LEVEL))
    return Leg(
        p_specific=float((reached >= reached[0] - TIE).mean()),
        lag=float(peak_lag(own.sum(axis=0))),
        lower=float(lower),
        upper=float(upper),
        statistic=float(reached[0] / len(tasks) / n_runs),
        n_tasks=len(tasks),
        n_permutations=len(reached),
    )


def _products(run: MatchedRun) -> Array:
    grid = common_grid((run.geometry, run.behaviour))
    geometry, behaviour = resample(run.geometry, grid), resample(run.behaviour, grid)
    return lagged_products(_profiles(recovery_differences(geometry)), _profiles(np.diff(behaviour)))


def recovery_differences(geometry: Array) -> Array:
    """First differences [T, n − 1] with zeros before each curve's lowest point: the recovery only."""
    differences = np.diff(geometry)
    return np.where(np.arange(differences.shape[1]) >= geometry.argmin(axis=1)[:, None], differences, 0.0)


def _profiles(differences: Array) -> Array:
    """When each task changes, less what all tasks share; rows of length 1, or 0 where nothing is left."""
    rows = smoothed(differences)
    rows = rows / (np.abs(rows).sum(axis=1, keepdims=True) + FLAT)
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
    """Scans layers with one set of permutations (statistics.md A.7, multiplicity).

    Args:
        runs_by_layer: The runs of `task_matched_lag`, with the geometry of one layer.
        seed: Of the permutations.

    Returns:
        Adjusted p and lag a layer. Not the primary test: its geometry is declared beforehand.
    """
    products = [matched_products(runs) for runs in runs_by_layer.values()]
    orders = task_orders(len(products[0]), np.random.default_rng(seed))
    reached = np.stack([permuted_statistics(c, orders) for c in products], axis=1)  # [permutation, layer]
    own = np.array([peak_lag(np.einsum("ttl->l", c)) for c in products])
    return LayerScan(tuple(runs_by_layer), own, westfall_young(reached))

"""Does geometry rank tasks by when they emerge, coarsely and finely? Statistics; the rules are in `difficulty`.

Behaviour is known as intervals of the grid, so two tasks have an order only where their intervals do not overlap. A
task that never emerged is later than every one that did, and has no order with another that did not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from pythia_geometry.analysis.precursor.task_matched_lag import as_blocks, task_orders
from pythia_geometry.errors import PythiaGeometryError

BOOTSTRAPS = 1000
MIN_TASKS = 4
COLUMNS = ["task", "predictor", "after", "by"]


@dataclass(frozen=True)
class Coarse:
    """How well a predictor ranks tasks by emergence, over runs and families.

    Attributes:
        rho: Mean over runs of Spearman's ρ between predictor and onset; tasks that never emerged share the last rank.
        low: 5 % quantile over bootstraps of runs and of families.
        high: 95 % quantile.
        p: Two-sided permutation p: families are permuted whole, the same in all runs.
        rho_emerged: The same mean over the tasks that emerged alone.
        n: Tasks.
        n_families: Families.
        n_emerged: Tasks that emerged in half of the runs or more.
        n_runs: Runs.
    """

    rho: float
    low: float
    high: float
    p: float
    rho_emerged: float
    n: int
    n_families: int
    n_emerged: int
    n_runs: int


def coarse_difficulty(runs: Sequence[pd.DataFrame], seed: int = 0) -> Coarse:
    """Spearman's ρ of predictor and onset, each run on its own.

    How it misleads: easy families differ from hard ones in prompt length and answer type, which move geometry by
    themselves. A high ρ says that families differ, not that geometry foretells.

    Args:
        runs: One table a run, the same tasks in each, one row a task: task, family, predictor, after, by (the onset's
            interval; NaN where it never emerged). Tasks of a family stand together.
        seed: Of bootstrap and permutations.

    Returns:
        NaN in every number for fewer than four families, or where predictor or onset is the same for all.

    Raises:
        PythiaGeometryError: If a column is missing or a predictor is not a number.
    """
    for tasks in runs:
        _check(tasks)
    x = np.array([tasks["predictor"].to_numpy(dtype=float) for tasks in runs])
    y = np.array([_onset_ranks(tasks) for tasks in runs])
    emerged = np.array([tasks["by"].notna().to_numpy() for tasks in runs])
    blocks = as_blocks(_families(runs[0]), x.shape[1])
    counts = (x.shape[1], len(blocks), int((emerged.mean(axis=0) >= 0.5).sum()), len(runs))
    nan = float("nan")
    own = _spearman(x, y)
    if len(blocks) < MIN_TASKS or np.isnan(own).all():
        return Coarse(nan, nan, nan, nan, nan, *counts)
    rng = np.random.default_rng(seed)
    low, high = np.nanquantile(_bootstrapped(x, y, blocks, rng), [0.05, 0.95])
    orders = task_orders(x.shape[1], rng, blocks)
    others = _mean([_spearman(a[orders], b) for a, b in zip(x, y, strict=True)])
    mean = float(_mean(own))
    p = float((np.abs(others) >= abs(mean) - 1e-12).mean())
    alone = [float(_spearman(a[e], b[e])) for a, b, e in zip(x, y, emerged, strict=True) if e.sum() >= MIN_TASKS]
    return Coarse(mean, float(low), float(high), p, float(_mean(alone)) if alone else nan, *counts)


def _bootstrapped(
    x: NDArray[np.float64], y: NDArray[np.float64], blocks: Sequence[NDArray[np.int64]], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Mean ρ of bootstraps that draw runs and families."""
    found = []
    for _ in range(BOOTSTRAPS):
        tasks = np.concatenate([blocks[k] for k in rng.integers(len(blocks), size=len(blocks))])
        runs = rng.integers(len(x), size=len(x))
        found.append(float(_mean(_spearman(x[runs][:, tasks], y[runs][:, tasks]))))
    return np.array(found)


def _families(tasks: pd.DataFrame) -> Sequence[str] | None:
    return [str(family) for family in tasks["family"]] if "family" in tasks else None


@dataclass(frozen=True)
class Concordance:
    """Pairs of tasks whose order geometry gets right.

    Attributes:
        right: Pairs with the predictor's order as behaviour's.
        wrong: Pairs with the opposite order.
        ties: Pairs with equal predictors.
        strict: right / all: ties count as failures, so chance is under one half where there are ties.
        fair: (right + ties / 2) / all: chance is one half.
    """

    right: int
    wrong: int
    ties: int

    @property
    def strict(self) -> float:
        """Share right, ties as failures."""
        return self.right / self.total if self.total else float("nan")

    @property
    def fair(self) -> float:
        """Share right, ties as halves."""
        return (self.right + self.ties / 2) / self.total if self.total else float("nan")

    @property
    def total(self) -> int:
        """Pairs that have an order."""
        return self.right + self.wrong + self.ties


def concordance(tasks: pd.DataFrame, higher_is_later: bool) -> Concordance:
    """Concordance over all pairs of tasks whose onsets do not overlap. Pass the tasks of one class.

    Args:
        tasks: As for `coarse_difficulty`.
        higher_is_later: Whether a larger predictor should mean a later onset.

    Raises:
        PythiaGeometryError: If a column is missing or a predictor is not a number.
    """
    _check(tasks)
    counts = {1: 0, -1: 0, 0: 0}
    for first, second in _ordered_pairs(tasks):
        gap = second["predictor"] - first["predictor"]
        counts[int(np.sign(gap)) * (1 if higher_is_later else -1)] += 1
    return Concordance(counts[1], counts[-1], counts[0])


def order_matches(tasks: pd.DataFrame, higher_is_later: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (earlier, later) by position [pairs, 2], and whether the predictor orders each: 1, −1 or 0 for a tie."""
    places = {task: place for place, task in enumerate(tasks["task"])}
    pairs = [(places[a["task"]], places[b["task"]]) for a, b in _ordered_pairs(tasks)]
    array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return array, _signs(tasks["predictor"].to_numpy(dtype=float), array, higher_is_later)


@dataclass(frozen=True)
class Timed:
    """Concordance over runs, with what permutations and bootstraps say.

    Attributes:
        fair: Share of pairs right, ties as halves, mean over runs; chance is one half.
        low: 5 % quantile over bootstraps of runs and families.
        high: 95 % quantile.
        p: Two-sided p of families permuted whole, the same in all runs.
        n_pairs: Pairs that have an order, over runs.
    """

    fair: float
    low: float
    high: float
    p: float
    n_pairs: int


def timed_concordance(runs: Sequence[pd.DataFrame], higher_is_later: bool, seed: int = 0) -> Timed:
    """How often the predictor orders two tasks as behaviour does, over runs.

    How it misleads: pairs share tasks, so that their number says little of how sure the share is; the interval is over
    runs and families.

    Args:
        runs: As for `coarse_difficulty`; pass the tasks of one class.
        higher_is_later: Whether a larger predictor should mean a later onset.
        seed: Of permutations and bootstraps.
    """
    for tasks in runs:
        _check(tasks)
    blocks = as_blocks(_families(runs[0]), len(runs[0]))
    rng = np.random.default_rng(seed)
    found = [_Pairs.of(tasks, higher_is_later) for tasks in runs]
    n_pairs = sum(len(one.pairs) for one in found)
    if not n_pairs or len(blocks) < 2:
        return Timed(float("nan"), float("nan"), float("nan"), float("nan"), n_pairs)
    orders = task_orders(len(runs[0]), rng, blocks)
    shares = np.array([float(_mean([one.share(order) for one in found])) for order in orders])
    family = np.empty(len(runs[0]), dtype=int)
    for number, block in enumerate(blocks):
        family[block] = number
    drawn = []
    for _ in range(BOOTSTRAPS // 2):
        weight = np.bincount(rng.integers(len(blocks), size=len(blocks)), minlength=len(blocks))[family]
        chosen = rng.integers(len(found), size=len(found))
        drawn.append(float(_mean([found[k].weighted(weight) for k in chosen])))
    low, high = np.nanquantile(drawn, [0.05, 0.95])
    away = np.abs(shares - 0.5)
    return Timed(float(shares[0]), float(low), float(high), float((away >= away[0] - 1e-12).mean()), n_pairs)


@dataclass(frozen=True)
class _Pairs:
    """One run's ordered pairs [pairs, 2] and predictors [T]."""

    pairs: NDArray[np.int64]
    predictor: NDArray[np.float64]
    higher_is_later: bool

    @classmethod
    def of(cls, tasks: pd.DataFrame, higher_is_later: bool) -> _Pairs:
        return cls(order_matches(tasks, higher_is_later)[0], tasks["predictor"].to_numpy(dtype=float), higher_is_later)

    def share(self, order: NDArray[np.int64]) -> float:
        signs = _signs(self.predictor[order], self.pairs, self.higher_is_later)
        return float((signs + 1).mean() / 2) if len(signs) else float("nan")

    def weighted(self, weight: NDArray[np.int64]) -> float:
        signs = _signs(self.predictor, self.pairs, self.higher_is_later)
        w = weight[self.pairs].prod(axis=1) if len(self.pairs) else np.zeros(0)
        return float(((signs + 1) / 2 * w).sum() / w.sum()) if w.sum() else float("nan")


def _signs(predictor: NDArray[np.float64], pairs: NDArray[np.int64], higher_is_later: bool) -> NDArray[np.int64]:
    gap = predictor[pairs[:, 1]] - predictor[pairs[:, 0]]
    return np.sign(gap if higher_is_later else -gap).astype(np.int64)


@dataclass(frozen=True)
class Swaps:
    """What geometry says of pairs of tasks whose order is reversed between two models.

    Attributes:
        n: Pairs that reverse beyond the grid's resolution.
        responsive: Those of them in which geometry reverses its order too, so that it can be right or wrong in both.
        follows: Share of the responsive pairs in which geometry reverses as behaviour does; chance is one half. A
            predictor that does not change with the model has no responsive pair, and so no share.
        both: Share of all n in which geometry has the order right in both models; chance is a quarter.
        mean: Share right over pairs and models; a predictor that does not change with the model scores one half.
        low: 5 % quantile of `follows` over bootstraps of families.
        high: 95 % quantile.
        p: Two-sided p of `follows` with families permuted whole, the same in both models.
    """

    n: int
    responsive: int
    follows: float
    both: float
    mean: float
    low: float
    high: float
    p: float


def swap_test(a: pd.DataFrame, b: pd.DataFrame, higher_is_later: bool, seed: int = 0) -> Swaps:
    """The order-swap test between two models.

    How it misleads: the paper's 26 % is chance under `both`. Pairs share tasks: the interval is over families.

    Args:
        a: Tasks of one model, as a run of `coarse_difficulty`.
        b: The same tasks, in the same order, of the other.
        higher_is_later: Whether a larger predictor should mean a later onset.
        seed: Of permutations and bootstraps.

    Raises:
        PythiaGeometryError: If a column is missing or a predictor is not a number.
    """
    _check(a)
    _check(b)
    nan = float("nan")
    shared = [task for task in a["task"] if task in set(b["task"])]
    a, b = (t.set_index("task").loc[shared].reset_index() for t in (a, b))
    in_b = {tuple(pair) for pair in order_matches(b, True)[0].tolist()}
    swapped = np.array([p for p in order_matches(a, True)[0].tolist() if (p[1], p[0]) in in_b], dtype=np.int64)
    if not len(swapped):
        return Swaps(0, 0, nan, nan, nan, nan, nan, nan)
    predictors = [t["predictor"].to_numpy(dtype=float) for t in (a, b)]

    def right(order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Whether geometry has each pair's order right, 1 or −1, in both models [2, pairs]."""
        first = _signs(predictors[0][order], swapped, higher_is_later)
        return np.stack([first, _signs(predictors[1][order], swapped[:, ::-1], higher_is_later)])

    def follows(signs: NDArray[np.int64], weight: NDArray[np.int64] | int = 1) -> float:
        yes, no = ((signs == k).all(axis=0) * weight for k in (1, -1))
        return float(yes.sum() / (yes.sum() + no.sum())) if yes.sum() + no.sum() else nan

    blocks = as_blocks(_families(a), len(a))
    rng = np.random.default_rng(seed)
    own = right(np.arange(len(a)))
    permuted = np.array([follows(right(order)) for order in task_orders(len(a), rng, blocks)])
    family = np.empty(len(a), dtype=int)
    for number, block in enumerate(blocks):
        family[block] = number
    draws = [rng.integers(len(blocks), size=len(blocks)) for _ in range(BOOTSTRAPS // 2)]
    weights = [np.bincount(d, minlength=len(blocks))[family][swapped].prod(axis=1) for d in draws]
    drawn = np.array([follows(own, weight) for weight in weights])
    observed, responsive = follows(own), int((own[0] == own[1]).sum() - (own == 0).all(axis=0).sum())
    low, high = np.nanquantile(drawn, [0.05, 0.95]) if np.isfinite(drawn).any() else (nan, nan)
    away = np.abs(np.nan_to_num(permuted, nan=0.5) - 0.5)
    p = float((away >= away[0] - 1e-12).mean()) if responsive else nan
    return Swaps(
        len(swapped), responsive, observed, float((own == 1).all(axis=0).mean()), float((own == 1).mean()),
        float(low), float(high), p,
    )  # fmt: skip


def _check(tasks: pd.DataFrame) -> None:
    if missing := [column for column in COLUMNS if column not in tasks]:
        raise PythiaGeometryError(f"Tasks need the columns {', '.join(COLUMNS)}; {missing[0]!r} is missing")
    if tasks["predictor"].isna().any():
        bad = tasks.loc[tasks["predictor"].isna(), "task"].iloc[0]
        raise PythiaGeometryError(f"Task {bad} has no predictor. Leave out tasks whose geometry was not measured")


def _ordered_pairs(tasks: pd.DataFrame) -> Iterator[tuple[pd.Series, pd.Series]]:
    """Pairs (earlier, later) whose onsets do not overlap."""
    for (_, one), (_, other) in combinations(tasks.iterrows(), 2):
        if _before(one, other):
            yield one, other
        elif _before(other, one):
            yield other, one


def _before(one: pd.Series, other: pd.Series) -> bool:
    """Whether one emerged before the other by the grid; never-emerged comes after all that emerged."""
    if pd.isna(one["by"]):
        return False
    return bool(pd.isna(other["by"]) or one["by"] <= other["after"])


def _onset_ranks(tasks: pd.DataFrame) -> NDArray[np.float64]:
    onset = tasks["by"].to_numpy(dtype=float)
    return np.asarray(rankdata(np.where(np.isnan(onset), np.inf, onset)), dtype=float)


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's ρ along the last axis, NaN where one side is constant."""
    a, b = (ranks - ranks.mean(axis=-1, keepdims=True) for ranks in (rankdata(x, axis=-1), rankdata(y, axis=-1)))
    spread = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        return np.asarray((a * b).sum(axis=-1) / np.where(spread > 0, spread, np.nan))


def _mean(values: ArrayLike) -> NDArray[np.float64]:
    """Mean over the first axis of what is a number; NaN where nothing is."""
    array = np.asarray(values, dtype=float)
    known = np.isfinite(array)
    return np.asarray(np.where(known, array, 0.0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan))

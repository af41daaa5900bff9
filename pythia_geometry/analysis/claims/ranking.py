"""Does geometry rank tasks by when they emerge, coarsely and finely? Source: the protocol notes, A.3.

Behaviour is known as intervals of the grid, so two tasks have an order only where their intervals do not overlap. A
task that never emerged is later than every one that did, and has no order with another that did not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from pythia_geometry.errors import PythiaGeometryError

MAX_EXACT = 9  # tasks; 362,880 orders
DRAWS = 2000
MIN_TASKS = 4
COLUMNS = ["task", "predictor", "after", "by"]


@dataclass(frozen=True)
class Coarse:
    """How well a predictor ranks tasks by emergence.

    Attributes:
        rho: Spearman's ρ between predictor and onset; tasks that never emerged share the last rank.
        low: 5 % quantile over bootstraps of tasks.
        high: 95 % quantile.
        p: Two-sided permutation p: exact up to nine tasks, 2,000 random orders beyond.
        rho_emerged: The same ρ over the tasks that emerged alone.
        n: Tasks.
        n_emerged: Tasks that emerged.
    """

    rho: float
    low: float
    high: float
    p: float
    rho_emerged: float
    n: int
    n_emerged: int


def coarse_difficulty(tasks: pd.DataFrame, seed: int = 0) -> Coarse:
    """Spearman's ρ of predictor and onset.

    How it misleads: tasks of one run share its weights, and easy families differ from hard ones in prompt length and
    answer type, which move geometry by themselves. A high ρ says that families differ, not that geometry foretells.

    Args:
        tasks: One row a task: task, predictor, after, by (the onset's interval; NaN where it never emerged).
        seed: Of bootstrap and permutations.

    Returns:
        NaN in every number for fewer than four tasks, or where predictor or onset is the same for all.

    Raises:
        PythiaGeometryError: If a column is missing or a predictor is not a number.
    """
    _check(tasks)
    x, y = tasks["predictor"].to_numpy(dtype=float), _onset_ranks(tasks)
    emerged = tasks["by"].notna().to_numpy()
    nan = float("nan")
    if len(tasks) < MIN_TASKS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Coarse(nan, nan, nan, nan, nan, len(tasks), int(emerged.sum()))
    rng = np.random.default_rng(seed)
    own = float(_spearman(x, y))
    drawn = rng.integers(len(x), size=(DRAWS, len(x)))
    low, high = np.nanquantile(_spearman(x[drawn], y[drawn]), [0.05, 0.95])
    others = _spearman(x, y[_orders(len(y), rng)])
    p = float((np.abs(others) >= abs(own) - 1e-12).mean())
    of_emerged = float(_spearman(x[emerged], y[emerged])) if emerged.sum() >= MIN_TASKS else nan
    return Coarse(own, float(low), float(high), p, of_emerged, len(x), int(emerged.sum()))


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


@dataclass(frozen=True)
class Swaps:
    """What geometry says of pairs of tasks whose order is reversed between two models.

    Attributes:
        n: Pairs that reverse beyond the grid's resolution.
        both: Share in which geometry has the order right in both models; chance is a quarter.
        mean: Share right over pairs and models; chance is one half, and a predictor that does not change with the
            model scores exactly one half.
    """

    n: int
    both: float
    mean: float


def swap_test(a: pd.DataFrame, b: pd.DataFrame, higher_is_later: bool) -> Swaps:
    """The order-swap test between two models.

    The paper's 26 % is chance under `both`; print both numbers.

    Args:
        a: Tasks of one model, as for `coarse_difficulty`.
        b: Tasks of the other.
        higher_is_later: Whether a larger predictor should mean a later onset.

    Raises:
        PythiaGeometryError: If a column is missing or a predictor is not a number.
    """
    _check(a)
    _check(b)
    in_b = {(x["task"], y["task"]): (x, y) for x, y in _ordered_pairs(b)}
    right = []
    for x, y in _ordered_pairs(a):
        if (swapped := in_b.get((y["task"], x["task"]))) is not None:
            gaps = (y["predictor"] - x["predictor"], swapped[1]["predictor"] - swapped[0]["predictor"])
            right.append([(gap > 0) if higher_is_later else (gap < 0) for gap in gaps])
    if not right:
        return Swaps(0, float("nan"), float("nan"))
    return Swaps(len(right), float(np.mean([all(pair) for pair in right])), float(np.mean(right)))


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


def _orders(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """All orders of n tasks [n!, n], or the identity and random ones."""
    if n <= MAX_EXACT:
        return np.array(list(permutations(range(n))))
    return np.array([np.arange(n), *(rng.permutation(n) for _ in range(DRAWS - 1))])

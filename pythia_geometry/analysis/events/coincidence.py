"""Do a pattern and a behaviour appear together, more closely than in another run of the same capability?

The unit is a capability in a run: (model, seed, capability) on Pythia, (seed, output bit) in the lab. Each has two
onsets, counted in checkpoints: the pattern's and the behaviour's. Source: the protocol notes for heads (docs/heads.md).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from pythia_geometry.errors import PythiaGeometryError

COINCIDES, DOES_NOT, NOT_TESTABLE = "coincides", "does not coincide", "not testable"
COLUMNS = ["cell", "run", "pattern", "behaviour"]
MIN_RUNS = 4  # 1/4! is the first smallest p below .05
MIN_SCATTER = 2.0  # checkpoints
MIN_CELLS = 3  # with two, a cell and a run leave hardly anything of an onset
LEVEL = 0.05
MAX_EXACT = 7  # runs; 5,040 orders
DRAWS = 4999
SWEEPS = 10
TIE_BREAK = 1e-6  # medians of whole numbers are often equal: then the mean decides

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Related = Collection[frozenset[str]]


@dataclass(frozen=True)
class Order:
    """Which of the two comes first, one vote a run.

    Attributes:
        pattern_first: Runs whose median Δ is below 0.
        tied: Runs whose median Δ is 0: within one checkpoint interval, no order is known.
        behaviour_first: Runs whose median Δ is above 0.
        p: Two-sided sign test over the runs that are not tied; NaN where all are.
    """

    pattern_first: int
    tied: int
    behaviour_first: int
    p: float


@dataclass(frozen=True)
class Coincidence:
    """What the units say together.

    Attributes:
        label: coincides, does not coincide, not testable.
        reasons: Why it is not testable, or which cells were left out.
        median_distance: Median |Δ| in checkpoints over the units tested; Δ is pattern − behaviour.
        within_one: Share of them with |Δ| ≤ 1.
        p_other_seed: Share of pairings with other runs of the same cell that are as close; NaN where not testable.
        p_other_unit: Share of pairings with other cells of the same run that are as close; NaN where there are none.
        p_remainder: Share of dealings of whole runs that are as close, of onsets without their cell's and their run's
            mean; NaN below three cells.
        order: Which comes first.
        n: Units tested.
        n_runs: Runs they come from.
        neither: Units with neither onset: agreement, reported apart.
        pattern_only: Units whose pattern came and whose behaviour did not.
        behaviour_only: The reverse.
    """

    label: str
    reasons: tuple[str, ...]
    median_distance: float
    within_one: float
    p_other_seed: float
    p_other_unit: float
    p_remainder: float
    order: Order
    n: int
    n_runs: int
    neither: int
    pattern_only: int
    behaviour_only: int

    @property
    def p(self) -> float:
        """The largest p of the nulls that exist: a coincidence must beat all."""
        known = [p for p in (self.p_other_seed, self.p_other_unit, self.p_remainder) if np.isfinite(p)]
        return max(known, default=float("nan"))


def coincidence(units: pd.DataFrame, related: Related = frozenset(), draws: int = DRAWS, seed: int = 0) -> Coincidence:
    """Tests whether pattern and behaviour appear together.

    Statistic: the median over units of |Δ| in checkpoints. Null *same capability, other seed*: the pattern onsets of a
    cell are dealt out anew among its runs; this keeps the schedule, the grid and the capability's difficulty, so that
    "both are late because the task is hard" is no coincidence. Null *same run, another unit*, where a run has several:
    each behaviour is paired with the pattern of another cell of the same run; this keeps the run's own speed. A run
    that is fast in everything passes the first null without a coincidence, a hard task the second, and where speed and
    difficulty add up both are passed. So, with three cells or more, the first null is asked again of what is left of
    the onsets once each cell's and each run's mean is taken off: in decades of steps where steps are given, because a
    fast run is fast by a factor, which on a grid of checkpoints is no constant number of them; and with whole runs
    dealt out, because what is left of a run's units sums to 0. The label needs every null that exists.

    How it misleads: a pattern is not a cause. With one capability a run's own speed cannot be told from a coincidence.
    Onsets are intervals of the grid: below two checkpoints of scatter there is nothing to coincide. The head must be
    chosen without looking at the time of the jump (largest mass at the end, or the sum over heads).

    Args:
        units: One row a unit: cell (what may be exchanged between runs: model and capability), run (model and seed),
            pattern and behaviour: the index of the first checkpoint past each onset, NaN where it was not seen. And,
            where they are known, pattern_by and behaviour_by: the steps of these checkpoints.
        related: Pairs of cells of a run that share what the pattern attends to (rows of the lab's map with a common
            parent): not a null for each other.
        draws: Random pairings; all are taken for one cell of up to seven runs.
        seed: Of the pairings.

    Raises:
        PythiaGeometryError: If a column is missing or a cell has a run twice.
    """
    _check(units)
    has = units[["pattern", "behaviour"]].notna().to_numpy()
    both = units.dropna(subset=["pattern", "behaviour"])
    tested, reasons = _testable(both)
    counts = {
        "neither": int((~has).all(axis=1).sum()),
        "pattern_only": int((has[:, 0] & ~has[:, 1]).sum()),
        "behaviour_only": int((~has[:, 0] & has[:, 1]).sum()),
    }
    shown: pd.DataFrame = both if tested.empty else tested
    delta = (shown["pattern"] - shown["behaviour"]).to_numpy(dtype=float)
    rng = np.random.default_rng(seed)
    nan = float("nan")
    nulls = [nan, nan, nan]
    if len(tested):
        nulls = [_other_seed_p(tested, draws, rng), _other_unit_p(tested, related, draws, rng), nan]
        if both["cell"].nunique() >= MIN_CELLS:
            nulls[2] = _remainder_p(both, set(tested["cell"]), draws, rng)
    return Coincidence(
        label=NOT_TESTABLE if tested.empty else COINCIDES if np.nanmax(nulls) <= LEVEL else DOES_NOT,
        reasons=reasons,
        median_distance=float(np.median(np.abs(delta))) if len(delta) else nan,
        within_one=float((np.abs(delta) <= 1).mean()) if len(delta) else nan,
        p_other_seed=nulls[0],
        p_other_unit=nulls[1],
        p_remainder=nulls[2],
        order=order(shown),
        n=len(tested),
        n_runs=int(tested["run"].nunique()),
        **counts,
    )


def order(units: pd.DataFrame) -> Order:
    """Which comes first: one vote a run, the sign of the median Δ of its units, and a sign test over runs.

    Units of one run are not independent observations: only runs vote.

    Args:
        units: As for `coincidence`; units that lack an onset have no order.
    """
    both = units.dropna(subset=["pattern", "behaviour"])
    votes = np.sign((both["pattern"] - both["behaviour"]).groupby(both["run"]).median().to_numpy(dtype=float))
    first, last = int((votes < 0).sum()), int((votes > 0).sum())
    p = float(binomtest(first, first + last).pvalue) if first + last else float("nan")
    return Order(first, int((votes == 0).sum()), last, p)


def _check(units: pd.DataFrame) -> None:
    if missing := [column for column in COLUMNS if column not in units]:
        raise PythiaGeometryError(f"Units need the columns {', '.join(COLUMNS)}; {missing[0]!r} is missing")
    twice = units[units.duplicated(["cell", "run"])]
    if len(twice):
        cell, run = twice.iloc[0][["cell", "run"]]
        raise PythiaGeometryError(f"Unit {cell} of run {run} stands twice; expected one row a cell and run")


def _testable(both: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Units of cells in which a coincidence could be seen, and why others were left out."""
    kept, reasons = [], []
    for cell, rows in both.groupby("cell", sort=True):
        scatter = min(float(rows[c].std(ddof=1)) if len(rows) > 1 else 0.0 for c in ("pattern", "behaviour"))
        if len(rows) < MIN_RUNS:
            runs = "run has" if len(rows) == 1 else "runs have"
            reasons.append(f"{cell}: {len(rows)} {runs} both onsets; expected at least {MIN_RUNS}")
        elif scatter < MIN_SCATTER:
            reasons.append(f"{cell}: onsets scatter by {scatter:.1f} checkpoints; expected at least {MIN_SCATTER:.0f}")
        else:
            kept.append(rows)
    if not len(both):
        reasons.append("no unit has both onsets")
    return (pd.concat(kept) if kept else both.iloc[:0]), tuple(reasons)


def _distance(delta: Array) -> Array:
    """Median |Δ| along the last axis, the mean deciding between equal ones."""
    size = np.abs(delta)
    return np.asarray(np.median(size, axis=-1) + TIE_BREAK * size.mean(axis=-1))


def _share_as_close(own: float, others: Array) -> float:
    return float((1 + (others <= own + 1e-12).sum()) / (1 + len(others)))


def _other_seed_p(units: pd.DataFrame, draws: int, rng: np.random.Generator) -> float:
    pattern, behaviour = (units[c].to_numpy(dtype=float) for c in ("pattern", "behaviour"))
    own = float(_distance(pattern - behaviour))
    if units["cell"].nunique() == 1 and len(units) <= MAX_EXACT:
        dealt = pattern[np.array(list(permutations(range(len(units)))))]
        return float((_distance(dealt - behaviour) <= own + 1e-12).mean())
    dealt = np.tile(pattern, (draws, 1))
    for members in _positions(units["cell"]):
        dealt[:, members] = rng.permuted(dealt[:, members], axis=1)
    return _share_as_close(own, _distance(dealt - behaviour))


def _remainder_p(both: pd.DataFrame, tested: Collection[str], draws: int, rng: np.random.Generator) -> float:
    """Of onsets without the means of cell and run, in decades of steps; whole runs are dealt out."""
    cell, cells = pd.factorize(both["cell"].astype(str))
    run, runs = pd.factorize(both["run"].astype(str))
    shape = (len(cells), len(runs))
    left = [_without_means(shape, cell, run, _time(both, name)) for name in ("pattern", "behaviour")]
    pattern, behaviour = (one[cells.isin([str(name) for name in tested])] for one in left)
    if len(runs) <= MAX_EXACT:
        orders = np.array(list(permutations(range(len(runs)))))
    else:
        orders = np.array([np.arange(len(runs)), *(rng.permutation(len(runs)) for _ in range(draws))])
    size = np.abs(pattern[:, orders].swapaxes(0, 1) - behaviour).reshape(len(orders), -1)  # the first is the own order
    distance = np.nanmedian(size, axis=1) + TIE_BREAK * np.nanmean(size, axis=1)
    return float((distance <= distance[0] + 1e-12).mean())


def _time(both: pd.DataFrame, name: str) -> Array:
    """Onsets in decades of steps where steps are given, else in checkpoints."""
    if f"{name}_by" not in both or both[f"{name}_by"].isna().any():
        return both[name].to_numpy(dtype=float)
    return np.asarray(np.log10(np.maximum(both[f"{name}_by"].to_numpy(dtype=float), 1)))


def _without_means(shape: tuple[int, int], cell: Index, run: Index, values: Array) -> Array:
    """Values as a table cell by run without the means of both; NaN where a unit is missing."""
    grid = np.full(shape, np.nan)
    grid[cell, run] = values
    for axis in (0, 1) * SWEEPS:
        known = np.isfinite(grid)
        total, n = np.where(known, grid, 0).sum(axis=axis, keepdims=True), known.sum(axis=axis, keepdims=True)
        grid = grid - total / np.maximum(n, 1)
    return grid


def _other_unit_p(units: pd.DataFrame, related: Related, draws: int, rng: np.random.Generator) -> float:
    """NaN where no unit has another one of its run that is not related to it."""
    pattern, behaviour = (units[c].to_numpy(dtype=float) for c in ("pattern", "behaviour"))
    cells = units["cell"].astype(str).to_numpy()
    columns, used = [], []
    for members in _positions(units["run"]):
        for i in members:
            others = [j for j in members if j != i and frozenset((cells[i], cells[j])) not in related]
            if others:
                columns.append(pattern[rng.choice(others, draws)] - behaviour[i])
                used.append(i)
    if not used:
        return float("nan")
    own = float(_distance((pattern - behaviour)[used]))
    return _share_as_close(own, _distance(np.stack(columns, axis=1)))


def _positions(names: pd.Series) -> list[NDArray[np.int64]]:
    values = names.astype(str).to_numpy()
    return [np.flatnonzero(values == name) for name in np.unique(values)]


def smallest_p(n_runs: int) -> float:
    """The smallest p that one cell of so many runs can give: 1/n!."""
    return 1 / factorial(n_runs)

"""Does a floor depend on the size of the model? docs/definitions.md, Tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import linregress
from scipy.stats import t as student

from pythia_geometry.errors import PythiaGeometryError

MARGIN = 0.10  # ln units per decade of parameters: a tenth per tenfold
INVARIANT, DEPENDS, UNDECIDED, UNTESTABLE = "invariant", "depends on size", "undecided", "untestable"
DRAWS, MIN_TASKS = 2000, 3


@dataclass(frozen=True)
class Scaling:
    """How a value changes with size, pooled over tasks.

    Attributes:
        slope: d ln value / d log10 parameters, within tasks.
        low: 5 % bound of the slope: the lower of bootstraps of tasks and of Student's interval over runs.
        high: 95 % bound, the higher of the two.
        task_share: η², the share of the variance of ln value that the task explains.
        verdict: invariant (the 90 % interval lies inside ± .10, the two one-sided tests of equivalence), depends on
            size (it lies outside), undecided, or untestable (one size, or fewer than three tasks).
        n_sizes: Sizes.
        n_tasks: Tasks that every size has.
        n_runs: Runs that have any of these tasks.
    """

    slope: float
    low: float
    high: float
    task_share: float
    verdict: str
    n_sizes: int
    n_tasks: int
    n_runs: int


def scaling(values: pd.DataFrame, seed: int = 0) -> Scaling:
    """The slope of ln value on log10 parameters, and whether it is flat.

    How it misleads: with fewer than three runs the interval is over tasks alone, which share their run's weights.
    A floor near 1 cannot fall, and one set by the number of prompts cannot rise, whatever the model does: compare
    with the same number for the starting value, or for shuffled prompts.

    Args:
        values: One row a run and task: parameters, model, seed, task, value (positive).
        seed: Of the bootstrap of tasks.

    Raises:
        PythiaGeometryError: If a column is missing, a value is not positive, or a run and task has two rows.
    """
    needed = ["parameters", "model", "seed", "task", "value"]
    if missing := [column for column in needed if column not in values]:
        raise PythiaGeometryError(f"scaling needs the columns {', '.join(needed)}; {missing[0]!r} is missing")
    if not (values["value"] > 0).all():
        raise PythiaGeometryError("scaling needs positive values: it works on their logarithms")
    if (twice := values.duplicated(["parameters", "model", "seed", "task"])).any():
        row = values[twice].iloc[0]
        raise PythiaGeometryError(
            f"scaling needs one row a run and task; {row['model']}, seed {row['seed']}, {row['task']} has two or more"
        )
    table = values.assign(y=np.log(values["value"])).pivot_table(
        index="task", columns="parameters", values="y", aggfunc="mean"
    )
    table = table.dropna()
    n_runs = len(values.loc[values["task"].isin(table.index), ["model", "seed"]].drop_duplicates())
    y, x = table.to_numpy(dtype=float), np.log10(table.columns.to_numpy(dtype=float))
    if table.shape[1] < 2 or len(table) < MIN_TASKS:
        nan = float("nan")
        return Scaling(nan, nan, nan, nan, UNTESTABLE, table.shape[1], len(table), n_runs)
    slopes = _slopes(x, y)
    means = _run_means(values, table.mean(axis=1))
    rng = np.random.default_rng(seed)
    drawn = slopes[rng.integers(len(slopes), size=(DRAWS, len(slopes)))].mean(axis=1)
    by_runs = over_runs(np.log10(means["parameters"].to_numpy(dtype=float)), means["y"].to_numpy(dtype=float))
    low, high = (float(q) for q in np.quantile(drawn, [0.05, 0.95]))
    low, high = np.nanmin([low, by_runs[0]]), np.nanmax([high, by_runs[1]])
    is_flat, is_steep = max(-low, high) < MARGIN, low > MARGIN or high < -MARGIN
    verdict = INVARIANT if is_flat else DEPENDS if is_steep else UNDECIDED
    return Scaling(
        float(slopes.mean()), float(low), float(high), _task_share(y), verdict, table.shape[1], len(table), n_runs
    )


def over_runs(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """90 % interval of the slope over runs [R] by Student's t; NaN for fewer than three runs or one size."""
    if len(x) < 3 or np.ptp(x) == 0:
        return float("nan"), float("nan")
    fitted = linregress(x, y)
    half = float(student.ppf(0.95, len(x) - 2)) * float(fitted.stderr)
    return float(fitted.slope) - half, float(fitted.slope) + half


def _run_means(values: pd.DataFrame, of_task: pd.Series) -> pd.DataFrame:
    """Mean over a run's tasks of ln value less the task's own mean over sizes, a row a run: parameters, y.

    So a run that lacks a task counts with the others, and is not moved by which it lacks.
    """
    kept = values[values["task"].isin(of_task.index)]
    y = np.log(kept["value"]) - kept["task"].map(of_task)
    return kept.assign(y=y).groupby(["parameters", "model", "seed"])["y"].mean().reset_index()


def _slopes(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares slope of each task [T] over sizes; their mean is the pooled within-task slope."""
    centred = x - x.mean()
    return np.asarray((y @ centred) / (centred @ centred))


def _task_share(y: NDArray[np.float64]) -> float:
    """SS_task / SS_total of the table [T, sizes]; NaN where nothing varies."""
    total = float(((y - y.mean()) ** 2).sum())
    between = float(((y.mean(axis=1) - y.mean()) ** 2).sum() * y.shape[1])
    return between / total if total > 0 else float("nan")

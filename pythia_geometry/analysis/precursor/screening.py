"""Which tasks can be tested: those whose behaviour emerged in every run. Decided without looking at geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events.event_times import baselines, halfway, has_emerged, tops
from pythia_geometry.analysis.precursor.tidy_tables import (
    BEHAVIOUR,
    SHUFFLED,
    Question,
    by_run,
    chances,
    check_columns,
    metric_rows,
    to_curves,
)
from pythia_geometry.analysis.step_curves import Array, StepCurves
from pythia_geometry.errors import PythiaGeometryError

MIN_TASKS = 5
ACCURACY = "accuracy"
EMERGED = "emerged"
COLUMNS = ["run", "task", "baseline", "top", "halfway_step", "outcome"]


@dataclass(frozen=True)
class BehaviourRun:
    """What the test reads of one run before geometry: tasks that emerged in every run, in one order.

    Attributes:
        name: The run.
        tasks: probe/task, T of them.
        accuracy: [T, n].
        error: Standard errors [T, n].
        continuous: Log-probability or margin [T, m]; None where no table has it.
        baseline: Of accuracy [T].
        midpoints: log10(step) at which accuracy is halfway [T].
    """

    name: str
    tasks: tuple[str, ...]
    accuracy: StepCurves
    error: Array
    continuous: StepCurves | None
    baseline: Array
    midpoints: Array

    @property
    def earlier_midpoints(self) -> Array:
        """The earlier of accuracy's and the continuous metric's midpoints [T]: what a precursor comes before."""
        if self.continuous is None:
            return self.midpoints
        steps, values = self.continuous.steps, self.continuous.values
        untrained = baselines(steps, values, np.full(len(values), -np.inf))
        start = np.where(np.isfinite(untrained), untrained, values.min(axis=1))
        return np.fmin(self.midpoints, halfway(steps, values, start))


@dataclass(frozen=True)
class Screening:
    """Every task that was looked at, and the runs reduced to those that can be tested.

    Attributes:
        table: run, task, baseline, top, halfway_step, outcome (emerged, or why not); all tasks, also those not used.
        runs: Behaviour of the tasks that emerged in all runs; empty where there is none.
    """

    table: pd.DataFrame
    runs: tuple[BehaviourRun, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that can be tested."""
        return self.runs[0].tasks if self.runs else ()

    @property
    def has_both_legs(self) -> bool:
        """Whether every run has the continuous metric."""
        return bool(self.runs) and all(run.continuous is not None for run in self.runs)


def screen_tasks(behaviour: pd.DataFrame, question: Question | None = None) -> Screening:
    """Finds the tasks that rise: F_.5 before the last step, and (A − B)/e ≥ 3 (statistics.md A.3).

    B is the largest of chance, majority rate and mean accuracy over steps ≤ 16; A the highest running median of 3.
    Only tasks that emerge in every run are kept, because one permutation serves all runs.

    Args:
        behaviour: Tidy rows with model, seed, step, task, metric, value, chance, and n or error.
        question: Names the continuous metric.

    Returns:
        All tasks with their outcome, and the curves of those that can be tested.

    Raises:
        PythiaGeometryError: If a column is missing, a metric unknown, or a curve unusable.
    """
    question = question or Question()
    check_columns(behaviour, BEHAVIOUR, "behaviour")
    if "n" not in behaviour and "error" not in behaviour:
        raise PythiaGeometryError("behaviour table: missing column 'n' or 'error': the noise of accuracy is unknown")
    accuracy = {name: _own(rows) for name, rows in by_run(metric_rows(behaviour, ACCURACY)).items()}
    continuous = {name: _own(rows) for name, rows in by_run(_continuous_rows(behaviour, question)).items()}
    table = pd.concat([_screen(name, rows, continuous.get(name)) for name, rows in accuracy.items()])
    risen = table[table["outcome"] == EMERGED].groupby("task")["run"].nunique()
    tasks = tuple(sorted(risen.index[risen == len(accuracy)]))
    if not tasks:
        return Screening(table.reset_index(drop=True), ())
    runs = tuple(_run(name, rows, continuous.get(name), tasks) for name, rows in accuracy.items())
    return Screening(table.reset_index(drop=True), runs)


def _continuous_rows(behaviour: pd.DataFrame, question: Question) -> pd.DataFrame:
    """Rows of the continuous metric; none where the table has only accuracies, as published benchmarks do."""
    others = set(behaviour["metric"]) - {ACCURACY, "exact_match"}
    return metric_rows(behaviour, question.continuous) if others else behaviour.iloc[:0]


def _own(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["key"].str.endswith(SHUFFLED)]


def _screen(name: str, rows: pd.DataFrame, continuous: pd.DataFrame | None) -> pd.DataFrame:
    """One run's tasks, a row each."""
    keys = sorted(rows["key"].unique())
    run = _run(name, rows, None, tuple(keys))
    emerged = has_emerged(run.accuracy.values, run.error, run.baseline)
    known = set(keys)
    if continuous is not None and len(continuous):
        known = set(continuous.loc[continuous["value"].notna(), "key"])
    outcome = [
        "did not emerge" if not risen else EMERGED if key in known else "no continuous metric"
        for key, risen in zip(keys, emerged, strict=True)
    ]
    found = {"run": name, "task": keys, "baseline": run.baseline, "top": tops(run.accuracy.values)}
    return pd.DataFrame({**found, "halfway_step": 10**run.midpoints, "outcome": outcome}, columns=COLUMNS)


def _run(name: str, rows: pd.DataFrame, continuous: pd.DataFrame | None, tasks: tuple[str, ...]) -> BehaviourRun:
    what = f"{name}, accuracy"
    rows = rows.assign(error=_errors(rows))
    accuracy = to_curves(rows, tasks, what)
    error = to_curves(rows[rows["step"].isin(accuracy.steps)], tasks, f"{what} error", "error")
    baseline = baselines(accuracy.steps, accuracy.values, chances(rows, tasks))
    return BehaviourRun(
        name=name,
        tasks=tasks,
        accuracy=accuracy,
        error=error.values,
        continuous=_continuous_curves(name, continuous, tasks),
        baseline=baseline,
        midpoints=halfway(accuracy.steps, accuracy.values, baseline),
    )


def _continuous_curves(name: str, rows: pd.DataFrame | None, tasks: tuple[str, ...]) -> StepCurves | None:
    return None if rows is None or rows.empty else to_curves(rows, tasks, f"{name}, continuous metric")


def _errors(rows: pd.DataFrame) -> Array:
    """Standard errors with two successes and failures added, never 0; the table's own where n is not known."""
    p = rows["value"].to_numpy(dtype=float)
    given = rows["error"].to_numpy(dtype=float) if "error" in rows else np.full(len(rows), np.nan)
    if "n" not in rows:
        return given
    n = rows["n"].to_numpy(dtype=float, na_value=np.nan)
    share = (p * n + 2) / (n + 4)
    return np.where(np.isnan(n), given, np.sqrt(np.clip(share * (1 - share), 0, None) / (n + 4)))

"""Which tasks can be tested: those whose behaviour emerged in every run. Decided without looking at geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events.onsets import why_untestable
from pythia_geometry.analysis.events.rules import baselines, halfway, has_emerged, share_error, tops
from pythia_geometry.analysis.precursor.tidy_tables import (
    BEHAVIOUR,
    SHUFFLED,
    Question,
    by_run,
    chances,
    metric_rows,
    to_curves,
)
from pythia_geometry.analysis.tables.reading import CONTINUOUS, NO_DIRECTION, check_columns, is_known, unmarked
from pythia_geometry.analysis.tables.step_curves import Array, StepCurves
from pythia_geometry.errors import PythiaGeometryError

MIN_TASKS = 5
ACCURACY = "accuracy"
EMERGED, NOT, ACCURACY_ALONE = "emerged", "did not emerge", "no continuous metric"
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
        """The earlier of accuracy's and the continuous metric's midpoints, log10(step) [T]: a precursor comes before.

        How it misleads: a log-probability that first learns the output's format is halfway decades before the task.
        """
        if self.continuous is None:
            return self.midpoints
        steps, values = self.continuous.steps, self.continuous.values
        untrained = baselines(steps, values, np.full(len(values), np.nan))
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
    """Finds the tasks that rise: F50 before the last step, the top three errors above the baseline.

    Only tasks that emerge in every run are kept, because one permutation serves all runs. Tasks without the continuous
    metric are left out where five others have it; where fewer do, all are kept and accuracy is the only leg.

    How it misleads: what emerged is chosen by the same curves that are tested, so that its midpoints are a little
    early; and a task that rises at the very end of the run is not there at all.

    Args:
        behaviour: Tidy rows with model, seed, step, task, metric, value, chance, and n or error. Rows with a reason are
            not used; a task without any other is listed with it.
        question: Names the continuous metric.

    Returns:
        All tasks with their outcome, and the curves of those that can be tested.

    Raises:
        PythiaGeometryError: If a column is missing, a metric unknown, or a curve unusable.

    Source: the events are those of `events/rules.py`, docs/definitions.md.
    """
    question = question or Question()
    check_columns(behaviour, BEHAVIOUR, "behaviour")
    if not any(name in behaviour and behaviour[name].notna().any() for name in ("n", "error")):
        raise PythiaGeometryError("behaviour table: missing column 'n' or 'error': the noise of accuracy is unknown")
    accuracy = {name: _own(rows) for name, rows in by_run(metric_rows(behaviour, ACCURACY)).items()}
    continuous = {name: _own(rows) for name, rows in by_run(_continuous_rows(behaviour, question)).items()}
    table = pd.concat([_screen(name, rows, continuous.get(name)) for name, rows in accuracy.items()], ignore_index=True)
    tasks = _in_every_run(table, (EMERGED,), len(accuracy))
    if len(tasks) < MIN_TASKS and len(more := _in_every_run(table, (EMERGED, ACCURACY_ALONE), len(accuracy))) > len(
        tasks
    ):
        tasks, continuous = more, {}
        table["outcome"] = table["outcome"].replace(ACCURACY_ALONE, EMERGED)
    if not tasks:
        return Screening(table, ())
    return Screening(table, tuple(_run(name, rows, continuous.get(name), tasks) for name, rows in accuracy.items()))


def screen_models(behaviour: pd.DataFrame, question: Question | None = None) -> list[Screening]:
    """`screen_tasks` of each model on its own, by name."""
    if "model" not in behaviour or behaviour.empty:
        return [screen_tasks(behaviour, question)]  # which says what is missing
    return [screen_tasks(rows, question) for _, rows in behaviour.groupby("model", sort=True)]


def _in_every_run(table: pd.DataFrame, outcomes: tuple[str, ...], n_runs: int) -> tuple[str, ...]:
    """Tasks with one of these outcomes in all runs."""
    runs = table[table["outcome"].isin(outcomes)].groupby("task")["run"].nunique()
    return tuple(sorted(runs.index[runs == n_runs]))


def _continuous_rows(behaviour: pd.DataFrame, question: Question) -> pd.DataFrame:
    """Rows of the continuous metric; none where the table has only accuracies, as published benchmarks do."""
    held, wanted = set(behaviour["metric"]), question.continuous
    if wanted in held and not is_known(wanted):
        raise PythiaGeometryError(f"behaviour table: {wanted}: {NO_DIRECTION}. Name one of {', '.join(CONTINUOUS)}")
    return metric_rows(behaviour, wanted) if held & set(CONTINUOUS) else behaviour.iloc[:0]


def _own(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["key"].str.endswith(SHUFFLED)]


def _screen(name: str, rows: pd.DataFrame, continuous: pd.DataFrame | None) -> pd.DataFrame:
    """One run's tasks, a row each."""
    used = rows[unmarked(rows)]
    lost = rows[~rows["key"].isin(used["key"])].drop_duplicates("key")
    left_out = pd.DataFrame({"run": name, "task": lost["key"], "outcome": lost.get("reason")}).reindex(columns=COLUMNS)
    if used.empty:
        return left_out
    keys = sorted(used["key"].unique())
    run = _run(name, rows, None, tuple(keys))
    emerged = has_emerged(run.accuracy.values, run.error, run.baseline)
    known = set(keys)
    if continuous is not None and len(continuous):
        known = set(continuous.loc[continuous["value"].notna() & unmarked(continuous), "key"])
    untestable = why_untestable(run.error, run.baseline)
    outcome = [
        reason or (NOT if not risen else EMERGED if key in known else ACCURACY_ALONE)
        for key, risen, reason in zip(keys, emerged, untestable, strict=True)
    ]
    found = {"run": name, "task": keys, "baseline": run.baseline, "top": tops(run.accuracy.values)}
    screened = pd.DataFrame({**found, "halfway_step": 10**run.midpoints, "outcome": outcome}, columns=COLUMNS)
    return pd.concat([screened, left_out], ignore_index=True) if len(left_out) else screened


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
    """The errors of a share; NaN where neither n nor an own error is known."""
    share, n, own = (
        rows[name].to_numpy(dtype=float, na_value=np.nan) if name in rows else np.full(len(rows), np.nan)
        for name in ("value", "n", "error")
    )
    return share_error(share, n, own)

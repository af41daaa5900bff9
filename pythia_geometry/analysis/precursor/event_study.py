"""What happens to a task after its release: geometry and behaviour against the tasks not yet released.

In a staggered lab run (lab/release.py) each task's loss opens at a step that was assigned at random. So at every step
the tasks not yet released are the control, and three things can be asked that no observed curve can answer:

1. Do geometry and behaviour follow release? An exact test: assign the release steps anew and look again.
2. How long after release is a tenth, or half, of each one's way done?
3. Which of the two is earlier in the same task of the same run, and by how many decades of steps?

    e_t(s) = [y_t(s) − y_t(r_t)] − mean over u with r_u > s of [y_u(s) − y_u(r_t)]          effect, s ≥ r_t

The mean is held where no task is left unreleased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from pythia_geometry.analysis.events.rules import MIN_RETURN, NEVER, crossing, rises
from pythia_geometry.analysis.precursor.screening import ACCURACY, BehaviourRun, screen_tasks
from pythia_geometry.analysis.precursor.task_matched_lag import TIE, task_orders
from pythia_geometry.analysis.precursor.tidy_tables import (
    Question,
    by_run,
    geometry_rows,
    last_quarter,
    log_geometry,
)
from pythia_geometry.analysis.tables.reading import check_columns
from pythia_geometry.analysis.tables.step_curves import Array, StepCurves, running_median
from pythia_geometry.errors import PythiaGeometryError

RELEASE = ("model", "seed", "task", "released")
GEOMETRY = "geometry"
SHARES = (0.1, 0.5)  # of each one's own way
MIN_WAY = {GEOMETRY: MIN_RETURN, ACCURACY: 0.15}  # accuracy: three binomial errors of 128 rows
OTHER_WAY = 0.1  # of a log-probability or margin, in nats
ORDERS = 100_000  # a permutation is one sum here, and a p near .05 decides whether an arm is read
WINDOW = 0.5  # decades after release over which the test of following averages
BOOTSTRAPS = 2000
CLOCKS = ["run", "task", "released", "curve", "way", "share", "step", "after", "reason"]
LEADS = ["behaviour", "share", "lead", "low", "high", "n", "n_runs", "n_tasks", "without"]


@dataclass(frozen=True)
class ReleasedRun:
    """One run: the same tasks, row for row, in every curve.

    Attributes:
        name: The run.
        tasks: T names.
        released: Step at which each task is released [T].
        curves: Geometry (ln of the measure) and each behaviour, by name.
    """

    name: str
    tasks: tuple[str, ...]
    released: Array
    curves: Mapping[str, StepCurves]


@dataclass(frozen=True)
class EventStudy:
    """What was found.

    Attributes:
        follows: By curve, the exact test that it moves after release.
        clocks: One row a run, task, curve and share: way (of the effect, in the curve's units), step at which that
            share of it is done, `after` (steps since release), and a reason where there is none.
        leads: One row a behaviour and share: mean of log10(behaviour's step ÷ geometry's step), positive where
            geometry is earlier, with its 90 % interval over runs and tasks; n cells with both clocks, and how many
            are without.
        path: Median effect over runs and tasks by curve and decades since release, as a share of each one's way, for a
            picture; of the runs and tasks in which every curve has a way. The count is how many of them are in.
    """

    follows: Mapping[str, Following]
    clocks: pd.DataFrame
    leads: pd.DataFrame
    path: pd.DataFrame


def event_study(
    geometry: pd.DataFrame,
    behaviour: pd.DataFrame,
    release: pd.DataFrame,
    question: Question | None = None,
    seed: int = 0,
) -> EventStudy:
    """Studies the tasks whose behaviour emerged in every run (screened on behaviour alone).

    How it misleads: the control is the other tasks of the same run, so what a release does to *them* (a shared trunk
    that learns) is taken off the effect. Once the last task is released the control stands still, and what all tasks
    do then is counted as effect. A lead between a task's two clocks is timing, not a cause; behaviour that needs
    several right tokens is late by itself, so read the log-probability beside the accuracy.

    Args:
        geometry: Tidy geometry rows, as of `precursors`.
        behaviour: Tidy behaviour rows, as of `screen_tasks`.
        release: One row a run and task: model, seed, task, released (the step).
        question: Names measure, position and the continuous behaviour.
        seed: Of permutations and bootstraps.

    Raises:
        PythiaGeometryError: If a table lacks a column, a task its release, or no task emerged in every run.
    """
    question = question or Question()
    return study_runs(released_runs(geometry, behaviour, release, question), seed)


def released_runs(
    geometry: pd.DataFrame, behaviour: pd.DataFrame, release: pd.DataFrame, question: Question
) -> list[ReleasedRun]:
    """The tables as runs, reduced to the tasks that emerged in all of them.

    Raises:
        PythiaGeometryError: As `event_study`.
    """
    check_columns(release, RELEASE, "release")
    screening = screen_tasks(behaviour, question)
    if len(screening.tasks) < 2:
        raise PythiaGeometryError(f"{len(screening.tasks)} tasks emerged in every run; an event study needs 2 or more")
    rows, when = by_run(geometry_rows(geometry, question)), by_run(release)
    made = []
    for run in screening.runs:
        if run.name not in rows or run.name not in when:
            raise PythiaGeometryError(f"{run.name} has behaviour, but no geometry or no row in the release table")
        steps = when[run.name].set_index("task")["released"]
        names = [task.rpartition("/")[2] for task in run.tasks]  # the release table knows no probes
        if missing := [name for name in names if name not in steps]:
            raise PythiaGeometryError(f"{run.name}: the release table lacks task {missing[0]}")
        mine = last_quarter(rows[run.name][rows[run.name]["key"].isin(run.tasks)])
        curves = {GEOMETRY: log_geometry(mine, run.tasks, f"{run.name}, geometry"), **_behaviours(run, question)}
        made.append(ReleasedRun(run.name, run.tasks, steps[names].to_numpy(dtype=float), curves))
    return made


def _behaviours(run: BehaviourRun, question: Question) -> dict[str, StepCurves]:
    found = {ACCURACY: run.accuracy}
    return found if run.continuous is None else found | {question.continuous: run.continuous}


def study_runs(runs: Sequence[ReleasedRun], seed: int = 0) -> EventStudy:
    """The study of runs that share their tasks and curves."""
    names = list(runs[0].curves)
    clocks = pd.concat([_clocks(run) for run in runs], ignore_index=True)
    rng = np.random.default_rng(seed)
    follows = {name: follows_release(runs, name, int(rng.integers(2**31))) for name in names}
    leads = [
        _lead(clocks, name, share, np.random.default_rng([seed, i]))
        for i, (name, share) in enumerate((n, s) for n in names if n != GEOMETRY for s in SHARES)
    ]
    return EventStudy(follows, clocks, pd.DataFrame(leads, columns=LEADS), _path(runs))


def effect(curves: StepCurves, released: Array, task: int) -> tuple[Array, Array]:
    """Steps [m] from the last checkpoint before a task's release on, and its effect there [m], 0 at the first.

    Returns:
        Empty arrays where the run ends before the release.
    """
    steps, values = curves.steps, curves.values
    start = int(np.searchsorted(steps, released[task], side="right")) - 1
    if start < 0 or start >= len(steps) - 1:
        return np.empty(0), np.empty(0)
    change = values[:, start:] - values[:, start : start + 1]
    control, held = np.zeros(len(steps) - start), 0.0
    for i, step in enumerate(steps[start:]):
        waiting = released > step
        waiting[task] = False
        held = float(change[waiting, i].mean()) if waiting.any() else held
        control[i] = held
    return steps[start:], change[task] - control


def share_done(run: ReleasedRun, curve: str, when: Array) -> Array:
    """How much of its own way each task's effect has come by the given steps [T]; NaN where it has none.

    For a planted lead: a plant counts as one where geometry has come most of its way before the loss opens.
    """
    found = np.full(len(run.tasks), np.nan)
    for t in range(len(run.tasks)):
        steps, values = effect(run.curves[curve], run.released, t)
        if len(steps) > 2 and (way := float(running_median(values[None]).max())) > MIN_RETURN:
            found[t] = np.interp(np.log10(when[t]), np.log10(steps), values) / way
    return found


def share_rising(runs: Sequence[ReleasedRun], curve: str = GEOMETRY) -> float:
    """Share of runs × tasks whose effect rises at all, as `share_done` counts it."""
    return float(np.mean([np.isfinite(share_done(run, curve, run.released)) for run in runs]))


def share_rising_by_chance(runs: Sequence[ReleasedRun], curve: str = GEOMETRY, draws: int = 50, seed: int = 0) -> float:
    """The same with release steps dealt anew to the tasks, one deal for all runs: the mean over deals.

    An effect counts by its highest point, so part of the tasks rise whatever release does: read the two together.
    """
    rng, n = np.random.default_rng(seed), len(runs[0].tasks)
    deals = [rng.permutation(n) for _ in range(draws)]
    return float(np.mean([share_rising([replace(r, released=r.released[d]) for r in runs], curve) for d in deals]))


@dataclass(frozen=True)
class Following:
    """Outcome of the exact test on one curve.

    Attributes:
        effect: Mean effect over the half decade after release, in the curve's units.
        p: Two-sided.
    """

    effect: float
    p: float


def follows_release(runs: Sequence[ReleasedRun], curve: str, seed: int = 0) -> Following:
    """Exact test of whether a curve moves after release, up or down.

    The statistic is the mean effect over the half decade after release; p is twice the smaller share of assignments
    whose statistic is as high, or as low. Assigning anew means to permute tasks, one permutation for all runs, as the
    design draws them (one order of tasks a block of seeds). If no release changes this curve, at most 5 % of designs
    give p ≤ .05.

    How it misleads: exact for all tasks of the design. Tasks that did not emerge in every run are left out, and whether
    they did can depend on their release. Runs of several blocks are permuted as one, which is exact too, since each
    block's order is uniform by itself. Arms that share their seeds share their order, and any chance imbalance of it.

    Args:
        runs: With the same tasks in the same order.
        curve: A name of their curves.
        seed: Of the permutations (all of them up to 7 tasks, else 100,000: p ≈ .05 is known to .0014).
    """
    costs = np.sum([_costs(run.curves[curve], run.released) for run in runs], axis=0) / len(runs)
    orders = task_orders(len(costs), np.random.default_rng(seed), draws=ORDERS)
    reached = costs[orders, np.arange(len(costs))].sum(axis=1)
    above, below = (reached >= reached[0] - TIE).mean(), (reached <= reached[0] + TIE).mean()
    return Following(float(reached[0]), float(min(1.0, 2 * min(above, below))))


def _costs(curves: StepCurves, released: Array) -> NDArray[np.float64]:
    """C[u, t]: what task t's curve adds in the place of task u to the mean over places, so that S(π) = Σ C[π(t), t].

    The place of u: treated from its own release on, and control of every task released before it.
    """
    steps, values, n = curves.steps, curves.values, len(released)
    added, n_seen = np.zeros((n, n)), 0
    for u, start in enumerate(released):
        before = int(np.searchsorted(steps, start, side="right")) - 1
        until = steps <= start * 10**WINDOW
        after = [i for i in np.flatnonzero(until) if i > before and before >= 0 and (released > steps[i]).any()]
        n_seen += bool(after)  # the last place has no control: it is no part of the mean
        for i in after:
            change = (values[:, i] - values[:, before]) / len(after)
            waiting = released > steps[i]
            added[u] += change
            added[waiting] -= change / waiting.sum()
    return added / max(n_seen, 1)


def _clocks(run: ReleasedRun) -> pd.DataFrame:
    rows = []
    for name, curves in run.curves.items():
        for t, task in enumerate(run.tasks):
            steps, values = effect(curves, run.released, t)
            for share in SHARES:
                way, step, reason = clock(steps, values, share, MIN_WAY.get(name, OTHER_WAY))
                rows.append((run.name, task, run.released[t], name, way, share, step, step - run.released[t], reason))
    return pd.DataFrame(rows, columns=CLOCKS)


def clock(steps: Array, values: Array, share: float, least: float) -> tuple[float, float, str]:
    """The way of an effect (its highest running median of 3), the step at which a share of it is done for good.

    Args:
        steps: [m].
        values: The effect [m].
        share: Of the way.
        least: A shorter way is none.

    Returns:
        Way, step (interpolated in log10), and why there is no step ("" where there is one).
    """
    nan = float("nan")
    if len(steps) < 3:
        return nan, nan, "no checkpoint before its release, or fewer than two after"
    curve = running_median(values[None])
    way = float(curve.max())
    at = int(rises(values[None], np.zeros(1), share)[0])
    if way <= least or at == NEVER:
        return way, nan, "it does not rise" if way <= least else "its rise does not last"
    return way, float(10 ** crossing(np.log10(steps), curve[0], share * way, at)), ""


def _lead(clocks: pd.DataFrame, behaviour: str, share: float, rng: np.random.Generator) -> dict[str, object]:
    mine = clocks[clocks["share"] == share]
    table = {
        name: mine[mine["curve"] == name].pivot(index="run", columns="task", values="step")
        for name in (GEOMETRY, behaviour)
    }
    cells = np.log10(table[behaviour].to_numpy() / table[GEOMETRY].to_numpy())
    low, high = crossed_interval(cells, rng)
    known = np.isfinite(cells)
    mean = float(cells[known].mean()) if known.any() else float("nan")
    found = {"behaviour": behaviour, "share": share, "lead": mean, "low": low, "high": high, "n": int(known.sum())}
    return found | {"n_runs": cells.shape[0], "n_tasks": cells.shape[1], "without": int((~known).sum())}


def crossed_interval(cells: Array, rng: np.random.Generator, draws: int = BOOTSTRAPS) -> tuple[float, float]:
    """90 % interval of the mean of [runs, tasks]: the wider of two.

    One draws runs and tasks again at once (Owen's pigeonhole bootstrap): a run's tasks share its weights and a task's
    runs its prompts, and drawing cells one by one would take them for independent. The other is Student's t over the
    runs' means: of three runs that differ most, draws of runs alone would hold the truth in .69 of cases, not .90.
    NaN cells stay out. NaN with fewer than two runs or two tasks.

    How it misleads: tasks whose cells are missing in some runs only shift those runs' means.

    Source: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), 2007.
    """
    n_runs, n_tasks = cells.shape
    if min(n_runs, n_tasks) < 2 or not np.isfinite(cells).any():
        return float("nan"), float("nan")
    known = np.isfinite(cells)
    filled = np.where(known, cells, 0.0)
    of_runs = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), draws).astype(float)
    of_tasks = rng.multinomial(n_tasks, np.full(n_tasks, 1 / n_tasks), draws).astype(float)
    weight = np.einsum("dr,rt,dt->d", of_runs, known.astype(float), of_tasks)
    total = np.einsum("dr,rt,dt->d", of_runs, filled, of_tasks)
    means = total[weight > 0] / weight[weight > 0]
    low, high = np.quantile(means, [0.05, 0.95])
    of_run = np.array([row[seen].mean() for row, seen in zip(cells, known, strict=True) if seen.any()])
    if len(of_run) < 2:
        return float("nan"), float("nan")
    half = float(student.ppf(0.95, len(of_run) - 1) * of_run.std(ddof=1) / np.sqrt(len(of_run)))
    centre = float(cells[known].mean())
    return min(float(low), centre - half), max(float(high), centre + half)


def _path(runs: Sequence[ReleasedRun]) -> pd.DataFrame:
    """Median effect over runs and tasks in tenths of a decade after release, as a share of each curve's way.

    A run and task counts once a tenth, and only where every curve has a way: all lines are of the same cells. A median:
    before its loss opens a level can fall by many times the way it then rises.
    """
    rows = []
    for run in runs:
        for t, task in enumerate(run.tasks):
            effects = {name: effect(curves, run.released, t) for name, curves in run.curves.items()}
            ways = {n: float(running_median(v[None]).max()) if len(v) > 2 else 0.0 for n, (_, v) in effects.items()}
            if any(way <= MIN_WAY.get(name, OTHER_WAY) for name, way in ways.items()):
                continue
            for name, (steps, values) in effects.items():
                decades = np.round(np.log10(steps[1:] / run.released[t]), 1)
                rows += [(run.name, task, name, d, v / ways[name]) for d, v in zip(decades, values[1:], strict=True)]
    frame = pd.DataFrame(rows, columns=["run", "task", "curve", "decades", "share"])
    of_cell = frame.groupby(["run", "task", "curve", "decades"], as_index=False)["share"].mean()
    path: pd.DataFrame = of_cell.groupby(["curve", "decades"], as_index=False)["share"].agg(["median", "count"])
    return path

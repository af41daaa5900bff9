"""The event study against slow twins, and on made-up runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.precursor.event_study import (
    GEOMETRY,
    ORDERS,
    ReleasedRun,
    clock,
    crossed_interval,
    effect,
    event_study,
    follows_release,
    share_done,
    study_runs,
)
from pythia_geometry.analysis.tables.step_curves import StepCurves
from pythia_geometry.errors import PythiaGeometryError

STEPS = np.unique(np.round(10 ** np.arange(0, 4.01, 0.06)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def made_up(
    seed: int, n_tasks: int = 12, n_runs: int = 5, lead: float = 0.0, is_followed: bool = True
) -> list[ReleasedRun]:
    """Tasks released over two decades; behaviour .25 decade after release, geometry `lead` decades before that.

    Not followed: every curve rises at a time of its own task, the same in every run, whatever was released when.
    """
    rng, x = np.random.default_rng(seed), np.log10(STEPS)
    order, own = rng.permutation(n_tasks), rng.uniform(1.5, 3.7, n_tasks)
    runs = []
    for r in range(n_runs):
        slots = 1.4 + 2 * (np.arange(n_tasks) + rng.random(n_tasks)) / n_tasks
        released = slots[(order + round(n_tasks * (2 * r % 5) / 5)) % n_tasks]
        start = released if is_followed else own
        behaviour = start + 0.25 + rng.normal(0, 0.05, n_tasks)
        shared = rng.normal(0, 0.03, len(x)).cumsum() * 0.1 - 0.5 * sigmoid((x - 1.2) / 0.1)

        def curve(middle: np.ndarray, height: float, noise: float, shared: np.ndarray = shared) -> StepCurves:
            rise = height * sigmoid((x - middle[:, None]) / 0.06)
            return StepCurves(STEPS, shared + rise + rng.normal(0, noise, (n_tasks, len(x))))

        curves = {GEOMETRY: curve(behaviour - lead, 1.5, 0.03), "log_prob": curve(behaviour, 2.0, 0.03)}
        runs.append(ReleasedRun(f"run{r}", tuple(f"T{i}" for i in range(n_tasks)), 10**released, curves))
    return runs


def slow_effect(curves: StepCurves, released: np.ndarray, task: int) -> dict[float, float]:
    """By the docstring's formula, one step at a time."""
    before = max(s for s in curves.steps if s <= released[task])
    value = {(t, s): curves.values[t, list(curves.steps).index(s)] for t in range(len(released)) for s in curves.steps}
    found, control = {}, 0.0
    for s in (s for s in curves.steps if s >= before):
        waiting = [u for u in range(len(released)) if released[u] > s and u != task]
        if waiting:
            control = sum(value[u, s] - value[u, before] for u in waiting) / len(waiting)
        found[s] = value[task, s] - value[task, before] - control
    return found


def test_effect_is_its_formula() -> None:
    run = made_up(1, n_tasks=6)[0]
    for task in range(6):
        steps, values = effect(run.curves[GEOMETRY], run.released, task)
        assert dict(zip(steps, values, strict=True)) == pytest.approx(
            slow_effect(run.curves[GEOMETRY], run.released, task)
        )
    late = np.append(run.released[:-1], 1e6)
    assert len(effect(run.curves[GEOMETRY], late, 5)[0]) == 0  # never released in this run


def test_the_exact_test_lists_every_assignment() -> None:
    """Slow twin: reassign the release steps, recompute each task's mean effect over half a decade, count."""

    def statistic(runs: list[ReleasedRun], order: tuple[int, ...]) -> float:
        total = 0.0
        for run in runs:
            assigned, means = run.released[list(order)], []
            for task, start in enumerate(assigned):
                found = slow_effect(run.curves[GEOMETRY], assigned, task)
                inside = [v for s, v in found.items() if start < s <= start * 10**0.5 and any(assigned > s)]
                means += [float(np.mean(inside))] if inside else []
            total += float(np.mean(means))
        return total

    for is_followed in (True, False):
        runs = made_up(3, n_tasks=4, n_runs=2, is_followed=is_followed)
        values = np.array([statistic(runs, order) for order in permutations(range(4))])
        found = follows_release(runs, GEOMETRY)
        above, below = (values >= values[0] - 1e-12).mean(), (values <= values[0] + 1e-12).mean()
        assert found.p == pytest.approx(min(1, 2 * min(above, below)))
        assert found.effect == pytest.approx(values[0] / len(runs))


@pytest.mark.parametrize("n_tasks", [3, 4, 16])
def test_the_mean_effect_of_a_jump_at_release_is_the_jump(n_tasks: int) -> None:
    released = 100.0 * 2.0 ** np.arange(n_tasks)
    steps = np.geomspace(50, 400 * released[-1], 400)
    curves = StepCurves(steps, (steps >= released[:, None]).astype(float))
    run = ReleasedRun("run0", tuple(map(str, range(n_tasks))), released, {GEOMETRY: curves})
    assert follows_release([run], GEOMETRY).effect == pytest.approx(1.0)


def test_a_clock_reads_what_was_drawn() -> None:
    x = np.log10(STEPS)
    way, step, reason = clock(STEPS, 2 * sigmoid((x - 2.5) / 0.1), 0.5, 0.1)
    assert (way, np.log10(step), reason) == (pytest.approx(2.0, abs=0.01), pytest.approx(2.5, abs=0.02), "")
    assert clock(STEPS, 0.05 * sigmoid((x - 2.5) / 0.1), 0.5, 0.1)[2] == "it does not rise"
    assert clock(STEPS, np.exp(-(((x - 2) / 0.2) ** 2)), 0.5, 0.1)[2] == "its rise does not last"
    assert clock(STEPS[:2], np.zeros(2), 0.5, 0.0)[2] == "no checkpoint before its release, or fewer than two after"


def test_how_much_of_the_way_is_done_at_a_step() -> None:
    run = made_up(5, n_tasks=6, lead=0.0)[0]  # the middle of the rise lies .25 decade after release
    waits = np.median(share_done(run, GEOMETRY, run.released * 10**0.1))
    done = np.median(share_done(run, GEOMETRY, run.released * 10**0.5))
    assert waits < 0.3 and done > 0.8
    assert np.isnan(share_done(run, GEOMETRY, np.full(6, 10.0))[run.released > 10**3.9]).all()


def test_a_made_up_lead_is_found_and_its_absence_too() -> None:
    for lead in (0.0, 0.2):
        found = study_runs(made_up(5, lead=lead))
        half = found.leads[found.leads["share"] == 0.5].iloc[0]
        assert half["low"] < lead + 0.03 and half["high"] > lead - 0.03
        assert abs(half["lead"] - lead) < 0.05 and half["n"] >= 50
        assert (half["low"] > 0.05) == (lead > 0)
        assert {name: one.p for name, one in found.follows.items()} == {GEOMETRY: 2 / ORDERS, "log_prob": 2 / ORDERS}
    rising = found.path[found.path["curve"] == GEOMETRY].set_index("decades")["median"]
    assert rising[0.0] < 0.4 < 0.8 < rising[0.6]


def test_the_picture_s_path_is_not_moved_by_a_task_that_does_not_rise_or_falls_first() -> None:
    rising = made_up(3)[0]
    curves = rising.curves[GEOMETRY]
    strange = curves.values.copy()
    strange[0] = np.where(rising.released[0] > STEPS, 0.0, -50.0) + 1e-3 * np.arange(len(STEPS))  # no way but noise's
    strange[1, (rising.released[1] < STEPS) & (rising.released[1] * 1.5 > STEPS)] -= 1_000.0  # falls far, then rises
    changed = replace(rising, curves={**rising.curves, GEOMETRY: StepCurves(STEPS, strange)})
    path = {name: study_runs([run]).path for name, run in (("as it was", rising), ("changed", changed))}
    share = pd.DataFrame(
        {name: one[one["curve"] == GEOMETRY].set_index("decades")["median"] for name, one in path.items()}
    )
    early = share.loc[0.1:0.5]
    assert len(early) > 2 and np.abs(early["changed"] - early["as it was"]).max() < 0.35


def test_where_nothing_follows_release_five_in_a_hundred_designs_say_so() -> None:
    designs = [made_up(1000 + s, 8, 2, is_followed=False) for s in range(300)]
    p = np.array([follows_release(runs, GEOMETRY).p for runs in designs])
    assert (p <= 0.05).mean() < 0.09  # binomial: .05 ± .013, three errors
    assert 0.4 < (p <= 0.5).mean() < 0.6


def test_the_interval_over_runs_and_tasks_holds_what_it_says() -> None:
    """Effects of runs and of tasks of .1 each: an interval that takes cells for independent covers far too rarely."""
    rng, hits, naive = np.random.default_rng(0), 0, 0
    for _ in range(150):
        cells = 0.3 + rng.normal(0, 0.1, (6, 1)) + rng.normal(0, 0.1, (1, 12)) + rng.normal(0, 0.05, (6, 12))
        low, high = crossed_interval(cells, rng, 300)
        hits += low <= 0.3 <= high
        naive += abs(cells.mean() - 0.3) < 1.645 * cells.std() / np.sqrt(cells.size)
    assert hits / 150 > 0.8 > naive / 150
    assert np.isnan(crossed_interval(np.ones((1, 5)), rng)).all()
    one_run = np.where(np.arange(3)[:, None] == 0, 1.0, np.full((3, 5), np.nan))
    assert np.isnan(crossed_interval(one_run, rng)).all()
    assert crossed_interval(np.where(rng.random((4, 6)) < 0.3, np.nan, 1.0), rng) == (1.0, 1.0)


@pytest.mark.parametrize("n_runs", [3, 5])
def test_the_interval_holds_with_few_runs_that_differ_most(n_runs: int) -> None:
    rng, hits = np.random.default_rng(1), 0
    for _ in range(300):
        low, high = crossed_interval(rng.normal(0, 1, (n_runs, 1)) + rng.normal(0, 0.1, (n_runs, 12)), rng, 200)
        hits += low <= 0 <= high
    assert hits / 300 > 0.85  # draws of runs alone: .69 and .78


def tables(runs: list[ReleasedRun]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    geometry, behaviour, release = [], [], []
    for seed, run in enumerate(runs):
        for t, task in enumerate(run.tasks):
            key = {"model": "toy", "seed": seed, "task": task}
            release.append(key | {"released": run.released[t]})
            rows = zip(STEPS, run.curves[GEOMETRY].values[t], run.curves["log_prob"].values[t], strict=True)
            for step, log_value, latent in rows:
                at = key | {"step": step, "probe": "algorithmic"}
                value = {
                    "layer": "resid_1",
                    "measure": "rankme_centred",
                    "value": np.exp(log_value),
                    "position": "last",
                }
                geometry.append(at | value)
                behaviour.append(at | {"metric": "log_prob", "value": latent, "n": 128, "chance": np.nan})
                share = float(np.clip((latent + 0.6) / 2.2, 0, 1))
                behaviour.append(at | {"metric": "accuracy", "value": share, "n": 128, "chance": 0.2})
    return pd.DataFrame(geometry), pd.DataFrame(behaviour), pd.DataFrame(release)


def test_it_reads_tidy_tables_and_says_what_they_lack() -> None:
    geometry, behaviour, release = tables(made_up(7, n_tasks=6, n_runs=2, lead=0.2))
    found = event_study(geometry, behaviour, release)
    assert set(found.clocks["curve"]) == {GEOMETRY, "accuracy", "log_prob"}
    assert found.leads.set_index(["behaviour", "share"]).loc[("log_prob", 0.5), "lead"] == pytest.approx(0.2, abs=0.08)
    assert found.clocks.loc[found.clocks["step"].isna(), "reason"].ne("").all()
    with pytest.raises(PythiaGeometryError, match="lacks task T1"):
        event_study(geometry, behaviour, release[release["task"] != "T1"])
    with pytest.raises(PythiaGeometryError, match="missing column 'released'"):
        event_study(geometry, behaviour, release.drop(columns="released"))

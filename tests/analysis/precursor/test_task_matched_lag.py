"""The primary test against its printed twin, in worlds whose truth is known, and on input that it must refuse."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.analysis.precursor import task_matched_lag as tml
from pythia_geometry.analysis.precursor.task_matched_lag import (
    COUPLED,
    LAGS_BEHIND,
    LEADS,
    NOTHING,
    Leg,
    MatchedRun,
    permuted_statistics,
    run_products,
    scan_layers,
    task_matched_lag,
    task_orders,
)
from pythia_geometry.analysis.tables.step_curves import StepCurves
from pythia_geometry.analysis.worlds.designs import GRID_27, GRID_154, Design
from pythia_geometry.analysis.worlds.made_up import WORLDS, draw, world
from pythia_geometry.errors import PythiaGeometryError
from tests.analysis.made_up import make, matched
from tests.reference.task_matched_lag import slow_tml

NULL_WORLDS = [name for name, w in WORLDS.items() if not (w.lead or 0) > 0]


def legs(name: str, draws: int, design: Design) -> list[tuple[Leg, Leg]]:
    found = []
    for seed in range(draws):
        drawn = draw(world(name), design, np.random.default_rng([seed, 99]))
        found.append((task_matched_lag([matched(drawn)], seed), task_matched_lag([matched(drawn, "log_prob")], seed)))
    return found


def both_lead(found: list[tuple[Leg, Leg]]) -> float:
    return float(np.mean([a.label == b.label == LEADS for a, b in found]))


# -- the same numbers as the notes' code ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SYNC", "LEAD 0.5", "UNREL", "MONO"])
@pytest.mark.parametrize("n_runs", [1, 2])
def test_agrees_with_the_printed_reference(name: str, n_runs: int) -> None:
    runs = [make(name, seed, tasks=4) for seed in range(n_runs)]
    leg = task_matched_lag([matched(r) for r in runs], seed=5)
    p, lag, lower, upper = slow_tml([(np.log10(r.steps), r.geometry, r.accuracy) for r in runs], seed=5)
    assert (leg.p_specific, leg.lag) == pytest.approx((p, lag), abs=1e-6)
    if len(runs) == 1:  # of several, ours draws the runs anew too
        assert (leg.lower, leg.upper) == pytest.approx((lower, upper), abs=1e-6)


# -- worlds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NULL_WORLDS)
@pytest.mark.parametrize("steps", [GRID_27, GRID_154], ids=["27", "154"])
def test_few_false_alarms(name: str, steps: np.ndarray) -> None:
    found = legs(name, 40, Design(steps))
    assert both_lead(found) <= 0.10  # 4 of 40; at a rate of .05 more come up in 1 of 20 worlds, so seeds are fixed
    if name == "MIRAGE":
        assert np.mean([a.label == LEADS for a, _ in found]) > 0.9  # accuracy alone is fooled


@pytest.mark.slow
@pytest.mark.parametrize("name", NULL_WORLDS)
@pytest.mark.parametrize("steps", [GRID_27, GRID_154], ids=["27", "154"])
def test_false_alarms_hold_their_level(name: str, steps: np.ndarray) -> None:
    draws = 600
    found = legs(name, draws, Design(steps))
    assert both_lead(found) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / draws)


def test_lead_of_half_a_decade_is_found() -> None:
    found = legs("LEAD 0.5", 40, Design(GRID_154))
    assert both_lead(found) >= 0.8
    assert both_lead(legs("LEAD 0.5", 40, Design(GRID_27))) >= 0.7


@pytest.mark.parametrize("truth", [-0.5, 0.0, 0.3, 0.5, 1.0])
def test_lag_has_the_right_sign_and_size(truth: float) -> None:
    name = f"LEAD {truth:g}" if truth else "SYNC"
    found = [task_matched_lag([matched(make(name, seed))], seed) for seed in range(8)]
    assert np.median([leg.lag for leg in found]) == pytest.approx(truth, abs=0.15)
    assert all(abs(leg.lag) < abs(truth) + 0.2 for leg in found)
    labels = {leg.label for leg in found}
    assert labels == {{-1: LAGS_BEHIND, 0: COUPLED, 1: LEADS}[int(np.sign(truth))]}


def test_permuted_labels_are_no_precursor() -> None:
    found = []
    for seed in range(20):
        drawn = make("LEAD 0.5", seed)
        order = np.random.default_rng(seed).permutation(8)
        run = MatchedRun(StepCurves(drawn.steps, drawn.geometry[order]), StepCurves(drawn.steps, drawn.accuracy))
        found.append(task_matched_lag([run], seed).label)
    assert found.count(LEADS) <= 2
    assert found.count(NOTHING) >= 16


def test_swapping_two_tasks_lowers_the_statistic() -> None:
    for seed in range(10):
        products = run_products([matched(make("LEAD 0.5", seed))]).sum(axis=0)
        swapped = np.arange(8)
        swapped[[1, 6]] = swapped[[6, 1]]
        own, other = permuted_statistics(products, np.array([np.arange(8), swapped]))
        assert other < own


@pytest.mark.parametrize("tasks", [5, 7, 8, 11])
def test_identical_geometry_gives_p_1(tasks: int) -> None:
    drawn = make("SYNC", tasks=tasks)
    same = np.tile(drawn.geometry[0], (tasks, 1))
    leg = task_matched_lag([MatchedRun(StepCurves(drawn.steps, same), StepCurves(drawn.steps, drawn.accuracy))])
    assert leg.p_specific == 1.0
    assert leg.label == NOTHING


def test_what_all_tasks_share_counts_for_nothing() -> None:
    drawn = make("SYNC")
    plain = task_matched_lag([matched(drawn)])
    scaled = MatchedRun(StepCurves(drawn.steps, 3 * drawn.geometry), StepCurves(drawn.steps, 7 * drawn.accuracy - 2))
    assert task_matched_lag([scaled]).lag == pytest.approx(plain.lag, abs=1e-6)


# -- permutations -----------------------------------------------------------------------------------------


def test_permutations_are_all_or_drawn_and_begin_with_the_identity() -> None:
    rng = np.random.default_rng(0)
    few, many = task_orders(5, rng), task_orders(9, rng)
    assert (len(few), len({tuple(o) for o in few.tolist()})) == (120, 120)
    assert many.shape == (2000, 9)
    assert (np.sort(many, axis=1) == np.arange(9)).all()
    assert few[0].tolist() == list(range(5))
    assert many[0].tolist() == list(range(9))


def test_one_permutation_serves_all_runs() -> None:
    runs = [matched(make("LEAD 0.5", seed)) for seed in (1, 2)]
    together = run_products(runs)
    assert together == pytest.approx(np.concatenate([run_products(runs[:1]), run_products(runs[1:])]))


def test_geometry_that_belongs_to_the_prompts_is_not_made_specific_by_more_runs() -> None:
    """Onsets that are stable over runs, unrelated to behaviours that are stable over runs: one event, not three."""
    coupled = []
    for seed in range(60):
        rng = np.random.default_rng([seed, 4])
        mid, when = rng.uniform(2.4, 4.8, (2, 8))
        runs = []
        for _ in range(3):
            behaviour = draw(world("SYNC"), Design(midpoints=mid), rng)
            geometry = draw(world("SYNC"), Design(midpoints=when), rng)
            curves = [StepCurves(behaviour.steps, v) for v in (geometry.geometry, behaviour.accuracy)]
            runs.append(MatchedRun(*curves))
        coupled.append(task_matched_lag(runs, seed).is_coupled)
    assert np.mean(coupled) <= 0.15  # permuting each run on its own would give .27


def test_same_seed_same_answer() -> None:
    run = [matched(make("UNREL", 3, tasks=9))]
    first, again, other = (repr(task_matched_lag(run, seed)) for seed in (1, 1, 2))  # NaN is not equal to itself
    assert first == again != other


# -- layers -----------------------------------------------------------------------------------------------


def test_layer_scan_corrects_for_the_layers_looked_at() -> None:
    one = [matched(make("LEAD 0.5"))]
    noise = {f"resid_{k}": [matched(make("UNREL", k))] for k in range(1, 5)}
    scan = scan_layers({**noise, "resid_5": one})
    alone = task_matched_lag(one).p_specific
    assert scan.layers == (*noise, "resid_5")
    assert scan.p_adjusted[-1] <= 0.05
    assert scan.p_adjusted[-1] >= alone
    assert scan.lag[-1] == pytest.approx(0.5, abs=0.2)
    assert scan_layers({"resid_5": one}).p_adjusted[0] == pytest.approx(alone, abs=1e-3)


# -- what is refused --------------------------------------------------------------------------------------


def test_curves_with_different_checkpoints_are_compared() -> None:
    drawn = make("LEAD 0.5")
    some = np.r_[0:10, 10:153:5]
    run = MatchedRun(StepCurves(drawn.steps, drawn.geometry), StepCurves(drawn.steps[some], drawn.accuracy[:, some]))
    assert task_matched_lag([run]).label == LEADS


def test_curves_that_do_not_overlap_are_refused() -> None:
    early, late = np.arange(1.0, 101.0), np.arange(1000.0, 1100.0)
    curves = [
        StepCurves(steps, np.random.default_rng(0).normal(size=(5, 100)), what)
        for steps, what in ((early, "g"), (late, "b"))
    ]
    with pytest.raises(PythiaGeometryError, match=r"do not overlap in column 'step': g 1 to 100; b 1000 to 1099"):
        task_matched_lag([MatchedRun(*curves)])


@pytest.mark.parametrize("tasks", [0, 1])
def test_one_task_is_refused(tasks: int) -> None:
    drawn = make("SYNC")
    curves = [StepCurves(drawn.steps, v[:tasks]) for v in (drawn.geometry, drawn.accuracy)]
    with pytest.raises(PythiaGeometryError, match=f"Column 'task': {tasks} task"):
        task_matched_lag([MatchedRun(*curves)])


def test_runs_with_other_tasks_are_refused() -> None:
    with pytest.raises(PythiaGeometryError, match=r"Column 'task': runs and curves hold \[5, 8\] tasks"):
        task_matched_lag([matched(make("SYNC")), matched(make("SYNC", tasks=5))])
    with pytest.raises(PythiaGeometryError, match="No training run"):
        task_matched_lag([])


def bad_steps(kind: str) -> np.ndarray:
    steps = np.arange(1.0, 21.0)
    if kind == "unsorted":
        steps[[3, 4]] = steps[[4, 3]]
    elif kind == "repeated":
        steps[4] = steps[3]
    elif kind == "holds 0":
        steps -= 1
    return steps


@pytest.mark.parametrize("kind", ["unsorted", "repeated", "holds 0"])
def test_bad_steps_are_refused(kind: str) -> None:
    with pytest.raises(PythiaGeometryError, match=f"accuracy: column 'step'.*{kind}"):
        StepCurves(bad_steps(kind), np.zeros((2, 20)), "accuracy").x  # noqa: B018 (step 0 has no place on a log axis)


def test_values_that_are_not_finite_are_refused() -> None:
    values = np.zeros((2, 20))
    values[1, 7] = np.nan
    with pytest.raises(PythiaGeometryError, match="g: column 'value' is not finite in row 1 at step 8"):
        StepCurves(np.arange(1.0, 21.0), values, "g")
    with pytest.raises(PythiaGeometryError, match="too few for a curve"):
        StepCurves(np.arange(1.0, 5.0), np.zeros((2, 4))).x  # noqa: B018
    with pytest.raises(PythiaGeometryError, match="expected one row a task"):
        StepCurves(np.arange(1.0, 21.0), np.zeros(20))


def test_labels() -> None:
    def leg(p: float, lower: float, upper: float) -> str:
        nan = float("nan")
        p_lag = 0.01 if lower > tml.DELTA else 0.06
        return Leg(p, 0.0, lower, upper, p_lag, (0.0,), nan, nan, nan, 0.1, 8, 8, 2000).label

    assert leg(0.05, 0.11, 0.3) == LEADS
    assert leg(0.051, 0.11, 0.3) == NOTHING
    assert leg(0.01, tml.DELTA, 0.3) == COUPLED
    assert leg(0.01, -0.4, -0.11) == LAGS_BEHIND
    assert leg(0.01, -0.4, -0.1) == COUPLED


# -- families and runs -------------------------------------------------------------------------------------


def test_families_move_whole_and_only_among_their_size() -> None:
    families = ["a", "a", "b", "b", "c", "d"]
    blocks = tml.as_blocks(families, 6)
    orders = tml.task_orders(6, np.random.default_rng(0), blocks)
    assert orders[0].tolist() == [0, 1, 2, 3, 4, 5] and len(orders) == 4  # 2! of the pairs, 2! of the single ones
    assert {tuple(order) for order in orders.tolist()} == {
        (0, 1, 2, 3, 4, 5), (2, 3, 0, 1, 4, 5), (0, 1, 2, 3, 5, 4), (2, 3, 0, 1, 5, 4),
    }  # fmt: skip
    many = tml.task_orders(30, np.random.default_rng(0), tml.as_blocks([f"f{k // 3}" for k in range(30)], 30))
    assert len(many) == tml.PERMUTATIONS and (np.sort(many, axis=1) == np.arange(30)).all()
    assert (np.diff(many.reshape(len(many), 10, 3), axis=2) == 1).all()


def test_unrelated_families_pass_no_more_often_than_they_should() -> None:
    """Levels share their timing: permuted one by one 28 % of unrelated runs passed, families of three as blocks do not."""
    names = [f"f{k // 3}" for k in range(24)]
    legs = [
        task_matched_lag(
            [matched(draw(WORLDS["UNREL"], Design(GRID_154, 24, levels=3), np.random.default_rng(k)))], k, names
        )
        for k in range(30)
    ]
    assert np.mean([leg.is_coupled for leg in legs]) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 30) + 1e-9
    assert legs[0].n_families == 8


def test_runs_are_the_unit() -> None:
    one = task_matched_lag([matched(make("LEAD 0.5", 0))])
    assert np.isnan(one.p_runs) and np.isnan(one.runs_lower) and np.isnan(one.p_sign)
    opposed = task_matched_lag([matched(make("LEAD 0.7", 0)), matched(make("LEAD -0.5", 1))])
    assert opposed.p > 0.05 and opposed.runs_lower < 0 and len(opposed.run_lags) == 2
    alike = task_matched_lag([matched(make("LEAD 0.5", seed)) for seed in range(5)])
    assert alike.label == LEADS and alike.p_sign == pytest.approx(1 / 32)
    assert alike.lower <= alike.lag <= alike.upper


def test_one_event_of_growing_size_does_not_lead_at_its_own_strength() -> None:
    x, rng = np.log10(GRID_154), np.random.default_rng(0)
    event = 1 / (1 + np.exp(-(x - 2.8) / 0.2))
    behaviour = make("EARLY", 0)
    grown = event * np.linspace(0.3, 1.5, 8)[:, None] + 0.02 * rng.normal(size=(8, len(x)))
    run = MatchedRun(StepCurves(GRID_154, grown), StepCurves(GRID_154, behaviour.accuracy))
    assert task_matched_lag([run], own_strength=True).p > 0.05
    lead = matched(make("LEAD 0.5"))
    assert task_matched_lag([lead], own_strength=True).label == LEADS

"""The alarms on embeddings: silent on trained and on random-walk runs, loud on swapped and spliced ones."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from safetensors.numpy import load_file

from pythia_geometry.shipped import data_folder
from pythia_geometry.suites.doctor.continuity import Vector, continuity, correlation, detour, relative_speeds
from pythia_geometry.suites.pythia import STEPS
from tests.suites.histories import history

OFFLINE = data_folder() / "suites" / "offline"


def vectors(steps: tuple[int, ...] = STEPS, seed: int = 0) -> dict[int, Vector]:
    return {step: array.astype(np.float32).ravel() for step, array in history(steps, seed).items()}


@pytest.fixture(scope="module")
def trained() -> dict[int, Vector]:
    """The embeddings of the trained suite that ships."""
    files = {int(folder.name[4:]): folder / "model.safetensors" for folder in OFFLINE.glob("step*")}
    name = "gpt_neox.embed_in.weight"
    return {step: load_file(files[step])[name].astype(np.float32).ravel() for step in sorted(files)}


def swapped(run: dict[int, Vector], a: int, b: int) -> dict[int, Vector]:
    return run | {a: run[b], b: run[a]}


def point(*coordinates: float) -> Vector:
    return np.array(coordinates, dtype=np.float32)


# -- the numbers themselves --------------------------------------------------------------------------------


def test_detour_of_known_paths() -> None:
    assert detour(point(0, 0), [point(1, 0)], point(2, 0)) == pytest.approx(0.5)
    assert detour(point(0, 0), [point(1, 0)], point(10, 0)) == pytest.approx(0.1)
    assert detour(point(0, 0), [point(3, 4)], point(0, 0.5)) == pytest.approx(np.hypot(3, 3.5) / 0.5)
    assert detour(point(0, 0), [point(0, 5), point(9, 9), point(1, 4)], point(1, 0)) == pytest.approx(4.0)
    assert detour(point(0, 0), [point(1, 0)], point(0, 0)) == float("inf")


def test_detour_of_a_random_walk_and_of_independent_steps() -> None:
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(3, 200_000)).astype(np.float32)
    walk = steps.cumsum(axis=0)
    assert detour(walk[0], [walk[1]], walk[2]) == pytest.approx(0.5**0.5, abs=0.01)
    assert detour(steps[0], [steps[1]], steps[2]) == pytest.approx(1.0, abs=0.01)


def test_scale_and_offset_do_not_matter(trained: dict[int, Vector]) -> None:
    one = continuity(trained)
    other = continuity({step: 50.0 * vector for step, vector in trained.items()})
    assert other.detour == pytest.approx(one.detour, rel=1e-3)
    assert other.speed == pytest.approx(one.speed, rel=1e-3)
    assert other.from_start == pytest.approx(one.from_start, rel=1e-3)


def test_speed_is_a_training_step_and_against_the_faster_neighbour() -> None:
    path = {0: point(0), 1: point(1), 3: point(5), 4: point(6)}
    assert relative_speeds(sorted(path), path) == pytest.approx({3: 2.0, 4: 0.5})


def test_correlation_of_the_same_of_the_opposite_and_of_strangers() -> None:
    a, b = vectors(seed=1)[0], vectors(seed=2)[0]
    assert correlation(a, a) == pytest.approx(1.0)
    assert correlation(a, 3 - a) == pytest.approx(-1.0)
    assert abs(correlation(a, b)) < 0.12  # 1,024 numbers: 3.8 standard errors


# -- healthy runs ----------------------------------------------------------------------------------------------


def test_trained_suite_raises_no_alarm(trained: dict[int, Vector]) -> None:
    found = continuity(trained)
    assert (dict(found.alarms), found.broken_lineage, found.untested) == ({}, "", ())
    assert len(found.detour) == len(trained) - 2
    assert max(found.detour.values()) < 0.7
    assert max(found.speed.values()) < 1.1
    assert found.from_start[16000] > 0.5


@pytest.mark.parametrize("steps", [STEPS, STEPS[::5], (0, 1, 2, 64, 143000), tuple(range(1000, 20000, 1000))])
@pytest.mark.parametrize("seed", range(4))
def test_random_walk_raises_no_alarm_on_any_grid(steps: tuple[int, ...], seed: int) -> None:
    found = continuity(vectors(steps, seed))
    assert (dict(found.alarms), found.broken_lineage or "") == ({}, "")


def test_unrelated_steps_raise_no_alarm() -> None:
    rng = np.random.default_rng(5)
    found = continuity({step: rng.normal(size=4096).astype(np.float32) for step in STEPS[:60]})
    assert (dict(found.alarms), found.broken_lineage) == ({}, "")


# -- wrong ones ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [(6, 40), (140, 16000), (2, 1510), (3740, 9280), (1050, 13340)])
def test_two_swapped_steps_of_the_trained_suite_are_found(trained: dict[int, Vector], a: int, b: int) -> None:
    found = continuity(swapped(trained, a, b))
    assert set(found.alarms) & {a, b}
    assert set(found.alarms) <= {a, b}


@pytest.mark.slow
def test_swaps_across_two_steps_or_more_raise_an_alarm_and_one_in_five_of_the_nearer_ones(
    trained: dict[int, Vector],
) -> None:
    steps = sorted(trained)
    seen = {}
    for i, j in combinations(range(len(steps)), 2):
        found = continuity(swapped(trained, steps[i], steps[j]))
        seen[i, j] = bool(found.alarms or found.broken_lineage)
    far = [alarm for (i, j), alarm in seen.items() if j - i > 2]
    near = [alarm for (i, j), alarm in seen.items() if j - i <= 2]
    assert (sum(far), len(far)) == (1377, 1378)  # steps 0 and 83 pass
    assert (sum(near), len(near)) == (21, 107)


def test_only_the_wrong_step_is_named() -> None:
    run = vectors()
    found = continuity(run | {4000: run[120000]})
    assert set(found.alarms) == {4000}
    assert found.alarms[4000].startswith("it is ")
    assert found.detour[4000] > 2


def test_block_of_wrong_steps_that_differ_is_named_whole() -> None:
    run = vectors()
    rng = np.random.default_rng(1)
    late = {s: run[140000] + 0.001 * rng.normal(size=run[0].size).astype(np.float32) for s in (50000, 51000, 52000)}
    found = continuity(run | late)
    assert set(found.alarms) == set(late)
    assert found.alarms[51000].startswith("steps 50000 to 52000 are ")


def test_last_step_of_another_time_is_named() -> None:
    run = vectors()
    assert set(continuity(run | {143000: run[512]}).alarms) == {143000}


def test_exact_return_is_named_on_both_sides() -> None:
    circle = {step: point(np.cos(step * np.pi / 6), np.sin(step * np.pi / 6)) for step in range(12)}
    assert not continuity(circle).alarms
    found = continuity(circle | {12: circle[0]})
    assert set(found.alarms) == {0, 12}
    assert found.alarms[12] == "its embedding is exactly that of step 0, and those between differ"


def test_splice_of_two_runs_is_named_where_the_second_begins() -> None:
    first, second = vectors(seed=1), vectors(seed=2)
    found = continuity({step: (first if step < 70000 else second)[step] for step in STEPS})
    assert set(found.alarms) == {70000}
    assert "times as fast from step 69000 to here" in found.alarms[70000]


@pytest.mark.parametrize("start", [(0,), (0, 1)])
def test_step_0_of_another_run_is_a_broken_lineage(start: tuple[int, ...]) -> None:
    found = continuity(vectors(seed=1) | {step: vectors(seed=2)[step] for step in start})
    assert found.broken_lineage
    assert "does not descend from it" in found.broken_lineage
    assert not found.alarms


def test_descent_is_not_judged_where_it_cannot_be() -> None:
    without = continuity({step: v for step, v in vectors().items() if step})
    assert (without.broken_lineage, without.untested[0][:20]) == (None, "there is no step 0: ")
    late = continuity({0: vectors(seed=9)[0], **{s: vectors()[s] for s in (50000, 51000, 52000)}})
    assert late.broken_lineage is None
    assert "too late to tell" in late.untested[0]
    gone = continuity({0: vectors(seed=9)[0], **{s: vectors()[s] for s in (1000, 2000, 3000)}})  # no earlier branch
    assert (gone.broken_lineage, gone.untested[0][:25]) == (None, "the first step to compare")


def test_steps_with_one_embedding_count_once() -> None:
    run = vectors()
    assert continuity(run | {4000: run[143000], 5000: run[143000]}).alarms.keys() == {4000, 5000}
    assert "too few" in continuity(dict.fromkeys((0, 1, 2, 4), run[0])).untested[0]

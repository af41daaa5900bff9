"""Real behaviour with surrogates in geometry's place: that behaviour is left as it is, and each surrogate is what it says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pythia_geometry.analysis.calibration.summaries import excess
from pythia_geometry.analysis.calibration.words import LEGS, calibrate_real, real_runs
from pythia_geometry.analysis.precursor.screening import screen_models
from pythia_geometry.analysis.precursor.tidy_tables import read_tables
from pythia_geometry.analysis.tables.step_curves import StepCurves
from pythia_geometry.analysis.worlds import real_curves
from pythia_geometry.analysis.worlds.real_curves import REAL, RealRun, draw_real, groups_of
from tests.analysis.made_up import make

PUBLISHED = Path(os.environ.get("PYTHIA_EVALS", Path(__file__).parents[4] / "shared/pythia/evals"))
WORLDS = {world.name: world for world in REAL}


def run(seed: int, tasks: tuple[str, ...] = tuple("abcdef"), continuous: bool = True) -> RealRun:
    drawn = make("SYNC", seed)
    n = len(tasks)
    accuracy, log_prob = (StepCurves(drawn.steps, values[:n]) for values in (drawn.accuracy, drawn.log_prob))
    metric = log_prob if continuous else None
    return RealRun(f"m-seed{seed}", tasks, tasks, accuracy, drawn.error[:n], metric, drawn.midpoints[:n])


def test_groups_share_five_tasks_and_may_hold_a_run_twice() -> None:
    first, second, third = run(0), run(1, tuple("bcdefg")), run(2, tuple("uvwxyz"))
    names = [[r.name for r in group] for group in groups_of([first, second, third], 2)]
    assert names == [["m-seed0", "m-seed0"], ["m-seed0", "m-seed1"], ["m-seed1", "m-seed1"], ["m-seed2", "m-seed2"]]
    shared = groups_of([first, second], 2)[1]
    assert [r.tasks for r in shared] == [tuple("bcdef")] * 2
    assert shared[1].accuracy.values[0].tolist() == second.accuracy.values[0].tolist()


@pytest.mark.parametrize("continuous", [True, False])
def test_behaviour_is_as_measured_and_a_missing_metric_is_made(continuous: bool) -> None:
    real = run(0, continuous=continuous)
    drawn = draw_real(WORLDS["OWN"], groups_of([real], 3), [real], np.random.default_rng(0))
    assert len(drawn.runs) == 3
    for one in drawn.runs:
        assert np.array_equal(one.accuracy, real.accuracy.values)
        assert real.continuous is None or np.array_equal(one.log_prob, real.continuous.values)
    assert not np.array_equal(drawn.runs[0].geometry, drawn.runs[1].geometry)


@pytest.mark.parametrize("world", REAL, ids=lambda world: world.name)
def test_every_surrogate_is_finite_and_ends_where_it_says(world: real_curves.RealWorld) -> None:
    runs = [run(0), run(1)]
    recovery = world.surrogate(runs[0], runs, np.random.default_rng(3))
    assert recovery.shape == runs[0].accuracy.values.shape and np.isfinite(recovery).all()
    if world.name in ("PHASES", "PIECES"):  # a recovery of the same size, at other times
        way = runs[0].way
        assert recovery[:, -1] == pytest.approx(way[:, -1] - way[:, 0], abs=0.05)


def test_a_curve_moved_earlier_is_halfway_earlier() -> None:
    real = run(0)
    x, moved = real.accuracy.x, real_curves.moved(real, np.full(6, 0.5))
    halfway = [np.interp(0.5, row, x) for row in np.maximum.accumulate(real.way, axis=1)]
    earlier = [np.interp(0.5, row, x) for row in np.maximum.accumulate(moved, axis=1)]
    assert np.subtract(halfway, earlier) == pytest.approx(0.5, abs=0.1)


def test_a_lead_is_found_and_none_invented_on_curves_that_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pythia_geometry.analysis.calibration.words.CHUNK", 6)
    named = [WORLDS[name] for name in ("OWN", "OTHER TASK", "OWN, .5 EARLIER")]
    found = calibrate_real([run(seed, tuple("abcdefgh")) for seed in range(2)], named, (1,), draws=6)
    legs = found[found["word"] == LEGS].set_index("world")["rate"]
    assert legs["OWN, .5 EARLIER"] >= 0.5 and legs[["OWN", "OTHER TASK"]].max() <= 1 / 6


@pytest.mark.slow
@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published evaluations are not here")
def test_published_curves_hold_five_per_cent() -> None:
    screenings = screen_models(read_tables([PUBLISHED])[1])
    real = [one for screening in screenings for one in real_runs(screening)]
    assert sum(len(one.tasks) >= 5 for one in real) >= 3
    found = calibrate_real(real, runs=(1, 3), draws=50)
    assert excess(found) == []
    legs = found[(found["word"] == LEGS) & (found["lead"] == 0.5)]
    assert (legs["rate"] > 0.5).all()

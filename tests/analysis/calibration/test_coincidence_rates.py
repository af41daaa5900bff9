"""The coincidence test where the truth is known: at most 5 % for a common trend, and power that grows with seeds."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.analysis.calibration.coincidence_rates import coincidence_rates
from pythia_geometry.analysis.worlds.designs import GRID_154
from pythia_geometry.analysis.worlds.onset_worlds import ONSET_WORLDS, OnsetWorld, draw_units
from pythia_geometry.errors import PythiaGeometryError

BY_NAME = {world.name: world for world in ONSET_WORLDS}
TREND, TOGETHER = BY_NAME["independent around a common trend"], BY_NAME["coincident"]


def test_a_common_trend_is_called_at_most_one_time_in_twenty() -> None:
    (rate,) = coincidence_rates((8,), [TREND], draws=60)["rate"]
    assert rate <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)


def test_runs_of_very_unlike_speed_are_no_coincidence() -> None:
    """Fast runs are fast in all capabilities, by a factor: on the grid of checkpoints that is no constant shift."""
    (rate,) = coincidence_rates((5,), [BY_NAME["independent, runs of very unlike speed"]], draws=80)["rate"]
    assert rate <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 80)


def test_power_grows_with_seeds() -> None:
    found = coincidence_rates((3, 4, 10), [TOGETHER], draws=25)
    assert found["seeds"].tolist() == [3, 4, 10]
    assert found["rate"][0] == 0  # 1/3! is above .05
    assert found["testable"][0] == 0
    assert found["rate"][1] < found["rate"][2]
    assert found["rate"][2] >= 0.75


@pytest.mark.slow
def test_every_world_without_a_coincidence_keeps_its_level() -> None:
    worlds = [world for world in ONSET_WORLDS if not world.coincides]
    rates = coincidence_rates((4, 6, 8, 10), worlds, draws=200)["rate"]
    assert (rates <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 200)).all()


def test_onsets_are_read_on_the_grid_and_some_are_past_it() -> None:
    late = OnsetWorld("late", coincides=False, scatter=1.5)
    drawn = draw_units(late, 50, 2, GRID_154, np.random.default_rng(0))
    known = drawn["pattern"].dropna()
    assert (known == known.round()).all()
    assert known.min() >= 0 and known.max() < len(GRID_154)
    assert drawn["pattern"].isna().any()


def test_the_same_seed_gives_the_same_rates() -> None:
    assert coincidence_rates((5,), [TOGETHER], draws=3).equals(coincidence_rates((5,), [TOGETHER], draws=3))


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(PythiaGeometryError, match="at least 1 draw"):
        coincidence_rates(draws=0)

"""Calibration: what it counts, and that it continues where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.calibration import rates as calibration
from pythia_geometry.analysis.calibration.rates import (
    BOTH,
    GRIDS,
    LAG,
    PRIMARY,
    SECONDARY,
    calibrate,
    run_designs,
)
from pythia_geometry.analysis.precursor.screening import screen_tasks
from pythia_geometry.analysis.worlds.designs import GRID_27, Design
from pythia_geometry.analysis.worlds.made_up import WORLDS
from pythia_geometry.errors import MachineError, PythiaGeometryError
from tests.analysis.made_up import behaviour_table, make

SMALL = {"27": Design(GRID_27, 5)}
TWO = (WORLDS["SYNC"], WORLDS["LEAD 0.5"])


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "CHUNK", 8)


def test_every_test_of_every_world_has_a_rate(tmp_path: Path) -> None:
    found = calibrate(SMALL, TWO, draws=8)
    assert len(found) == 2 * (len(PRIMARY) + 1 + len(SECONDARY))
    rates = found[found["test"] != LAG]
    assert rates["rate"].between(0, 1).all()
    assert (found.loc[found["test"].isin(PRIMARY), "se"] > 0).all()  # none is without error at 0 of 8
    assert (found.loc[found["test"].isin(PRIMARY), "runs"] == 8).all()
    assert set(calibrate(SMALL, TWO, draws=8, with_usual=False)["test"]) == {*PRIMARY, LAG}


def test_finished_chunks_are_not_made_again(tmp_path: Path) -> None:
    told: list[str] = []
    first = calibrate(SMALL, TWO, draws=8, folder=tmp_path, with_usual=False, notify=told.append)
    assert len(told) == 2
    again = calibrate(SMALL, TWO, draws=8, folder=tmp_path, with_usual=False, notify=told.append)
    assert len(told) == 2
    pd.testing.assert_frame_equal(first, again)
    calibrate(SMALL, TWO, draws=16, folder=tmp_path, with_usual=False, notify=told.append)
    assert len(told) == 4
    calibrate({"27": Design(GRID_27, 6)}, TWO, draws=8, folder=tmp_path, with_usual=False, notify=told.append)
    calibrate(SMALL, TWO, draws=8, seed=1, folder=tmp_path, with_usual=False, notify=told.append)
    assert len(told) == 8


def test_a_line_torn_by_a_kill_is_made_again(tmp_path: Path) -> None:
    whole = calibrate(SMALL, TWO, draws=16, folder=tmp_path, with_usual=False)
    file = tmp_path / "calibration.jsonl"
    file.write_text(file.read_text()[:-40])
    told: list[str] = []
    again = calibrate(SMALL, TWO, draws=16, folder=tmp_path, with_usual=False, notify=told.append)
    assert len(told) == 1
    pd.testing.assert_frame_equal(whole, again)
    calibrate(SMALL, TWO, draws=16, folder=tmp_path, with_usual=False, notify=told.append)
    assert len(told) == 1


def test_a_lead_is_found_and_synchrony_is_not() -> None:
    found = calibrate({"154": GRIDS["154"]}, TWO, draws=24, with_usual=False).set_index(["world", "test"])["rate"]
    assert found["LEAD 0.5", BOTH] >= 0.8
    assert found["SYNC", BOTH] <= 0.1
    assert found["LEAD 0.5", LAG] > 0.3 > found["SYNC", LAG]


@pytest.mark.slow
def test_rates_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every null world but the mirage's accuracy leg at 5 % or less, power .8 at half a decade on Pythia's own grid."""
    draws = 400
    found = calibrate(GRIDS, draws=draws, seed=1, with_usual=False).set_index(["grid", "world", "test"])["rate"]
    limit = 0.05 + 2 * np.sqrt(0.05 * 0.95 / draws)
    for grid in GRIDS:
        for name, world in WORLDS.items():
            if not (world.lead or 0) > 0:
                assert found[grid, name, BOTH] <= limit, (grid, name)
    assert found["154", "LEAD 0.5", BOTH] >= 0.8


def test_design_of_ones_own_run() -> None:
    drawn = make("SYNC", tasks=6)
    (name, design), *rest = run_designs([screen_tasks(behaviour_table(drawn))]).items()
    assert (name, rest) == ("m", [])
    assert design.n_tasks == 6
    assert design.steps.tolist() == drawn.steps.tolist()
    assert design.midpoints == pytest.approx(drawn.midpoints, abs=0.2)  # late tasks are cut short
    assert design.items == pytest.approx(np.full(6, 1000.0), rel=0.05)
    assert design.gains == pytest.approx(np.full(6, 0.5), abs=0.15)
    assert len(calibrate({name: design}, TWO[:1], draws=8)) == len(PRIMARY) + 1 + len(SECONDARY)


def test_too_few_tasks_or_draws_are_refused() -> None:
    with pytest.raises(PythiaGeometryError, match="Column 'task': 4 tasks emerged in every run. Expected at least 5"):
        run_designs([screen_tasks(behaviour_table(make("SYNC", tasks=4)))])
    with pytest.raises(PythiaGeometryError, match="--draws 0"):
        calibrate(SMALL, TWO, draws=0)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="Cannot write to"):
        calibrate(SMALL, TWO[:1], draws=8, folder=tmp_path / "file" / "below", with_usual=False)

"""The picture of a diagnosis: every step is a column, every verdict has its colour, and it needs no browser."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pythia_geometry.report.drawing import save
from pythia_geometry.report.timeline import COLOURS, timeline
from pythia_geometry.shipped import data_folder
from pythia_geometry.suites.doctor.verdicts import VERDICTS, diagnose
from pythia_geometry.suites.local import LocalSuite

STEPS = (0, 2, 40, 1050, 16000)


@pytest.fixture
def suite(tmp_path: Path) -> LocalSuite:
    """Five steps, of which step 2 serves the last step's weights and step 1050 has none."""
    for step in STEPS:
        shutil.copytree(data_folder() / "suites" / "offline" / f"step{step}", tmp_path / "run" / f"step{step}")
    shutil.copy(tmp_path / "run/step16000/model.safetensors", tmp_path / "run/step2/model.safetensors")
    (tmp_path / "run/step1050/model.safetensors").unlink()
    return LocalSuite(tmp_path / "run")


def rows_of(chart: Any) -> list[dict[str, Any]]:
    """The values of the only panel: Altair lifts them out of it."""
    return list(chart.to_dict()["data"]["values"])


def test_every_step_has_its_verdict_in_a_row_of_its_own(suite: LocalSuite) -> None:
    chart = timeline(diagnose(suite))
    rows = {(row["row"], row["step"]): row["verdict"] for row in rows_of(chart)}
    expected = {0: "trust", 2: "wrong", 40: "trust", 1050: "missing", 16000: "trust"}
    assert {step: verdict for (row, step), verdict in rows.items() if row == "verdict"} == expected
    assert {step: verdict for (row, step), verdict in rows.items() if row == "safetensors"} == expected
    assert "3 trust, 1 wrong, 1 missing" in chart.to_dict()["title"]["subtitle"]
    assert len(chart.to_dict()["vconcat"]) == 1


def test_deep_adds_detour_and_descent(suite: LocalSuite) -> None:
    panels = timeline(diagnose(suite, deep=True)).to_dict()["vconcat"]
    titles = [panel["layer"][0]["encoding"]["y"]["title"] for panel in panels[1:]]
    assert titles == ["detour", "correlation with step 0"]


def test_descent_that_could_not_be_tested_has_no_line_to_fall_below(suite: LocalSuite) -> None:
    found = diagnose(suite, deep=True)
    assert found.inside is not None
    tests = replace(found.inside.continuity, broken_lineage=None)
    panels = timeline(replace(found, inside=replace(found.inside, continuity=tests))).to_dict()["vconcat"]
    assert [len(panel["layer"]) for panel in panels[1:]] == [2, 1]


def test_every_verdict_has_a_colour() -> None:
    assert set(COLOURS) == set(VERDICTS)
    assert len(set(COLOURS.values())) == len(VERDICTS)


def test_picture_is_drawn_as_png_and_svg(suite: LocalSuite) -> None:
    drawn = save(timeline(diagnose(suite, deep=True)))
    assert drawn["png"].startswith(b"\x89PNG")
    assert b"Which steps can be trusted" in drawn["svg"]

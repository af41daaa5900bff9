"""A run folder of format 1 continues: its rows are kept and marked, and never mixed with new ones of a question."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from pythia_geometry.store.run_folder import RunFolder
from tests.suites_on_disk import SuiteOnDisk, tiny_suite

OLD = Path(__file__).parent / "format1.tar.xz"
"""A walk of `tiny_suite(folder, STEPS)` by the last version that wrote format 1 (commit 668b098)."""

STEPS = (0, 2, 8)
UNKNOWN = "float32, inputs unknown"


@pytest.fixture
def suite(tmp_path: Path) -> SuiteOnDisk:
    return tiny_suite(tmp_path, STEPS)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The old run folder, as if it had been walked from where the suite lies now."""
    out = tmp_path / "run"
    with tarfile.open(OLD) as archive:
        archive.extractall(out, filter="data")
    return out


def values(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns=["precision", "reason"])  # TwoNN said there how many repeated rows it left out


def test_it_is_read_and_marked(old: Path) -> None:
    found = RunFolder(old).tables()
    assert set(found.geometry["precision"]) == {UNKNOWN, "float32, cached float16, inputs unknown"}
    assert set(found.behaviour["precision"]) == {UNKNOWN}
    assert (found.geometry["settings"] == "").all()
    assert found.geometry["head"].isna().all()


def test_the_same_command_computes_nothing_and_changes_no_number(suite: SuiteOnDisk, old: Path, tmp_path: Path) -> None:
    before = RunFolder(old).tables()
    parts = sorted(path.name for path in (old / "parts").iterdir())
    after = suite.walk(old)
    assert sorted(path.name for path in (old / "parts").iterdir()) == parts
    pd.testing.assert_frame_equal(after.geometry, before.geometry)
    pd.testing.assert_frame_equal(values(after.geometry), values(suite.walk(tmp_path / "fresh").geometry))
    assert json.loads((old / "manifest.json").read_text())["format"] == 2


def test_a_question_that_lacks_anything_is_computed_whole(suite: SuiteOnDisk, old: Path, tmp_path: Path) -> None:
    asked = ("representation", "sink")
    found = suite.walk(old, measures=asked, steps="2")
    new = found.geometry["step"] == 2
    assert not found.geometry[new]["precision"].str.contains("unknown").any()
    assert found.geometry[~new]["precision"].str.contains("unknown").all()
    whole = suite.walk(old, measures=asked)
    pd.testing.assert_frame_equal(whole.geometry, suite.walk(tmp_path / "fresh", measures=asked).geometry)

"""`--activations none`: every number, and no activations left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pythia_geometry.runs.one_run import measuring
from pythia_geometry.store.run_folder import RunFolder
from tests.runs.children import Stopped, counted, stop
from tests.suites_on_disk import SuiteOnDisk, assert_same, tiny_suite

STEPS = (0, 2, 4, 6)


@pytest.fixture
def suite(tmp_path: Path) -> SuiteOnDisk:
    return tiny_suite(tmp_path, STEPS)


def test_nothing_is_left_and_every_number_is_that_of_the_keep_walk(suite: SuiteOnDisk, tmp_path: Path) -> None:
    kept = suite.walk(tmp_path / "keep")
    none = suite.walk(tmp_path / "none", activations="none")
    assert_same(none, kept)
    cka = none.geometry[none.geometry["measure"].str.startswith("cka")]
    assert len(cka) == 2 * len(STEPS) * 2 * 4
    assert cka["value"].notna().sum() == (2 * len(STEPS) - 1) * 2 * 4
    assert not (tmp_path / "none" / "activations").exists()
    assert not (tmp_path / "none" / "passing").exists()
    assert len(list((tmp_path / "keep" / "activations").iterdir())) == len(STEPS)


def test_never_more_than_three_files_of_activations_lie_on_disk(
    suite: SuiteOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, most = tmp_path / "run", []
    real = RunFolder.add_activations

    def watched(folder: RunFolder, file: Path, *rest: Any) -> None:
        real(folder, file, *rest)
        most.append(len(list(file.parent.iterdir())))

    monkeypatch.setattr(RunFolder, "add_activations", watched)
    suite.walk(out, activations="none")
    assert len(most) == len(STEPS)
    assert max(most) <= 3


def test_second_walk_computes_nothing(suite: SuiteOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    first = suite.walk(out, activations="none")
    monkeypatch.setattr(measuring, "capture", pytest.fail)
    assert_same(suite.walk(out, activations="none"), first)


@pytest.mark.parametrize("number", [4, 7, 9, 11, 13, 15])
def test_walk_stopped_in_the_middle_continues_to_the_same_numbers(
    suite: SuiteOnDisk, tmp_path: Path, number: int
) -> None:
    out = tmp_path / "run"
    expected = suite.walk(tmp_path / "keep")
    with pytest.MonkeyPatch.context() as patch, counted(patch, number, stop), pytest.raises(Stopped):
        suite.walk(out, activations="none")
    assert_same(suite.walk(out, activations="none"), expected)
    assert not (out / "activations").exists() and not (out / "passing").exists()


def test_added_measure_runs_the_model_again_and_keeps_the_comparisons(suite: SuiteOnDisk, tmp_path: Path) -> None:
    out = tmp_path / "run"
    few = ("rankme", "cka_previous", "cka_last")
    suite.walk(out, activations="none", measures=few)
    assert_same(suite.walk(out, activations="none"), suite.walk(tmp_path / "keep"))
    assert not (out / "activations").exists() and not (out / "passing").exists()


def test_comparison_whose_activations_were_not_kept_is_a_row_with_the_reason(
    suite: SuiteOnDisk, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    suite.walk(out, activations="none", steps="0,4,6")
    tables = suite.walk(out, activations="none")
    rows = tables.geometry[tables.geometry["measure"] == "cka_previous"].set_index("step")
    assert set(rows.loc[[2], "reason"]) == {"activations were not kept (--activations none)"}
    assert rows.loc[[2], "value"].isna().all()
    assert rows.loc[[4], "value"].notna().all()  # made with step 0 while its activations lay there
    assert len(rows) == len(STEPS) * 2 * 4


def test_keeping_after_not_keeping_forwards_again_and_fills_the_comparisons(suite: SuiteOnDisk, tmp_path: Path) -> None:
    out = tmp_path / "run"
    suite.walk(out, activations="none", steps="0,4,6")
    suite.walk(out, activations="none")
    kept = suite.walk(out)
    assert_same(kept, suite.walk(tmp_path / "keep"))


def test_walking_a_finished_folder_again_adds_nothing_to_it(suite: SuiteOnDisk, tmp_path: Path) -> None:
    out = tmp_path / "run"
    suite.walk(out, activations="none", steps="0,4,6")
    suite.walk(out, activations="none")
    parts = len(list((out / "parts").iterdir()))
    suite.walk(out, activations="none")
    assert len(list((out / "parts").iterdir())) == parts


def test_tables_on_disk_are_those_returned(suite: SuiteOnDisk, tmp_path: Path) -> None:
    tables = suite.walk(tmp_path / "run", activations="none")
    for name in ("geometry", "behaviour", "answers", "checkpoints"):
        frame = getattr(tables, name)
        found = pd.read_parquet(tmp_path / "run" / f"{name}.parquet").astype(frame.dtypes)
        pd.testing.assert_frame_equal(found, frame, check_exact=True)

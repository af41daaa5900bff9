"""Results are read back as they were kept; a torn or foreign pair is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.store.results import RESULTS, Result, hash_inputs, home_of, keep_result, read_result

FRAME = pd.DataFrame({"task": ["a", "b"], "lag": [0.25, np.nan], "n": [3, 4], "ok": [True, False]})


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    kept = Result("precursors", FRAME, {"draws": 10, "tasks": ("a", "b")}, {"run": "ab"})
    assert keep_result(tmp_path, kept) == tmp_path / RESULTS / "precursors.parquet"
    found = read_result(tmp_path, "precursors")
    pd.testing.assert_frame_equal(found.frame, FRAME)
    assert (found.settings, found.inputs, found.version) == (
        {"draws": 10, "tasks": ["a", "b"]},
        {"run": "ab"},
        kept.version,
    )
    assert not list(tmp_path.rglob(".tmp-*"))


def test_rows_are_plain_values() -> None:
    rows = Result("r", FRAME.assign(many=[np.array([1.0, np.inf]), {"b": pd.NA}])).rows()
    assert json.loads(json.dumps(rows, allow_nan=False))[1] == {
        "task": "b", "lag": None, "n": 4, "ok": False, "many": {"b": None},
    }  # fmt: skip
    assert rows[0]["many"] == [1.0, None]


def test_a_kill_between_the_two_files_is_seen(tmp_path: Path) -> None:
    keep_result(tmp_path, Result("power", FRAME))
    before = (tmp_path / RESULTS / "power.json").read_text()
    keep_result(tmp_path, Result("power", FRAME.assign(lag=1.0)))
    (tmp_path / RESULTS / "power.json").write_text(before)
    with pytest.raises(PythiaGeometryError, match=r"not the table that power.json describes.*pythia-geom power"):
        read_result(tmp_path, "power")


@pytest.mark.parametrize("torn", ["", "{", "{}", "[]"])
def test_damage_is_one_message(tmp_path: Path, torn: str) -> None:
    keep_result(tmp_path, Result("power", FRAME))
    (tmp_path / RESULTS / "power.json").write_text(torn)
    with pytest.raises(PythiaGeometryError, match="is damaged"):
        read_result(tmp_path, "power")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(PythiaGeometryError, match="holds no result 'power'"):
        read_result(tmp_path, "power")


def test_a_folder_that_is_a_file_or_read_only_is_said(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(PythiaGeometryError, match="is a file"):
        keep_result(tmp_path / "f", Result("power", FRAME))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / RESULTS).symlink_to("/proc/nowhere")
    with pytest.raises(MachineError, match="Cannot write"):
        keep_result(tmp_path / "deep", Result("power", FRAME))


def test_inputs_are_hashed_by_content(tmp_path: Path) -> None:
    part = tmp_path / "run" / "parts" / "000001.a"
    part.mkdir(parents=True)
    (part / "geometry.parquet").write_bytes(b"1")
    (tmp_path / "t.csv").write_text("a")
    first = hash_inputs([tmp_path / "run", tmp_path / "t.csv"])
    assert first == hash_inputs([tmp_path / "run", tmp_path / "t.csv"])
    (tmp_path / "run" / "figures").mkdir()
    assert first == hash_inputs([tmp_path / "run", tmp_path / "t.csv"])
    (part / "geometry.parquet").write_bytes(b"2")
    changed = hash_inputs([tmp_path / "run", tmp_path / "t.csv"])
    assert [first[k] == changed[k] for k in first] == [False, True]


def test_a_result_lies_with_the_first_run_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "t.csv").write_text("a")
    both = [str(tmp_path / "t.csv"), str(tmp_path / "run")]
    assert home_of(both, "", "runs/x") == tmp_path / "run"
    assert home_of(both[:1], "", "runs/x") == Path("runs/x")
    assert home_of(both, "mine", "runs/x") == Path("mine")

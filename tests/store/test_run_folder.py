"""The run folder: tables, parts, activations."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pythia_geometry.errors import MachineError
from pythia_geometry.store.run_folder import FORMAT, RunFolder
from pythia_geometry.store.tables import ANSWERS, BEHAVIOUR, CHECKPOINTS, GEOMETRY
from pythia_geometry.store.writing import disk_errors


def shown(folder: RunFolder) -> RunFolder:
    """Makes the work of `geometry_row` current."""
    current = {"p last": {"capture": "w", "weights": "aa"}}
    folder.set_checkpoint("m@step3", {**RUN, "status": "ok", "weight_sha256": "aa"}, current)
    return folder


RUN = {"suite": "s", "model": "m", "seed": 0, "step": 3}


def geometry_row(value: float, **changes: Any) -> dict[str, Any]:
    row = {**RUN, "probe": "p", "task": "t", "layer": "embed", "layer_index": 0, "measure": "rankme"}
    row |= {"value": value, "error": 0.1, "ceiling": 8.0, "n": 8, "reason": "", "position": "last"}
    return row | {"precision": "float32", "reference_step": None, "probe_sha256": "ab", "work": "w"} | changes


def test_empty_tables_have_every_column_and_type(tmp_path: Path) -> None:
    tables = RunFolder(tmp_path).tables()
    for name, schema in {
        "geometry": GEOMETRY,
        "behaviour": BEHAVIOUR,
        "answers": ANSWERS,
        "checkpoints": CHECKPOINTS,
    }.items():
        frame = getattr(tables, name)
        assert frame.empty
        assert {c: str(t) for c, t in frame.dtypes.items()} == schema


def test_the_last_of_two_rows_for_one_thing_counts(tmp_path: Path) -> None:
    folder = shown(RunFolder(tmp_path))
    folder.add_part("a", ["1"], {"geometry": [geometry_row(1.0), geometry_row(5.0, layer_index=1)]})
    folder.add_part("a", ["2"], {"geometry": [geometry_row(2.0)]})
    for _ in range(10):
        folder.add_part("b", ["3"], {})
    folder.add_part("a", ["4"], {"geometry": [geometry_row(3.0)]})
    assert folder.tables().geometry["value"].to_list() == [3.0, 5.0]
    assert folder.done() == {"1": [1], "2": [2], "3": list(range(3, 13)), "4": [13]}


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "x"},
        {"model": "x"},
        {"seed": 1},
        {"step": 4},
        {"probe": "x"},
        {"task": "x"},
        {"layer_index": 1},
        {"measure": "x"},
        {"position": "mean"},
    ],
)
def test_rows_that_differ_in_what_they_are_about_both_count(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = shown(RunFolder(tmp_path))
    folder.add_part("a", [], {"geometry": [geometry_row(1.0), geometry_row(2.0, **change)]})
    assert len(folder.tables().geometry) == 2


def test_unknown_value_keeps_its_row_and_reason(tmp_path: Path) -> None:
    folder = shown(RunFolder(tmp_path))
    folder.add_part("a", [], {"geometry": [geometry_row(float("nan"), reason="because")]})
    folder.write_tables()
    found = pd.read_parquet(tmp_path / "geometry.parquet")
    assert found["value"].isna().all()
    assert found["reason"].to_list() == ["because"]
    assert found["reference_step"].isna().all()


def test_part_that_could_not_be_committed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shown(RunFolder(tmp_path))
    folder.add_part("a", ["1"], {"geometry": [geometry_row(1.0)]})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(MachineError, match=r"No space left on device\. What was finished is kept"):
            folder.add_part("a", ["2"], {"geometry": [geometry_row(2.0)]})
    assert folder.done().keys() == {"1"}
    assert folder.tables().geometry["value"].to_list() == [1.0]
    with folder.writing():
        assert not list(tmp_path.rglob(".tmp-*"))


def test_leftovers_of_a_killed_walk_are_swept_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "parts" / ".tmp-a").mkdir(parents=True)
    (tmp_path / "parts" / ".tmp-a" / "items.json").write_text('["lost"]')
    (tmp_path / "activations").mkdir()
    (tmp_path / "activations" / ".tmp-x.parquet").write_text("half")
    folder = RunFolder(tmp_path)
    assert folder.done() == {}
    with folder.writing():
        pass
    assert not list(tmp_path.rglob(".tmp-*"))


def test_other_errors_pass_the_disk_errors_by(tmp_path: Path) -> None:
    with pytest.raises(KeyError), disk_errors(tmp_path):
        raise KeyError("x")


def test_checkpoint_rows_are_replaced_one_by_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    row = {**RUN, "tokens": None, "source": "x", "revision": "r", "commit": "", "weight_sha256": "a" * 64}
    folder.set_checkpoint("m@step3", {**row, "status": "corrupt", "detail": "bad"})
    folder.set_checkpoint("m@step3", {**row, "status": "ok", "detail": ""})
    folder.set_checkpoint("m@step20", {**row, "step": 20, "status": "missing", "detail": "none"})
    found = folder.tables().checkpoints
    assert found["step"].to_list() == [3, 20]
    assert found["status"].to_list() == ["ok", "missing"]
    assert found["tokens"].isna().all()


def test_manifest_goes_in_whole(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_manifest({"b": 1, "a": {"x": [1, 2]}})
    assert folder.manifest() == {"b": 1, "a": {"x": [1, 2]}, "format": FORMAT}
    on_disk = json.loads((tmp_path / "manifest.json").read_text())
    assert re.fullmatch("[0-9a-f]{64}", on_disk.pop("sha256"))
    assert on_disk == folder.manifest()

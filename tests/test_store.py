"""The run folder: tables, parts, activations."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pythia_geometry.errors import MachineError
from pythia_geometry.runs.one_run import _compact
from pythia_geometry.runs.rows import measure_layers
from pythia_geometry.store import (
    ANSWERS,
    BEHAVIOUR,
    CHECKPOINTS,
    FORMAT,
    GEOMETRY,
    RunFolder,
    disk_errors,
    read_activations,
)


def add(folder: RunFolder, file: Path, probes: dict[str, np.ndarray]) -> None:
    folder.add_activations(file, probes, dict.fromkeys(probes, "w"))


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


def cloud(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float16)


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
    assert folder.done() == {"1", "2", "3", "4"}


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
    assert folder.done() == {"1"}
    assert folder.tables().geometry["value"].to_list() == [1.0]
    with folder.writing():
        assert not list(tmp_path.rglob(".tmp-*"))


def test_leftovers_of_a_killed_walk_are_swept_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "parts" / ".tmp-a").mkdir(parents=True)
    (tmp_path / "parts" / ".tmp-a" / "items.json").write_text('["lost"]')
    (tmp_path / "activations").mkdir()
    (tmp_path / "activations" / ".tmp-x.parquet").write_text("half")
    folder = RunFolder(tmp_path)
    assert folder.done() == set()
    with folder.writing():
        pass
    assert not list(tmp_path.rglob(".tmp-*"))


def test_other_errors_pass_the_disk_errors_by(tmp_path: Path) -> None:
    with pytest.raises(KeyError), disk_errors(tmp_path):
        raise KeyError("x")


def test_activations_come_back_as_they_went_in(tmp_path: Path) -> None:
    folder, file = RunFolder(tmp_path), tmp_path / "activations" / "a.parquet"
    given = {"p/one": cloud(4, 7, 5), "p/two": cloud(4, 3, 5, seed=1)}
    add(folder, file, given)
    found = read_activations(file)
    assert list(found) == list(given)
    for name, array in given.items():
        assert found[name].dtype == np.float16
        np.testing.assert_array_equal(found[name], array)


def test_one_row_group_a_layer_and_zstd(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    given = {"p/one": cloud(4, 7, 5), "p/two": cloud(4, 3, 5, seed=1)}
    add(RunFolder(tmp_path), file, given)
    parquet = pq.ParquetFile(file)
    assert parquet.num_row_groups == 4
    for layer in range(4):
        group = parquet.metadata.row_group(layer)
        assert group.num_rows == 10
        assert {group.column(c).compression for c in range(group.num_columns)} == {"ZSTD"}
        assert set(parquet.read_row_group(layer)["layer_index"].to_pylist()) == {layer}


@pytest.mark.parametrize("layers", [[0], [2], [3, 1]])
def test_chosen_layers_alone_are_read(tmp_path: Path, layers: list[int]) -> None:
    file = tmp_path / "a.parquet"
    given = {"p/one": cloud(4, 7, 5), "p/two": cloud(4, 3, 5, seed=1)}
    add(RunFolder(tmp_path), file, given)
    found = read_activations(file, layers=layers)
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array[layers])


def test_added_probe_joins_and_a_known_one_is_replaced(tmp_path: Path) -> None:
    folder, file = RunFolder(tmp_path), tmp_path / "a.parquet"
    add(folder, file, {"one": cloud(2, 7, 5), "two": cloud(2, 3, 5)})
    new = {"two": cloud(2, 6, 5, seed=2), "three": cloud(2, 4, 5, seed=3)}
    add(folder, file, new)
    found = read_activations(file)
    assert {name: a.shape[1] for name, a in found.items()} == {"one": 7, "two": 6, "three": 4}
    np.testing.assert_array_equal(found["one"], cloud(2, 7, 5))
    np.testing.assert_array_equal(found["two"], new["two"])


def test_value_beyond_float16_makes_the_file_float32(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    big = cloud(2, 7, 5).astype(np.float32)
    big[1, 3, 2] = 1e5
    assert _compact(big).dtype == np.float32
    add(RunFolder(tmp_path), file, {"big": _compact(big), "small": _compact(cloud(2, 3, 5))})
    found = read_activations(file)
    assert {a.dtype for a in found.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(found["big"], big)


@pytest.mark.parametrize(("largest", "dtype"), [(65_504.0, np.float16), (65_505.0, np.float32)])
def test_float16_ends_at_65504(tmp_path: Path, largest: float, dtype: type) -> None:
    given = np.full((2, 3, 4), largest, dtype=np.float32)
    assert _compact(given).dtype == dtype
    add(RunFolder(tmp_path), tmp_path / "a.parquet", {"p": given})
    found = read_activations(tmp_path / "a.parquet")["p"]
    assert found.dtype == dtype
    assert np.isfinite(found).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_activations_are_stored_and_measured_as_unknown_with_the_reason(tmp_path: Path, bad: float) -> None:
    file = tmp_path / "a.parquet"
    given = cloud(2, 7, 5).astype(np.float32)
    given[1, 3, 2] = bad
    add(RunFolder(tmp_path), file, {"p": _compact(given)})
    found = read_activations(file)["p"]
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, given.astype(np.float16))
    measured = measure_layers(found, ("rankme", "twonn"))
    assert [estimate.reason for layer, _, estimate in measured if layer == 1] == [
        "non-finite activations in 1 of 7 rows"
    ] * 2
    assert all(np.isnan(estimate.value) for layer, _, estimate in measured if layer == 1)
    assert all(np.isfinite(estimate.value) for layer, _, estimate in measured if layer == 0)


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
    assert json.loads((tmp_path / "manifest.json").read_text()) == folder.manifest()

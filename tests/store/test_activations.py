"""Files of pooled activations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pythia_geometry.measures import MEASURES
from pythia_geometry.runs.one_run.measuring import _compact
from pythia_geometry.runs.rows import measure_layers
from pythia_geometry.store.activations import add_activations, read_activations


def add(file: Path, probes: dict[str, np.ndarray]) -> None:
    add_activations(file, probes, dict.fromkeys(probes, "w"))


def cloud(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float16)


def test_activations_come_back_as_they_went_in(tmp_path: Path) -> None:
    file = tmp_path / "activations" / "a.parquet"
    given = {"p/one": cloud(4, 7, 5), "p/two": cloud(4, 3, 5, seed=1)}
    add(file, given)
    found = read_activations(file)
    assert list(found) == list(given)
    for name, array in given.items():
        assert found[name].dtype == np.float16
        np.testing.assert_array_equal(found[name], array)


def test_one_row_group_a_layer_and_zstd(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    given = {"p/one": cloud(4, 7, 5), "p/two": cloud(4, 3, 5, seed=1)}
    add(file, given)
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
    add(file, given)
    found = read_activations(file, layers=layers)
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array[layers])


def test_added_probe_joins_and_a_known_one_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    add(file, {"one": cloud(2, 7, 5), "two": cloud(2, 3, 5)})
    new = {"two": cloud(2, 6, 5, seed=2), "three": cloud(2, 4, 5, seed=3)}
    add(file, new)
    found = read_activations(file)
    assert {name: a.shape[1] for name, a in found.items()} == {"one": 7, "two": 6, "three": 4}
    np.testing.assert_array_equal(found["one"], cloud(2, 7, 5))
    np.testing.assert_array_equal(found["two"], new["two"])


def test_value_beyond_float16_makes_the_file_float32(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    big = cloud(2, 7, 5).astype(np.float32)
    big[1, 3, 2] = 1e5
    assert _compact(big).dtype == np.float32
    add(file, {"big": _compact(big), "small": _compact(cloud(2, 3, 5))})
    found = read_activations(file)
    assert {a.dtype for a in found.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(found["big"], big)


@pytest.mark.parametrize(("largest", "dtype"), [(65_504.0, np.float16), (65_505.0, np.float32)])
def test_float16_ends_at_65504(tmp_path: Path, largest: float, dtype: type) -> None:
    given = np.full((2, 3, 4), largest, dtype=np.float32)
    assert _compact(given).dtype == dtype
    add(tmp_path / "a.parquet", {"p": given})
    found = read_activations(tmp_path / "a.parquet")["p"]
    assert found.dtype == dtype
    assert np.isfinite(found).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_activations_are_stored_and_measured_as_unknown_with_the_reason(tmp_path: Path, bad: float) -> None:
    file = tmp_path / "a.parquet"
    given = cloud(2, 7, 5).astype(np.float32)
    given[1, 3, 2] = bad
    add(file, {"p": _compact(given)})
    found = read_activations(file)["p"]
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, given.astype(np.float16))
    measured = measure_layers(found, ("embed", "final_norm"), (MEASURES["rankme"], MEASURES["twonn"]))
    assert [estimate.reason for site, _, estimate in measured if site.layer_index == 1] == [
        "non-finite activations in 1 of 7 rows"
    ] * 2
    assert all(np.isnan(estimate.value) for site, _, estimate in measured if site.layer_index == 1)
    assert all(np.isfinite(estimate.value) for site, _, estimate in measured if site.layer_index == 0)

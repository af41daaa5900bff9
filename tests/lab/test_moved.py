"""The null of C3: as far as training went, another way."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from pythia_geometry.shipped import data_folder
from tests.suites_on_disk import tiny_suite

SHELF = data_folder() / "reference" / "moved"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    folder = Path(__file__).resolve().parents[2] / "scripts"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("lab_moved", folder / "lab_moved.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lab_moved", module)
    spec.loader.exec_module(module)
    return module


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return {name: value.double() for name, value in load_file(folder / f"step{step}" / "model.safetensors").items()}


def test_every_tensor_moves_as_far_as_in_training_in_one_direction_that_was_not_learnt(
    script: ModuleType, tmp_path: Path
) -> None:
    suite = tiny_suite(tmp_path / "trained", (0, 1, 8)).folder
    (suite / "suite.json").write_text(json.dumps({"name": "tiny", "seed": 3}))
    (suite / "training.json").write_text("{}")
    null = script.moved(suite, tmp_path)
    assert null.name == "tiny-moved-seed3" and json.loads((null / "suite.json").read_text())["name"] == "tiny-moved"
    assert not (null / "training.json").exists()
    first = {name: value for name, value in weights(suite, 0).items() if value.isfinite().all()}  # masks are not
    assert all(torch.equal(weights(null, 0)[name], value) for name, value in first.items())
    ways: dict[int, dict[str, torch.Tensor]] = {}
    for step in (1, 8):
        here, other = weights(suite, step), weights(null, step)
        for name, start in first.items():
            length = (here[name] - start).norm()
            assert (other[name] - start).norm() == pytest.approx(length.item(), rel=0.02, abs=1e-6)
        ways[step] = {name: (other[name] - first[name]).flatten() for name in first}
    for name, way in ways[1].items():
        if way.norm() and len(way) > 100:
            learnt = (weights(suite, 1)[name] - first[name]).flatten()
            assert torch.cosine_similarity(way, ways[8][name], dim=0) > 0.98
            assert abs(torch.cosine_similarity(way, learnt, dim=0)) < 0.5
    again = script.moved(suite, tmp_path / "again")
    assert all(torch.equal(weights(again, 8)[name], weights(null, 8)[name]) for name in first)


@pytest.mark.parametrize("record", sorted(SHELF.glob("*.json")), ids=lambda path: path.stem)
def test_a_null_that_ships_begins_where_its_run_begins_and_learns_nothing(record: Path) -> None:
    of = json.loads(record.read_text())["training"]["of"]
    null, run = (
        pd.read_parquet(folder / f"{name}.geometry.parquet").set_index(["step", "task", "layer", "measure"])["value"]
        for folder, name in ((SHELF, record.stem), (SHELF.parent / "transient", of))
    )
    assert sorted(null.index) == sorted(run.index)
    assert null.loc[0].dropna().to_numpy() == pytest.approx(run.loc[0].dropna().to_numpy(), rel=1e-4)
    behaviour = pd.read_parquet(SHELF / f"{record.stem}.behaviour.parquet")
    exact = behaviour[(behaviour["metric"] == "exact_match") & (behaviour["step"] == 60)]
    assert (exact["value"] < 0.9).all()

"""The null of C3: as far as training went, with the same singular values, another way."""

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

SHELF = data_folder() / "reference" / "rotated"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    folder = Path(__file__).resolve().parents[2] / "scripts"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("lab_rotated", folder / "lab_rotated.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lab_rotated", module)
    spec.loader.exec_module(module)
    return module


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return {name: value.double() for name, value in load_file(folder / f"step{step}" / "model.safetensors").items()}


def test_every_tensor_moves_as_in_training_and_elsewhere(script: ModuleType, tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path / "trained", (0, 1, 8)).folder
    (suite / "suite.json").write_text(json.dumps({"name": "tiny", "seed": 3}))
    (suite / "training.json").write_text("{}")
    null = script.rotated(suite, tmp_path)
    assert null.name == "tiny-rotated-seed3" and json.loads((null / "suite.json").read_text())["name"] == "tiny-rotated"
    assert not (null / "training.json").exists()
    first = {name: value for name, value in weights(suite, 0).items() if value.isfinite().all()}  # masks are not
    assert all(torch.equal(weights(null, 0)[name], value) for name, value in first.items())
    ways: dict[int, dict[str, torch.Tensor]] = {}
    for step in (1, 8):
        here, other = weights(suite, step), weights(null, step)
        for name, start in first.items():
            length = (here[name] - start).norm()
            assert (other[name] - start).norm() == pytest.approx(length.item(), rel=0.02, abs=1e-6)
            if start.ndim == 2:
                spectra = [torch.linalg.svdvals(moved[name] - start) for moved in (here, other)]
                assert torch.allclose(*spectra, rtol=0.02, atol=0.01 * spectra[0].max().item())
        ways[step] = {name: (other[name] - first[name]).flatten() for name in first}
    for name, way in ways[1].items():
        if way.norm() and len(way) > 100:
            learnt = (weights(suite, 1)[name] - first[name]).flatten()
            later = (weights(suite, 8)[name] - first[name]).flatten()
            turned, kept = (torch.cosine_similarity(*pair, dim=0) for pair in ((way, ways[8][name]), (learnt, later)))
            assert turned == pytest.approx(kept.item(), abs=0.05)  # the path turns as training's does
            assert abs(torch.cosine_similarity(way, learnt, dim=0)) < 0.5
    again = script.rotated(suite, tmp_path / "again")
    assert all(torch.equal(weights(again, 8)[name], weights(null, 8)[name]) for name in first)


def test_nulls_ship() -> None:
    assert len(list(SHELF.glob("*.json"))) >= 12


@pytest.mark.parametrize("record", sorted(SHELF.glob("*.json")), ids=lambda path: path.stem)
def test_a_null_that_ships_begins_where_its_run_begins_and_learns_nothing(record: Path) -> None:
    of = json.loads(record.read_text())["training"]["of"]
    keys = ["step", "task", "layer", "measure"]
    null, run = (
        pd.read_parquet(folder / f"{name}.geometry.parquet").set_index(keys)["value"]
        for folder, name in ((SHELF, record.stem), (SHELF.parent / "transient", of))
    )
    assert sorted(null.index) == sorted(run.index)
    assert null.loc[0].dropna().to_numpy() == pytest.approx(run.loc[0].dropna().to_numpy(), rel=1e-4)
    learnt = {}
    for kind, folder, name in (("null", SHELF, record.stem), ("run", SHELF.parent / "transient", of)):
        table = pd.read_parquet(folder / f"{name}.behaviour.parquet")
        table = table[(table["metric"] == "log_prob") & ~table["task"].str.endswith(":shuffled")]
        mean = table.groupby("step")["value"].mean()
        learnt[kind] = mean[60] - mean[0]
    assert learnt["run"] > 0.5 and learnt["null"] < learnt["run"] / 4

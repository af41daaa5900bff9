"""Weight files and probe files that are nearly right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.extraction.loading.models import SuiteModel, read_shape
from pythia_geometry.extraction.probes.probes import load_probes
from pythia_geometry.suites.checkpoint import Checkpoint, WeightFile
from tests.hub.checkpoints import pythia_config, write_checkpoint


def tiny(folder: Path) -> tuple[SuiteModel, dict[str, torch.Tensor]]:
    config = pythia_config("tiny")
    tensors = write_checkpoint(folder, config, seed=0, formats=("bin",))
    return SuiteModel(folder / "config.json"), dict(tensors)


def of(name: str = "pytorch_model.bin") -> Checkpoint:
    return Checkpoint("s", "m", 0, 1, None, "m", "step1", files=(WeightFile(name, 1, "aa"),))


@pytest.mark.parametrize("cut", [-1, -100, -1_000])
def test_a_pickle_cut_near_its_end_is_corrupt(tmp_path: Path, cut: int) -> None:
    model, _ = tiny(tmp_path)
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match="truncated or corrupt") as caught:
        model.swap(tmp_path, of())
    assert caught.value.status == "corrupt"


def test_a_pickle_with_numbers_for_names_is_corrupt(tmp_path: Path) -> None:
    model, _ = tiny(tmp_path)
    torch.save({0: torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="dictionary of tensors"):
        model.swap(tmp_path, of())


@pytest.mark.parametrize("change", [torch.Tensor.bool, torch.Tensor.to_sparse, torch.Tensor.cfloat])
def test_a_tensor_that_is_no_plain_weight_is_corrupt(tmp_path: Path, change: Any) -> None:
    model, tensors = tiny(tmp_path)
    name = "gpt_neox.embed_in.weight"
    torch.save({**tensors, name: change(tensors[name].float())}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="not plain floating-point weights|truncated or corrupt"):
        model.swap(tmp_path, of())


def test_a_file_with_the_head_under_both_names_is_corrupt(tmp_path: Path) -> None:
    model, tensors = tiny(tmp_path)
    head = tensors["embed_out.weight"]
    torch.save({**tensors, "lm_head.weight": head + 1}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="1 unknown tensors"):
        model.swap(tmp_path, of())


def test_a_weight_file_that_is_gone_is_corrupt(tmp_path: Path) -> None:
    model, _ = tiny(tmp_path)
    with pytest.raises(CheckpointError):
        model.swap(tmp_path, of("model.safetensors"))


@pytest.mark.parametrize("change", [{"hidden_size": "a"}, {"model_type": "t5"}, {"num_attention_heads": 3}])
def test_a_config_that_cannot_be_built_is_a_message(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**pythia_config("tiny"), **change}))
    with pytest.raises(PythiaGeometryError):
        read_shape(path)
        SuiteModel(path)


def test_two_files_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    for folder, prompt in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        rows = [{"prompt": f"{prompt} {i}", "target": " x"} for i in range(2)]
        (tmp_path / folder / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(PythiaGeometryError, match="Two different probes are called p/p"):
        load_probes([str(tmp_path / "a" / "p.jsonl"), str(tmp_path / "b" / "p.jsonl")])


def test_numbers_in_a_csv_stay_the_text_they_are(tmp_path: Path) -> None:
    (tmp_path / "sums.csv").write_text("prompt,target\n2 + 2 =, 4\n2 + 3 =, 5\n")
    (probe,) = load_probes([str(tmp_path / "sums.csv")])
    assert [item.target for item in probe.items] == [" 4", " 5"]


def test_moving_a_probe_file_changes_nothing(tmp_path: Path) -> None:
    hashes = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "p.jsonl"
        path.write_text('{"prompt": "a b", "target": " c"}\n{"prompt": "d e", "target": " f"}\n')
        hashes.append(load_probes([str(path)])[0].sha256)
    assert hashes[0] == hashes[1]


def test_a_dataset_by_name_is_read_by_the_real_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "org" / "sums"
    folder.mkdir(parents=True)
    rows = [{"prompt": f"{i} + 1 =", "target": f" {i + 1}", "distractors": [" 0"]} for i in range(3)]
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (probe,) = load_probes(["org/sums"])
    assert [item.target for item in probe.items] == [" 1", " 2", " 3"]
    assert probe.items[0].distractors == (" 0",)

"""Weights and configs that nobody should have to open: told what they are, and never more than one step's fault."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.extraction.loading.models import SuiteModel, read_shape
from pythia_geometry.json_files import LFS_POINTER
from tests.extraction.architectures import write
from tests.extraction.small_models import TINY
from tests.extraction.test_architectures import opened
from tests.hub.checkpoints import write_checkpoint

SAFE, PICKLE = "model.safetensors", "pytorch_model.bin"
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    write(folder, "llama", tie_word_embeddings=False)
    return folder


def refused(folder: Path) -> tuple[str, str]:
    """Status and words of a checkpoint that must not open."""
    with pytest.raises(CheckpointError) as caught:
        opened(folder)
    return caught.value.status, str(caught.value)


def quantised(tensors: Tensors) -> Tensors:
    name = "model.layers.0.mlp.up_proj.weight"
    rest = {k: v for k, v in tensors.items() if k != name}
    return {**rest, name.replace("weight", "qweight"): torch.ones(4, dtype=torch.int32), "a.scales": torch.ones(4)}


UNSUPPORTED = [
    (quantised, "quantised weights"),
    (lambda t: {**t, "model.layers.0.mlp.up_proj.weight_scale_inv": torch.ones(1)}, "quantised weights"),
    (lambda t: {**t, "model.layers.0.mlp.up_proj.weight.absmax": torch.ones(1)}, "quantised weights"),
    (lambda t: {f"base_model.model.{k}": v for k, v in t.items()}, "an adapter (PEFT)"),
    (lambda t: {"layers.0.self_attn.q_proj.lora_A.weight": torch.ones(1)}, "an adapter (PEFT)"),
    (lambda t: {f"_orig_mod.{k}": v for k, v in t.items()}, "the prefix '_orig_mod.'"),
    (lambda t: {f"module.{k}": v for k, v in t.items()}, "the prefix 'module.'"),
    (lambda t: {f"module._orig_mod.{k}": v for k, v in t.items()}, "the prefix 'module._orig_mod.'"),
    (lambda t: {f"net.inner.{k}": v for k, v in t.items()}, "the prefix 'net.inner.'"),
    (
        lambda t: {**t, "v_head.summary.weight": torch.ones(1)},
        "v_head.summary.weight: a head that no language model has",
    ),
    (lambda t: {**t, "score.weight": torch.ones(2, 32)}, "score.weight: a head that no language model has"),
    (lambda t: {"_fsdp_wrapped_module._flat_param": torch.ones(9)}, "a training framework's own shards"),
]


@pytest.mark.parametrize(("change", "words"), UNSUPPORTED)
@pytest.mark.parametrize("form", [SAFE, PICKLE])
def test_what_is_whole_and_of_another_kind_is_called_so(
    llama: Path, tmp_path: Path, form: str, change: Any, words: str
) -> None:
    shutil.copyfile(llama / "config.json", tmp_path / "config.json")
    tensors = change(load_file(llama / SAFE))
    save_file(tensors, tmp_path / SAFE) if form == SAFE else torch.save(tensors, tmp_path / PICKLE)
    status, said = refused(tmp_path)
    assert status == "unsupported" and words in said


@pytest.mark.parametrize("form", [SAFE, PICKLE])
def test_a_pointer_of_git_lfs_is_called_so(llama: Path, tmp_path: Path, form: str) -> None:
    shutil.copyfile(llama / "config.json", tmp_path / "config.json")
    (tmp_path / form).write_bytes(LFS_POINTER + b"v1\noid sha256:" + b"0" * 64 + b"\nsize 123\n")
    status, said = refused(tmp_path)
    assert status == "unsupported" and "a pointer of Git LFS and not the weights. Fetch them: git lfs pull" in said


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict"])
def test_a_trainers_checkpoint_is_called_so(llama: Path, tmp_path: Path, key: str) -> None:
    shutil.copyfile(llama / "config.json", tmp_path / "config.json")
    torch.save({key: load_file(llama / SAFE), "step": 5, "optimizer": {"lr": 1.0}}, tmp_path / PICKLE)
    status, said = refused(tmp_path)
    assert status == "unsupported" and f"with the weights under {key!r}" in said


@pytest.mark.parametrize(
    "given", [{"quant_method": "gptq", "bits": 4}, {"quant_method": "fp8"}, {"load_in_4bit": True}]
)
def test_a_config_that_says_quantised_is_refused(llama: Path, tmp_path: Path, given: dict[str, Any]) -> None:
    shutil.copytree(llama, tmp_path / "a")
    config = json.loads((llama / "config.json").read_text())
    (tmp_path / "a" / "config.json").write_text(json.dumps({**config, "quantization_config": given}))
    status, said = refused(tmp_path / "a")
    assert status == "unsupported" and f"is quantised ({given.get('quant_method', 'an unnamed method')})" in said
    model = opened(llama)
    with pytest.raises(CheckpointError, match="is quantised"):
        opened(tmp_path / "a", model)
    opened(llama, model)


# -- pickles that make torch stumble -------------------------------------------------------------------


def test_a_tensor_without_memory_is_corrupt(tmp_path: Path) -> None:
    tensors = dict(write_checkpoint(tmp_path, TINY, seed=0, formats=("bin",)))
    torch.save({n: torch.empty(t.shape, device="meta") for n, t in tensors.items()}, tmp_path / PICKLE)
    assert refused(tmp_path)[0] == "corrupt"


def test_a_nested_tensor_is_corrupt(tmp_path: Path) -> None:
    tensors = dict(write_checkpoint(tmp_path, TINY, seed=0, formats=("bin",)))
    name = next(iter(tensors))
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    torch.save({**tensors, name: nested}, tmp_path / PICKLE)
    assert refused(tmp_path)[0] == "corrupt"


@pytest.mark.parametrize("error", [AttributeError, RecursionError, TypeError, MemoryError, IndexError, AssertionError])
def test_whatever_torch_raises_is_the_steps_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def stumble(*_: object, **__: object) -> None:
        raise error("'int' object has no attribute '_cdata'")

    write_checkpoint(tmp_path, TINY, seed=0, formats=("bin",))
    monkeypatch.setattr(torch, "load", stumble)
    status, said = refused(tmp_path)
    assert status == "corrupt" and "truncated or corrupt" in said


def spoil(rng: Random, content: bytes) -> bytes:
    """Bytes changed, cut out or put in, mostly near the beginning, where headers and opcodes are."""
    spoiled = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(min(len(spoiled), rng.choice([64, 2_000, len(spoiled)])))
        match rng.randrange(3):
            case 0:
                spoiled[at] = rng.randrange(256)
            case 1:
                del spoiled[at : at + rng.randint(1, 40)]
            case _:
                spoiled[at:at] = rng.randbytes(rng.randint(1, 8))
    return bytes(spoiled)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["zip", "plain", "safetensors"])
def test_no_spoiled_weight_file_ends_in_another_exception(tmp_path: Path, form: str) -> None:
    tensors = dict(write_checkpoint(tmp_path, TINY, seed=0))
    name = SAFE if form == "safetensors" else PICKLE
    torch.save(tensors, tmp_path / PICKLE, _use_new_zipfile_serialization=form == "zip")
    (tmp_path / (PICKLE if name == SAFE else SAFE)).unlink()
    whole, rng = (tmp_path / name).read_bytes(), Random(0)
    model = opened(tmp_path)
    refusals = 0
    for _ in range(500):
        (tmp_path / name).write_bytes(spoil(rng, whole))
        try:
            opened(tmp_path, model)
        except CheckpointError:
            refusals += 1
    assert refusals > 100


# -- configs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_hidden_layers": 1_000_000_000}, "num_hidden_layers is 1000000000, more than any model has"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be a whole number above 0"),
        ({"num_hidden_layers": -1}, "num_hidden_layers must be a whole number above 0"),
        ({"hidden_size": 0}, "hidden_size must be a whole number above 0"),
        ({"hidden_size": 2**60}, "hidden_size is"),
        ({"hidden_size": 2**40}, "hidden_size must be a whole number above 0 (and at most"),
        ({"vocab_size": 0}, "vocab_size must be a whole number above 0"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"hidden_act": "gelu_of_mine"}, "hidden_act is 'gelu_of_mine', which transformers does not know"),
        ({"num_attention_heads": 0}, "integer modulo by zero"),
        ({"layer_types": ["full_attention"] * 20_000}, "layer_types has 20000 entries"),
        ({"model_type": None}, "it has no model_type"),
        ({"model_type": "hf_olmo"}, "transformers has no model_type 'hf_olmo'"),
        ({"model_type": ["llama"]}, "transformers has no model_type ['llama']"),
        ({"model_type": "t5"}, "is not a decoder-only language model"),
        ({"model_type": "pico", "auto_map": {"AutoConfig": "pico.Config"}}, "pico needs code that came with"),
    ],
)
def test_a_config_that_no_model_has_is_refused_before_it_is_built(
    llama: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    config = json.loads((llama / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    start = time.monotonic()
    with pytest.raises(PythiaGeometryError) as caught:
        read_shape(tmp_path / "config.json")
        SuiteModel(tmp_path / "config.json")
    assert words in str(caught.value)
    assert "Please pass the argument" not in str(caught.value)
    assert time.monotonic() - start < 20


def test_a_mask_of_terabytes_is_not_built(tmp_path: Path) -> None:
    write(tmp_path, "gpt_neo")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4_000_000}))
    with pytest.raises(PythiaGeometryError, match="GB for masks and tables alone"):
        SuiteModel(tmp_path / "config.json")


def test_a_config_of_a_known_kind_runs_no_code_that_came_with_it(llama: Path, tmp_path: Path) -> None:
    config = json.loads((llama / "config.json").read_text())
    shutil.copytree(llama, tmp_path / "a")
    (tmp_path / "a" / "evil.py").write_text("raise SystemExit('executed')")
    auto_map = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (tmp_path / "a" / "config.json").write_text(json.dumps({**config, "auto_map": auto_map}))
    opened(tmp_path / "a")


@pytest.mark.slow
def test_no_spoiled_config_ends_in_another_exception(llama: Path, tmp_path: Path) -> None:
    config = json.loads((llama / "config.json").read_text())
    rng = Random(0)
    strange: list[Any] = [
        *(None, True, -1, 0, 1, 3, 7, 2**31, 2**63, 10**30, 1e308, -1e-9, "", "gelu", "x" * 10_000),
        *([], [1], [[]], {}, {"a": 1}, {"rope_type": "linear"}, {"rope_type": "yarn", "factor": 0}, "\u0000"),
    ]
    names = [*config, "layer_types", "rope_scaling", "quantization_config", "auto_map", "text_config", "num_experts"]
    built = 0
    for _ in range(600):
        spoiled = dict(config)
        for name in rng.sample(names, rng.randint(1, 2)):
            spoiled[name] = rng.choice(strange)
        (tmp_path / "config.json").write_text(json.dumps(spoiled))
        try:
            if read_shape(tmp_path / "config.json").width <= 64:
                SuiteModel(tmp_path / "config.json")
            built += 1
        except PythiaGeometryError:
            pass
    assert 30 < built < 570

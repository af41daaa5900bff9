"""Steps of one run that are not alike: another config, a head of their own, buffers of another year."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pythia_geometry.errors import CheckpointError
from pythia_geometry.extraction.loading.models import SuiteModel
from tests.extraction.architectures import WORDS, loaded, write
from tests.extraction.test_architectures import assert_read_alike, opened

FILE = "model.safetensors"
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1e4,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("llama", {"rope_theta": 1e4}, {"rope_theta": 5e6}),
        ("llama", {}, {"max_position_embeddings": 64}),
        ("llama", {}, {"rope_parameters": LLAMA3}),
        ("llama", {"rms_norm_eps": 1e-6}, {"rms_norm_eps": 1e-1}),
        ("llama", {"hidden_act": "silu"}, {"hidden_act": "relu"}),
        ("llama", {"tie_word_embeddings": True}, {"tie_word_embeddings": False}),
        ("gpt_neox", {"layer_norm_eps": 1e-5}, {"layer_norm_eps": 1e-1}),
        ("gpt_neox", {"use_parallel_residual": True}, {"use_parallel_residual": False}),
        ("gpt_neox", {"rotary_pct": 0.25}, {"rotary_pct": 1.0}),
        ("olmo3", {"sliding_window": 4}, {"sliding_window": 2}),
        ("granite", {"logits_scaling": 8.0}, {"logits_scaling": 1.0}),
        ("gpt_neo", {}, {"attention_types": [[["local", "local", "global"], 1]]}),
    ],
)
def test_every_step_is_read_by_its_own_config(
    tmp_path: Path, kind: str, old: dict[str, Any], new: dict[str, Any]
) -> None:
    for name, more in (("old", old), ("new", new)):
        write(tmp_path / name, kind, seed=len(name) + len(more), **more)
    model = opened(tmp_path / "new")
    for name in ("old", "new", "old"):
        module = model.module
        assert_read_alike(opened(tmp_path / name, model), loaded(tmp_path / name))
        assert model.module is not module


def test_a_config_that_says_the_same_rebuilds_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a", "llama")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    (tmp_path / "b" / "config.json").write_text(
        json.dumps({**config, "transformers_version": "4.1", "dtype": "float16"})
    )
    model = opened(tmp_path / "a")
    module = model.module
    opened(tmp_path / "b", model)
    assert model.module is module


def test_another_config_takes_no_second_memory(tmp_path: Path) -> None:
    write(tmp_path / "a", "llama", rope_theta=1e4)
    write(tmp_path / "b", "llama", rope_theta=1e6)
    model = opened(tmp_path / "a")
    before = {name: p.data_ptr() for name, p in model.module.named_parameters()}
    opened(tmp_path / "b", model)
    assert {name: p.data_ptr() for name, p in model.module.named_parameters()} == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"hidden_size": 64}, "has shape"),
        ({"num_hidden_layers": 2}, "has shape None"),
        ({"vocab_size": WORDS + 4}, "has shape (264, 32), not (260, 32)"),
        ({"num_key_value_heads": 1}, "has shape"),
    ],
)
def test_a_step_of_another_shape_is_refused_with_words(tmp_path: Path, more: dict[str, Any], words: str) -> None:
    write(tmp_path / "a", "llama")
    write(tmp_path / "b", "llama", **more)
    model = opened(tmp_path / "a")
    with pytest.raises(CheckpointError) as caught:
        opened(tmp_path / "b", model)
    assert caught.value.status == "unsupported"
    assert "its config.json is of another model than the rest of the run" in str(caught.value)
    assert words in str(caught.value) and "--steps 1" in str(caught.value)
    assert_read_alike(opened(tmp_path / "a", model), loaded(tmp_path / "a"))


def test_a_step_without_a_sound_config_is_that_steps_fault(tmp_path: Path) -> None:
    write(tmp_path / "a", "llama")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "config.json").write_text('{"model_type": "pico", "auto_map": {"AutoConfig": "x.Y"}}')
    model = opened(tmp_path / "a")
    with pytest.raises(CheckpointError, match="pico needs code that came with the checkpoint") as caught:
        opened(tmp_path / "b", model)
    assert caught.value.status == "unsupported"


# -- tied in the config, and not in the file -----------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "gpt2", "opt", "gpt_neox"])
def test_a_head_of_its_own_is_kept_although_the_config_says_tied(tmp_path: Path, kind: str) -> None:
    for name in ("tied", "own", "twice"):
        write(tmp_path / name, kind, tie_word_embeddings=True)
    tensors = load_file(tmp_path / "own" / FILE)
    (embedding,) = (t for n, t in tensors.items() if t.shape == (WORDS, 32))
    head = "embed_out.weight" if kind == "gpt_neox" else "lm_head.weight"
    torch.manual_seed(9)
    save_file({**tensors, head: torch.randn(WORDS, 32)}, tmp_path / "own" / FILE, metadata={"format": "pt"})
    save_file({**tensors, head: embedding.clone()}, tmp_path / "twice" / FILE, metadata={"format": "pt"})
    model = opened(tmp_path / "tied")
    for name in ("own", "tied", "twice", "own"):
        other = loaded(tmp_path / name)
        opened(tmp_path / name, model)
        assert_read_alike(model, other)
        tied = model.module.get_output_embeddings().weight is model.module.get_input_embeddings().weight
        assert tied == (name != "own")


def test_the_head_alone_serves_for_a_tied_embedding(tmp_path: Path) -> None:
    write(tmp_path / "a", "llama", tie_word_embeddings=True)
    tensors = load_file(tmp_path / "a" / FILE)
    tensors["lm_head.weight"] = tensors.pop("model.embed_tokens.weight")
    save_file(tensors, tmp_path / "a" / FILE, metadata={"format": "pt"})
    assert_read_alike(opened(tmp_path / "a"), loaded(tmp_path / "a"))


def test_a_head_of_another_shape_is_corrupt(tmp_path: Path) -> None:
    write(tmp_path / "a", "llama", tie_word_embeddings=True)
    tensors = load_file(tmp_path / "a" / FILE)
    save_file({**tensors, "lm_head.weight": torch.ones(5, 32)}, tmp_path / "a" / FILE)
    with pytest.raises(CheckpointError, match=r"lm_head.weight has shape \(5, 32\)"):
        opened(tmp_path / "a")


# -- buffers of older libraries ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("llama", ["model.layers.{}.self_attn.rotary_emb.inv_freq"]),
        ("llama", ["layers.{}.self_attn.rotary_emb.cos_cached", "layers.{}.self_attn.rotary_emb.sin_cached"]),
        ("olmo", ["model.layers.{}.self_attn.rotary_emb.inv_freq"]),
        ("mistral", ["model.rotary_emb.inv_freq"]),
        ("gpt_neox", ["gpt_neox.layers.{}.attention.bias", "gpt_neox.layers.{}.attention.masked_bias"]),
        ("gpt_neox", ["gpt_neox.layers.{}.attention.rotary_emb.inv_freq"]),
        ("gpt2", ["transformer.h.{}.attn.bias", "transformer.h.{}.attn.masked_bias"]),
        ("gptj", ["transformer.h.{}.attn.bias", "transformer.h.{}.attn.masked_bias"]),
        ("gpt_neo", ["transformer.h.{}.attn.attention.bias", "transformer.h.{}.attn.attention.masked_bias"]),
        ("codegen", ["transformer.h.{}.attn.causal_mask"]),
        ("falcon", ["transformer.h.{}.self_attention.rotary_emb.inv_freq"]),
        ("phi", ["model.layers.{}.self_attn.rotary_emb.inv_freq"]),
    ],
)
def test_buffers_that_modules_compute_today_are_ignored(tmp_path: Path, kind: str, names: list[str]) -> None:
    write(tmp_path, kind)
    tensors = load_file(tmp_path / FILE)
    buffers = {name.format(layer): torch.ones(4) for name in names for layer in range(3)}
    save_file({**tensors, **buffers}, tmp_path / FILE, metadata={"format": "pt"})
    assert_read_alike(opened(tmp_path), loaded(tmp_path))


@pytest.mark.parametrize(
    "name", ["model.layers.0.self_attn.rotary_emb.scale", "model.layers.0.mlp.bias", "attn.biases"]
)
def test_what_is_no_such_buffer_is_not(tmp_path: Path, name: str) -> None:
    write(tmp_path, "llama")
    save_file({**load_file(tmp_path / FILE), name: torch.ones(4)}, tmp_path / FILE)
    with pytest.raises(CheckpointError, match=f"holds {name}, which the model does not have"):
        opened(tmp_path)


def test_packed_experts_that_do_not_fit_are_corrupt(tmp_path: Path) -> None:
    write(tmp_path, "olmoe")
    tensors = load_file(tmp_path / FILE)
    del tensors["model.layers.1.mlp.experts.2.up_proj.weight"]
    save_file(tensors, tmp_path / FILE, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="do not fit the config") as caught:
        opened(tmp_path)
    assert caught.value.status == "corrupt"


def test_parts_of_packed_experts_are_refused_with_words(tmp_path: Path) -> None:
    write(tmp_path, "olmoe")
    model = SuiteModel(tmp_path / "config.json", head=False)
    with pytest.raises(CheckpointError, match="--fetch ranges"):
        model.swap(load_file(tmp_path / FILE), opened_checkpoint())


def opened_checkpoint() -> Any:
    from pythia_geometry.suites.checkpoint import Checkpoint

    return Checkpoint("s", "m", 0, 1, None, "m", "step1")

"""Weights swapped in place give what `from_pretrained` gives, and nothing else gets in."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.extraction.capture import capture
from pythia_geometry.extraction.loading.models import SuiteModel, read_shape
from tests.extraction.small_models import TINY, checkpoint, encoded, random_ids, twin, twin_layers
from tests.hub.checkpoints import Config, pythia_config, write_checkpoint

WEIGHTS, PICKLE = "model.safetensors", "pytorch_model.bin"


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shape three times: safetensors, a pickle, and two shards; and step 3, pickled shards."""
    folder = tmp_path_factory.mktemp("steps")
    for step, (form, shards) in enumerate([("safetensors", 1), ("bin", 1), ("safetensors", 2), ("bin", 3)]):
        write_checkpoint(folder / f"step{step}", TINY, seed=step, formats=(form,), shards=shards)
    return folder


@pytest.fixture
def model(steps: Path) -> SuiteModel:
    return SuiteModel(steps / "step0" / "config.json")


def assert_equals_twin(model: SuiteModel, folder: Path, config: Config) -> None:
    """Every layer at every position, pooled as the walk pools it, and the logits: bit by bit."""
    other = twin(folder)
    ids = random_ids(config, rows=3, length=11)
    layers, logits = twin_layers(other, ids)
    with torch.inference_mode():
        assert torch.equal(model.module(ids, use_cache=False).logits, logits)
    for length in (1, 6, 11):
        probe = encoded(*((tuple(row[:length].tolist()), (0,), ()) for row in ids))
        layers, _ = twin_layers(other, ids[:, :length])
        assert torch.equal(torch.from_numpy(capture(model, probe).activations), layers[:, :, -1])


def test_swapping_there_and_back_equals_from_pretrained_bit_by_bit(steps: Path, model: SuiteModel) -> None:
    for step in (0, 1, 2, 3, 1, 0):
        model.swap(*checkpoint(steps, step))
        assert_equals_twin(model, steps / f"step{step}", TINY)


def test_14m_equals_from_pretrained_bit_by_bit(tmp_path: Path) -> None:
    config = pythia_config("14m", max_position_embeddings=64)
    write_checkpoint(tmp_path / "step5", config, seed=1)
    model = SuiteModel(tmp_path / "step5" / "config.json")
    model.swap(*checkpoint(tmp_path, 5))
    assert_equals_twin(model, tmp_path / "step5", config)
    assert (model.shape.n_layers, model.shape.width, model.shape.vocab_size) == (6, 128, 50304)


def test_buffers_are_those_of_from_pretrained_before_and_after_a_swap(steps: Path, model: SuiteModel) -> None:
    expected = dict(twin(steps / "step0").named_buffers())
    assert any("inv_freq" in name for name in expected)
    for _ in range(2):
        buffers = dict(model.module.named_buffers())
        assert buffers.keys() == expected.keys()
        assert all(torch.equal(buffers[name], expected[name]) for name in expected)
        assert all(buffer.dtype == torch.float32 for buffer in buffers.values())
        model.swap(*checkpoint(steps, 0))


def test_float16_files_are_computed_in_float32(steps: Path, model: SuiteModel) -> None:
    assert json.loads((steps / "step0" / "config.json").read_text())["torch_dtype"] == "float16"
    stored = load_file(steps / "step0" / WEIGHTS)["embed_out.weight"]
    model.swap(*checkpoint(steps, 0))
    head: Tensor = model.module.get_output_embeddings().weight
    assert stored.dtype == torch.float16
    assert {p.dtype for p in model.module.parameters()} == {torch.float32}
    assert torch.equal(head, stored.float())
    assert not any(p.requires_grad for p in model.module.parameters())
    assert not any(p.is_meta for p in (*model.module.parameters(), *model.module.buffers()))
    assert not model.module.training


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_precisions_are_rounded_versions_of_the_same_weights(steps: Path, dtype: str) -> None:
    model = SuiteModel(steps / "step0" / "config.json", dtype)
    model.swap(*checkpoint(steps, 0))
    assert {p.dtype for p in model.module.parameters()} == {getattr(torch, dtype)}
    probe = encoded(((1, 2, 3), (4,), ()))
    exact = SuiteModel(steps / "step0" / "config.json")
    exact.swap(*checkpoint(steps, 0))
    rough, fine = capture(model, probe).activations, capture(exact, probe).activations
    assert rough.dtype == fine.dtype
    assert 0 < abs(rough - fine).max() < 0.1 * abs(fine).max()


def test_a_swap_replaces_every_parameter_in_place(steps: Path, model: SuiteModel) -> None:
    for parameter in model.module.parameters():
        parameter.fill_(torch.nan)
    before = {name: p.data_ptr() for name, p in model.module.named_parameters()}
    model.swap(*checkpoint(steps, 1))
    assert all(torch.isfinite(p).all() for p in model.module.parameters())
    assert {name: p.data_ptr() for name, p in model.module.named_parameters()} == before


def test_legacy_masks_and_frequencies_are_ignored(steps: Path, model: SuiteModel, tmp_path: Path) -> None:
    tensors = load_file(steps / "step0" / WEIGHTS)
    legacy = [name for name in tensors if name.endswith(("attention.bias", "masked_bias", "inv_freq"))]
    assert len(legacy) == 3 * TINY["num_hidden_layers"]
    spoiled = {name: torch.full_like(t, 7) if name in legacy else t for name, t in tensors.items()}
    bare = {name: t for name, t in tensors.items() if name not in legacy}
    results = []
    for step, content in enumerate((tensors, spoiled, bare)):
        (tmp_path / f"step{step}").mkdir()
        save_file(content, tmp_path / f"step{step}" / WEIGHTS)
        model.swap(*checkpoint(tmp_path, step))
        results.append(capture(model, encoded(((1, 2, 3), (4,), ()))).activations)
    assert (results[0] == results[1]).all()
    assert (results[0] == results[2]).all()


def test_no_thread_is_left_after_a_pickle(steps: Path, model: SuiteModel) -> None:
    before = set(threading.enumerate())
    for step in (1, 3):
        model.swap(*checkpoint(steps, step))
    assert set(threading.enumerate()) <= before


# -- files that are not exactly this model's weights ---------------------------------------------------


def without(name: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def with_tensor(name: str, *shape: int) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: {**tensors, name: torch.zeros(*shape)}


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("embed_out.weight"), "lacks lm_head.weight (1 missing, 0 unknown tensors)"),
        (without("gpt_neox.layers.1.mlp.dense_4h_to_h.bias"), "lacks gpt_neox.layers.1.mlp.dense_4h_to_h.bias"),
        (with_tensor("gpt_neox.layers.2.mlp.dense_4h_to_h.bias", 16), "holds gpt_neox.layers.2.mlp.dense_4h_to_h"),
        (with_tensor("attention.bias.scale", 1), "holds attention.bias.scale, which the model does not have"),
        (with_tensor("embed_out.bias", 64), "(0 missing, 1 unknown tensors)"),
        (with_tensor("embed_out.weight", 63, 16), "embed_out.weight has shape (63, 16), the config says (64, 16)"),
        (with_tensor("embed_out.weight", 16, 64), "embed_out.weight has shape (16, 64), the config says (64, 16)"),
        (with_tensor("gpt_neox.final_layer_norm.bias", 1), "has shape (1,), the config says (16,)"),
        (lambda tensors: {}, "missing, 0 unknown tensors)"),
    ],
)
def test_tensors_that_are_not_exactly_the_models_are_corrupt(
    steps: Path,
    model: SuiteModel,
    tmp_path: Path,
    form: str,
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    message: str,
) -> None:
    tensors = change(load_file(steps / "step0" / WEIGHTS))
    (tmp_path / "run" / "step7").mkdir(parents=True)
    if form == "safetensors":
        save_file(tensors, tmp_path / "run" / "step7" / WEIGHTS)
    else:
        torch.save(tensors, tmp_path / "run" / "step7" / PICKLE)
    with pytest.raises(CheckpointError) as caught:
        model.swap(*checkpoint(tmp_path / "run", 7))
    assert caught.value.status == "corrupt"
    assert message in str(caught.value)
    assert str(caught.value).startswith("run@step7: ")


def test_weights_of_another_size_are_corrupt(model: SuiteModel, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "step7", {**TINY, "hidden_size": 32, "intermediate_size": 128}, seed=0)
    write_checkpoint(tmp_path / "step8", {**TINY, "num_hidden_layers": 3}, seed=0)
    for step in (7, 8):
        with pytest.raises(CheckpointError) as caught:
            model.swap(*checkpoint(tmp_path, step))
        assert caught.value.status == "corrupt"


def test_a_good_checkpoint_after_a_bad_one_is_whole(steps: Path, model: SuiteModel, tmp_path: Path) -> None:
    tensors = load_file(steps / "step0" / WEIGHTS)
    tensors["gpt_neox.final_layer_norm.bias"] = torch.zeros(3)
    (tmp_path / "step7").mkdir()
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, tmp_path / "step7" / WEIGHTS)
    with pytest.raises(CheckpointError):
        model.swap(*checkpoint(tmp_path, 7))
    model.swap(*checkpoint(steps, 0))
    assert_equals_twin(model, steps / "step0", TINY)


def spoiled_folder(steps: Path, tmp_path: Path, name: str, content: bytes) -> Path:
    folder = tmp_path / "step7"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copyfile(steps / "step0" / "config.json", folder / "config.json")
    (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("left", [0, 4, 8, 100, 2000, -5000, -100, -1])
def test_truncated_safetensors_are_corrupt(steps: Path, model: SuiteModel, tmp_path: Path, left: int) -> None:
    whole = (steps / "step0" / WEIGHTS).read_bytes()
    spoiled_folder(steps, tmp_path, WEIGHTS, whole[:left])
    with pytest.raises(CheckpointError, match="truncated or corrupt") as caught:
        model.swap(*checkpoint(tmp_path, 7))
    assert caught.value.status == "corrupt"


@pytest.mark.parametrize("left", [0, 4, 100, 2000])
def test_truncated_pickle_is_corrupt(steps: Path, model: SuiteModel, tmp_path: Path, left: int) -> None:
    whole = (steps / "step1" / PICKLE).read_bytes()
    spoiled_folder(steps, tmp_path, PICKLE, whole[:left])
    with pytest.raises(CheckpointError) as caught:
        model.swap(*checkpoint(tmp_path, 7))
    assert caught.value.status == "corrupt"


@pytest.mark.parametrize("name", [WEIGHTS, PICKLE])
@pytest.mark.parametrize("content", [b"<html>Not found</html>" * 20, b"\0" * 10_000, b"version https://git-lfs"])
def test_file_that_is_something_else_is_corrupt(
    steps: Path, model: SuiteModel, tmp_path: Path, name: str, content: bytes
) -> None:
    spoiled_folder(steps, tmp_path, name, content)
    with pytest.raises(CheckpointError) as caught:
        model.swap(*checkpoint(tmp_path, 7))
    assert caught.value.status == "corrupt"


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"a": torch.zeros(2), "step": 5}, "text", torch.zeros(2)])
def test_pickle_of_something_else_than_named_tensors_is_corrupt(
    steps: Path, model: SuiteModel, tmp_path: Path, content: Any
) -> None:
    torch.save(content, spoiled_folder(steps, tmp_path, PICKLE, b"") / PICKLE)
    with pytest.raises(CheckpointError, match="does not hold a dictionary of tensors") as caught:
        model.swap(*checkpoint(tmp_path, 7))
    assert caught.value.status == "corrupt"


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.sentinel}",)


@pytest.mark.parametrize("is_zip", [True, False])
def test_pickle_that_would_run_code_is_refused_and_does_not_run(
    steps: Path, model: SuiteModel, tmp_path: Path, is_zip: bool
) -> None:
    sentinel = tmp_path / "it_ran"
    path = spoiled_folder(steps, tmp_path, PICKLE, b"") / PICKLE
    content = {**load_file(steps / "step0" / WEIGHTS), "extra": Payload(sentinel)}
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(CheckpointError, match="may run code when opened, so it was not opened") as caught:
        model.swap(*checkpoint(tmp_path, 7))
    assert caught.value.status == "corrupt"
    assert not sentinel.exists()
    torch.load(path, weights_only=False)
    assert sentinel.exists(), "the payload was harmless: this test proved nothing"


def test_plain_pickle_that_would_run_code_does_not_run(steps: Path, model: SuiteModel, tmp_path: Path) -> None:
    sentinel = tmp_path / "it_ran"
    content = pickle.dumps({"a": Payload(sentinel)}, protocol=2)
    spoiled_folder(steps, tmp_path, PICKLE, content)
    with pytest.raises(CheckpointError) as caught:
        model.swap(*checkpoint(tmp_path, 7))
    assert caught.value.status == "corrupt"
    assert not sentinel.exists()
    pickle.loads(content)
    assert sentinel.exists()


# -- configs -------------------------------------------------------------------------------------------


def test_shape_is_read_without_building(steps: Path) -> None:
    shape = read_shape(steps / "step0" / "config.json")
    assert (shape.n_layers, shape.width, shape.vocab_size, shape.context) == (2, 16, 64, 128)
    assert shape.layers == ["embed", "resid_1", "resid_2", "final_norm"]


def test_blocks_are_found_and_parameters_counted(steps: Path, model: SuiteModel) -> None:
    other: Any = twin(steps / "step0")
    assert len(model.blocks) == 2
    assert type(model.blocks[0]) is type(other.gpt_neox.layers[0])
    assert model.n_parameters == sum(p.numel() for p in other.parameters())


@pytest.mark.parametrize(
    "text", ["", "{", "{}", "[]", '{"model_type": "no_such_model"}', '{"auto_map": {"AutoConfig": "evil.Config"}}']
)
def test_config_that_transformers_does_not_know_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    for read in (read_shape, SuiteModel):
        with pytest.raises(PythiaGeometryError, match=r"config\.json is not a model config that transformers knows"):
            read(tmp_path / "config.json")


# -- GPT-2: tied weights, learned positions ------------------------------------------------------------


@pytest.fixture(scope="module")
def gpt2_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Step 0 and 1 as `save_pretrained` writes them; step 2 under the names of the first GPT-2 files."""
    folder = tmp_path_factory.mktemp("gpt2")
    config = GPT2Config(
        n_layer=3,
        n_embd=16,
        n_head=2,
        vocab_size=64,
        n_positions=32,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    for step in (0, 1):
        torch.manual_seed(step)
        GPT2LMHeadModel(config).save_pretrained(folder / f"step{step}")
    old = {name.removeprefix("transformer."): t for name, t in load_file(folder / "step1" / WEIGHTS).items()}
    masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 32, 32).tril() for layer in range(3)}
    masks |= {f"h.{layer}.attn.masked_bias": torch.tensor(-1e4) for layer in range(3)}
    (folder / "step2").mkdir()
    shutil.copyfile(folder / "step1" / "config.json", folder / "step2" / "config.json")
    save_file({**old, **masks}, folder / "step2" / WEIGHTS, metadata={"format": "pt"})
    return folder


def test_gpt2_with_tied_weights_equals_from_pretrained(gpt2_steps: Path) -> None:
    model = SuiteModel(gpt2_steps / "step0" / "config.json")
    assert model.module.get_output_embeddings().weight is model.module.get_input_embeddings().weight
    for step in (0, 1, 0):
        model.swap(*checkpoint(gpt2_steps, step))
        assert_equals_twin(model, gpt2_steps / f"step{step}", {"vocab_size": 64})
    assert model.n_parameters == sum(p.numel() for p in twin(gpt2_steps / "step0").parameters())


def test_gpt2_under_its_first_names_and_with_its_masks(gpt2_steps: Path) -> None:
    model = SuiteModel(gpt2_steps / "step0" / "config.json")
    for step in (0, 2):
        model.swap(*checkpoint(gpt2_steps, step))
    assert_equals_twin(model, gpt2_steps / "step1", {"vocab_size": 64})


def test_gpt2_that_stores_its_tied_head_too_is_taken(gpt2_steps: Path, tmp_path: Path) -> None:
    tensors = load_file(gpt2_steps / "step1" / WEIGHTS)
    (tmp_path / "step1").mkdir()
    torch.save({**tensors, "lm_head.weight": tensors["transformer.wte.weight"]}, tmp_path / "step1" / PICKLE)
    model = SuiteModel(gpt2_steps / "step0" / "config.json")
    model.swap(*checkpoint(tmp_path, 1))
    assert_equals_twin(model, gpt2_steps / "step1", {"vocab_size": 64})

"""The base model of any architecture, from its spans in memory: what the whole model has in its place, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, LlamaConfig, Olmo2Config, PretrainedConfig

from pythia_geometry.errors import CheckpointError
from pythia_geometry.extraction.capture import capture
from pythia_geometry.extraction.loading.base_spans import BaseSpan, base_spans, places_in_memory, tensors_in
from pythia_geometry.extraction.loading.models import SuiteModel, read_names
from pythia_geometry.suites.checkpoint import Checkpoint, WeightFile
from pythia_geometry.suites.safetensors_header import Place, places
from tests.extraction.small_models import TINY, encoded
from tests.hub.checkpoints import write_checkpoint

PROBE = encoded(((1, 2, 3), (4,), ()), ((5, 6), (7,), ()), ((8, 9, 1, 2), (3, 4), ((5, 6),)))
SIZES: dict[str, Any] = {"vocab_size": 64, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
LLAMA: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, **SIZES,
}  # fmt: skip
CONFIGS: dict[str, PretrainedConfig] = {
    "GPT-2, tied": GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=32, **SIZES),
    "Llama": LlamaConfig(tie_word_embeddings=False, **LLAMA),
    "Llama, tied": LlamaConfig(tie_word_embeddings=True, **LLAMA),
    "OLMo 2": Olmo2Config(tie_word_embeddings=False, **LLAMA),
}


def checkpoint_of(folder: Path) -> Checkpoint:
    files = tuple(WeightFile(p.name, p.stat().st_size, "aa") for p in sorted(folder.glob("*.safetensors")))
    return Checkpoint("s", "m", 0, 1, None, "m", "step1", files=files)


def spans_of(folder: Path) -> list[BaseSpan]:
    headers = {}
    for file in checkpoint_of(folder).files:
        content = (folder / file.name).read_bytes()
        headers[file] = places(file.name, len(content), lambda start, stop, held=content: held[start:stop])
    return base_spans(checkpoint_of(folder), headers, read_names(folder / "config.json"))


def in_memory(folder: Path) -> dict[str, torch.Tensor]:
    """What a walk does with ranges of the files."""
    spans = spans_of(folder)
    starts, size = places_in_memory(spans)
    buffer = bytearray(size)
    for at, span in zip(starts, spans, strict=True):
        content = (folder / span.file.name).read_bytes()
        buffer[at : at + span.size] = content[span.start : span.start + span.size]
    return tensors_in(buffer, spans)


def write(folder: Path, config: PretrainedConfig, rename: Callable[[str], str] = str) -> None:
    config.save_pretrained(folder)
    model = SuiteModel(folder / "config.json")
    generator = torch.Generator().manual_seed(0)
    tensors = {n: torch.randn(p.shape, generator=generator) for n, p in model.module.named_parameters()}
    save_file({rename(n): t for n, t in tensors.items()}, folder / "model.safetensors")


def assert_same_activations(folder: Path) -> None:
    whole, base = SuiteModel(folder / "config.json"), SuiteModel(folder / "config.json", head=False)
    whole.swap(folder, checkpoint_of(folder))
    base.swap(in_memory(folder), checkpoint_of(folder))
    expected, found = capture(whole, PROBE), capture(base, PROBE)
    assert (found.activations == expected.activations).all()
    assert torch.isnan(torch.from_numpy(found.answers.log_prob)).all()
    for parameter in base.module.parameters():
        parameter.fill_(torch.nan)
    base.swap(folder, checkpoint_of(folder))  # the same from whole files
    assert (capture(base, PROBE).activations == expected.activations).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_other_architectures_with_and_without_the_prefix(tmp_path: Path, name: str) -> None:
    prefix = SuiteModel(_config(tmp_path, CONFIGS[name])).names.prefix
    for number, rename in enumerate((str, lambda n: n.removeprefix(prefix))):
        folder = tmp_path / str(number)
        write(folder, CONFIGS[name], rename)
        assert_same_activations(folder)


def _config(folder: Path, config: PretrainedConfig) -> Path:
    config.save_pretrained(folder)
    return folder / "config.json"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shards", [1, 3])
def test_neox_in_any_dtype_and_shards(tmp_path: Path, dtype: torch.dtype, shards: int) -> None:
    write_checkpoint(tmp_path, TINY, seed=0, dtype=dtype, shards=shards, legacy_buffers=dtype != torch.float32)
    assert_same_activations(tmp_path)


def test_span_leaves_out_head_and_masks_and_memory_has_no_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_checkpoint(tmp_path, TINY, seed=0)
    (span,) = spans_of(tmp_path)
    small = sum(t.nbytes for n, t in written.items() if n.endswith(("masked_bias", "inv_freq")))
    base = {n: t for n, t in written.items() if n.startswith("gpt_neox.") and not n.endswith("attention.bias")}
    assert span.size <= sum(t.nbytes for t in base.values())
    assert span.size >= sum(t.nbytes for t in base.values()) - small
    assert not any(name.startswith("embed_out") for name in span.tensors)
    config = tmp_path / "config.json"
    head = TINY["vocab_size"] * TINY["hidden_size"]
    real, taken = torch.empty, list[Any]()

    def empty(*size: Any, **given: Any) -> torch.Tensor:
        taken.extend(size)
        return real(*size, **given)

    monkeypatch.setattr(torch, "empty", empty)
    without = SuiteModel(config, head=False)
    kept = [size for size in taken if isinstance(size, torch.Size)]  # what torch's own layers ask for goes at once
    assert sum(size.numel() for size in kept) == without.n_parameters
    monkeypatch.undo()
    whole = SuiteModel(config)
    assert without.n_parameters == whole.n_parameters - head
    assert not any(p.is_meta for p in (*without.module.parameters(), *without.module.buffers()))
    assert (without.has_head, whole.has_head) == (False, True)


def test_base_that_lies_in_two_places_is_covered_by_one_span(tmp_path: Path) -> None:
    """A head in double precision lies first; half of the blocks in it too, so halves lie on both sides of it."""
    written = write_checkpoint(tmp_path, TINY, seed=0)
    first = {n: t.double() if "layers.0" in n and t.is_floating_point() else t for n, t in written.items()}
    save_file({**first, "embed_out.weight": written["embed_out.weight"].float()}, tmp_path / "model.safetensors")
    (span,) = spans_of(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    held = sum(p.stop - p.start for p in span.tensors.values())
    assert held + written["embed_out.weight"].nbytes * 2 <= span.size < size
    assert_same_activations(tmp_path)


def test_tensor_that_the_writer_did_not_align_is_read_all_the_same() -> None:
    half, single = torch.tensor([0.5], dtype=torch.float16), torch.arange(6, dtype=torch.float32).view(2, 3)
    span = BaseSpan(
        WeightFile("m", 126, ""),
        {"h": Place("F16", (1,), 100, 102), "s": Place("F32", (2, 3), 102, 126), "e": Place("F32", (0, 3), 126, 126)},
    )
    found = tensors_in(bytearray(half.numpy().tobytes() + single.numpy().tobytes()), [span])
    assert torch.equal(found["h"], half)
    assert torch.equal(found["s"], single)
    assert found["e"].shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("gpt_neox.embed_in.weight"), "lacks gpt_neox.embed_in.weight"),
        (lambda t: t.pop("embed_out.weight"), "lacks lm_head.weight"),
        (lambda t: t.update(other=torch.ones(2)), "holds other, which the model does not have"),
        (lambda t: t.update({"embed_out.weight": torch.ones(2, 2)}), "embed_out.weight has shape"),
        (lambda t: t.update({"embed_out.weight": torch.ones(64, 16, dtype=torch.int32)}), "embed_out.weight is I32"),
    ],
)
def test_file_that_is_not_what_the_config_says(tmp_path: Path, change: Callable[..., object], message: str) -> None:
    tensors = write_checkpoint(tmp_path, TINY, seed=0)
    change(tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=message) as caught:
        spans_of(tmp_path)
    assert caught.value.status == "corrupt"


def test_base_model_refuses_tensors_too_few_or_too_many(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, TINY, seed=0)
    model = SuiteModel(tmp_path / "config.json", head=False)
    tensors = in_memory(tmp_path)
    with pytest.raises(CheckpointError, match="holds more"):
        model.swap({**tensors, "more": torch.ones(1)}, checkpoint_of(tmp_path))
    tensors.pop("gpt_neox.final_layer_norm.bias")
    with pytest.raises(CheckpointError, match="lacks gpt_neox.final_layer_norm.bias"):
        model.swap(tensors, checkpoint_of(tmp_path))
    whole = load_file(tmp_path / "model.safetensors")
    whole.pop("embed_out.weight")
    save_file(whole, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="lacks lm_head.weight"):  # a whole file is checked whole
        model.swap(tmp_path, checkpoint_of(tmp_path))

"""Attention beside a forward pass: equal to eager's, and the pass does not notice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    GPT2Config,
    GPTNeoXConfig,
    JambaConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
)

from pythia_geometry.attention import SCORES, HeadPattern, Prompt
from pythia_geometry.attention.head_values import head_values
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.attention import patterns
from pythia_geometry.extraction.attention.patterns import PatternReader
from pythia_geometry.extraction.loading.models import SuiteModel
from tests.extraction.small_models import checkpoint

LENGTH, ITEMS = 12, 6
WORDS = {"vocab_size": 40, "bos_token_id": 0, "eos_token_id": 0}
SMALL = {**WORDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
         "max_position_embeddings": 64}  # fmt: skip
SHOWN = {
    "gpt_neox": GPTNeoXConfig(**SMALL),
    "gpt2": GPT2Config(**WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=64, scale_attn_by_inverse_layer_idx=True),
    "llama": LlamaConfig(**SMALL, num_key_value_heads=2, pad_token_id=0),
    "mistral": MistralConfig(**SMALL, num_key_value_heads=1, sliding_window=5, pad_token_id=0),
}
HIDDEN = {  # one with a kernel of its own, one with attention in every other block
    "Falcon": FalconConfig(**WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4),
    "Jamba": JambaConfig(
        **SMALL,
        num_key_value_heads=2,
        pad_token_id=0,
        attn_layer_period=2,
        attn_layer_offset=1,
        mamba_d_state=4,
        mamba_dt_rank=4,
        use_mamba_kernels=False,
        expert_layer_period=9,
        expert_layer_offset=8,
    ),
}


def built(folder: Path, config: PretrainedConfig, dtype: str = "float32") -> SuiteModel:
    """A model with weights large enough that heads differ."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder / "step1")
    mine = SuiteModel(folder / "step1" / "config.json", dtype)
    mine.swap(*checkpoint(folder, 1))
    return mine


@pytest.fixture(params=SHOWN)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> SuiteModel:
    return built(tmp_path, SHOWN[request.param])


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(40, (ITEMS, LENGTH), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def prompts(ids: Tensor) -> list[Prompt]:
    """Prompts of 10 to 12 of the batch's tokens: answers follow the shorter ones."""
    return [Prompt(row[: 10 + i % 3].numpy(), {"target": (2 + i,)}) for i, row in enumerate(ids)]


def run(model: SuiteModel, ids: Tensor) -> list[Tensor]:
    """Hidden states of every layer."""
    with torch.inference_mode():
        return list(model.base(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states)


def eager(model: SuiteModel, ids: Tensor) -> list[Tensor]:
    """Patterns [B, H, T, T] of every layer, by the kernel that returns them."""
    model.module.set_attn_implementation("eager")
    with torch.inference_mode():
        found = model.base(input_ids=ids, use_cache=False, output_attentions=True).attentions
    model.module.set_attn_implementation("sdpa")
    return list(found)


def read(model: SuiteModel, ids: Tensor, prompts: list[Prompt]) -> tuple[PatternReader, list[Tensor]]:
    everyone = [(row, row) for row in range(len(prompts))]
    with PatternReader(model, prompts) as reader, reader.batch(everyone):
        hidden = run(model, ids)
    return reader, hidden


def test_hidden_states_do_not_notice(model: SuiteModel, ids: Tensor, prompts: list[Prompt]) -> None:
    before = run(model, ids)
    _, during = read(model, ids, prompts)
    after = run(model, ids)
    for one, two, three in zip(before, during, after, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_scores_are_those_of_the_eager_patterns(model: SuiteModel, ids: Tensor, prompts: list[Prompt]) -> None:
    reader, _ = read(model, ids, prompts)
    for layer, p in enumerate(eager(model, ids)):
        for item, prompt in enumerate(prompts):
            pattern = HeadPattern(p[item, :, : prompt.n, : prompt.n].numpy(), prompt)
            for name, score in SCORES.items():
                assert reader.reading.score(name, layer)[item] == pytest.approx(score(pattern), abs=1e-6, nan_ok=True)
            back = reader.reading.last_rows[layer, item, :, : prompt.n]
            assert back == pytest.approx(pattern.p[:, -1, ::-1], abs=1e-6)


def test_head_outputs_are_what_the_output_projection_gets(
    model: SuiteModel, ids: Tensor, prompts: list[Prompt]
) -> None:
    got: list[Tensor] = []
    names = ("dense", "c_proj", "o_proj")
    for name, module in model.base.named_modules():
        if (name.rpartition(".")[2] in names and "attn" in name) or name.endswith("attention.dense"):
            module.register_forward_pre_hook(lambda _, args: got.append(args[0].clone()))
    reader, _ = read(model, ids, prompts)
    assert len(got) == reader.reading.n_layers == 2
    for layer, output in enumerate(got):
        for item, prompt in enumerate(prompts):
            wanted = output[item, prompt.last].reshape(4, -1)
            assert np.array_equal(reader.reading.outputs[layer, item], wanted.numpy())


def test_batches_of_any_size_give_the_same(
    model: SuiteModel, ids: Tensor, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = read(model, ids, prompts)
    monkeypatch.setattr(patterns, "ENTRIES_AT_ONCE", 4 * LENGTH * LENGTH)  # one row at a time
    with PatternReader(model, prompts) as parts:
        with parts.batch([(1, 5), (0, 4)]):
            run(model, ids[[4, 5]])
        with parts.batch([]):  # nothing of this batch is read
            run(model, ids[:2])
        with parts.batch([(i, i) for i in range(4)]):
            run(model, ids[:5])
    assert np.allclose(whole.reading.scores, parts.reading.scores, atol=1e-6, equal_nan=True)
    assert np.allclose(whole.reading.last_rows, parts.reading.last_rows, atol=1e-6, equal_nan=True)


def test_half_precision_is_read_in_float32(tmp_path: Path, ids: Tensor, prompts: list[Prompt]) -> None:
    model = built(tmp_path, SHOWN["gpt_neox"], "bfloat16")
    before = run(model, ids)
    reader, during = read(model, ids, prompts)
    assert all(torch.equal(one, two) for one, two in zip(before, during, strict=True))
    sums = reader.reading.last_rows.astype(np.float64)
    assert np.nansum(sums, axis=-1) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", HIDDEN)
def test_an_architecture_without_patterns_says_so_by_name(
    name: str, tmp_path: Path, ids: Tensor, prompts: list[Prompt]
) -> None:
    model = built(tmp_path, HIDDEN[name])
    with pytest.raises(PythiaGeometryError, match=f"{name}ForCausalLM does not show.*Leave the attention"):
        read(model, ids, prompts)
    run(model, ids)  # and the model works as before


def test_attention_that_is_more_than_a_softmax_is_refused(
    tmp_path: Path, ids: Tensor, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bias that only the kernel knows of would make every score silently wrong."""
    model = built(tmp_path, SHOWN["llama"])
    _patched(monkeypatch, lambda output: 1.1 * output)
    with pytest.raises(PythiaGeometryError, match="does more than softmax"):
        read(model, ids, prompts)


def _patched(monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], Tensor]) -> None:
    from transformers.integrations import sdpa_attention

    own = sdpa_attention.sdpa_attention_forward

    def changed(*args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        return change(own(*args, **kwargs)[0]), None

    monkeypatch.setattr(sdpa_attention, "sdpa_attention_forward", changed)


def test_the_kernel_is_given_back_after_an_error(tmp_path: Path, prompts: list[Prompt]) -> None:
    model = built(tmp_path, SHOWN["gpt2"])
    with pytest.raises(ZeroDivisionError), PatternReader(model, prompts):
        raise ZeroDivisionError
    assert model.module.config._attn_implementation == "sdpa"


def test_nothing_read_is_no_reading(tmp_path: Path, prompts: list[Prompt]) -> None:
    model = built(tmp_path, SHOWN["gpt2"])
    with pytest.raises(PythiaGeometryError, match=r"inside reader\.batch"), PatternReader(model, prompts) as reader:
        _ = reader.reading


def test_non_finite_weights_become_reasons(tmp_path: Path, ids: Tensor, prompts: list[Prompt]) -> None:
    model = built(tmp_path, SHOWN["gpt_neox"])
    with torch.no_grad():
        next(model.module.parameters()).fill_(torch.nan)
    reader, _ = read(model, ids, prompts)
    found = list(head_values(reader.reading, ["previous_token", "target_selectivity"]))
    assert {v.estimate.reason.split(" in ")[0] for v in found} == {"non-finite attention"}

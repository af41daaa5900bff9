"""The last block's MLP runs only where its output is read, and no number shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MixtralConfig, PretrainedConfig

from pythia_geometry.extraction.capture import LAST, MEAN, capture
from pythia_geometry.extraction.loading.building import positionwise
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.probes.encoding import EncodedProbe
from tests.extraction.small_models import TINY, checkpoint, encoded, twin, twin_layers
from tests.hub.checkpoints import write_checkpoint

LENGTH, ITEMS = 8, 40
LLAMA = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}  # fmt: skip
OTHERS = {
    "gpt2": GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "llama": LlamaConfig(**LLAMA),
}


def saved(folder: Path, name: str) -> SuiteModel:
    """The model with the weights of `folder`/step1."""
    if name == "gpt_neox":
        write_checkpoint(folder / "step1", TINY, seed=1)
    else:
        _save(folder / "step1", OTHERS[name])
    model = SuiteModel(folder / "step1" / "config.json")
    model.swap(*checkpoint(folder, 1))
    return model


def _save(folder: Path, config: PretrainedConfig) -> None:
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


@pytest.fixture
def probe() -> EncodedProbe:
    """Sequences of one length whose prompts are not: 8, 7 or 6 tokens with a target of 1, 2 or 3."""
    ids = np.random.default_rng(0).integers(1, 60, (ITEMS, LENGTH + 1)).tolist()
    cut = [LENGTH - i % 3 for i in range(ITEMS)]
    return encoded(*((tuple(row[:c]), tuple(row[c:]), ()) for row, c in zip(ids, cut, strict=True)))


def rows_through(module: Any) -> list[int]:
    """Rows of every call of a module from now on."""
    seen: list[int] = []

    def note(_: object, args: tuple[Tensor, ...]) -> None:
        seen.append(args[0].numel() // args[0].shape[-1])

    module.register_forward_pre_hook(note)
    return seen


@pytest.mark.parametrize("name", ["gpt_neox", "gpt2", "llama"])
@pytest.mark.parametrize("position", [LAST, MEAN])
def test_states_equal_those_of_transformers_bit_by_bit(
    tmp_path: Path, probe: EncodedProbe, name: str, position: str
) -> None:
    model = saved(tmp_path, name)
    assert model.last_mlp is model.blocks[-1].mlp
    ids = torch.tensor([item.prompt + item.target[:-1] for item in probe.items])
    layers_LBTD, _ = twin_layers(twin(tmp_path / "step1"), ids)
    found = capture(model, probe, position).activations
    for index, item in enumerate(probe.items):
        prompt_LTD = layers_LBTD[:, index, : len(item.prompt)]
        if position == LAST:
            assert np.array_equal(found[:, index], prompt_LTD[:, -1])
        else:
            np.testing.assert_allclose(found[:, index], prompt_LTD.mean(1), atol=1e-5)


def test_only_rows_that_are_read_go_through_the_last_mlp(tmp_path: Path, probe: EncodedProbe) -> None:
    model = saved(tmp_path, "gpt_neox")
    first, last = (rows_through(model.blocks[i].mlp.dense_h_to_4h) for i in (0, -1))
    capture(model, probe)
    assert (sum(first), sum(last)) == (ITEMS * LENGTH, sum(len(item.target) for item in probe.items))
    last.clear()
    capture(model, probe, MEAN)
    assert sum(last) == ITEMS * LENGTH


def test_few_sequences_go_through_whole_so_that_their_bits_are_those_of_a_whole_batch(
    tmp_path: Path, probe: EncodedProbe
) -> None:
    model = saved(tmp_path, "gpt_neox")
    seen = rows_through(model.blocks[-1].mlp.dense_h_to_4h)
    capture(model, EncodedProbe(probe.probe, probe.items[:3]))
    assert seen == [3 * LENGTH]


def test_mlp_that_adds_the_residual_stream_itself_is_left_alone(tmp_path: Path) -> None:
    class Adding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(32, 32)

        def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:  # as BLOOM's
            return residual + self.linear(hidden)  # type: ignore[no-any-return]

    assert positionwise(Adding()) is None
    assert positionwise(torch.nn.Sequential(Adding().linear)) is not None


def test_experts_look_at_all_positions_so_they_are_left_alone(tmp_path: Path) -> None:
    MixtralConfig(**LLAMA, num_local_experts=4, architectures=["MixtralForCausalLM"]).save_pretrained(tmp_path)
    assert SuiteModel(tmp_path / "config.json").last_mlp is None

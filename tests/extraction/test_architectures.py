"""Every architecture of public step repositories gives transformers' own hidden states and log-probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from pythia_geometry.extraction.capture import MEAN, capture, check_head
from pythia_geometry.extraction.loading.models import SuiteModel, read_shape
from pythia_geometry.extraction.probes.encoding import EncodedProbe
from pythia_geometry.suites.checkpoint import Checkpoint, WeightFile
from tests.extraction.architectures import EAGER, SETTINGS, WORDS, loaded, write
from tests.extraction.small_models import encoded

OFTEN = ("bloom", "gemma2", "gpt2", "granite", "mixtral", "olmoe", "opt-350m")
"""One of each kind of trouble; the others are walked with the slow tests."""


def probe() -> EncodedProbe:
    rng = np.random.default_rng(0)

    def ids(n: int) -> tuple[int, ...]:
        return tuple(int(i) for i in rng.integers(2, WORDS, n))

    return encoded(*((ids(int(rng.integers(3, 9))), ids(2), (ids(1), ids(2))) for _ in range(5)))


def opened(folder: Path, model: SuiteModel | None = None) -> SuiteModel:
    """The model with the folder's weights, as a walk opens them."""
    model = model or SuiteModel(folder / "config.json")
    files = tuple(WeightFile(f.name, 1, "aa") for f in sorted(folder.iterdir()) if f.suffix in (".safetensors", ".bin"))
    model.swap(folder, Checkpoint("s", "m", 0, 1, None, "m", "step1", files=files), folder / "config.json")
    return model


def assert_read_alike(model: SuiteModel, other: PreTrainedModel) -> None:
    """All layers at the last prompt token and on the mean, and the log-probability of every answer."""
    items = probe().items
    check_head(model, probe())
    last, mean = capture(model, probe()), capture(model, probe(), MEAN)
    for index, item in enumerate(items):
        with torch.inference_mode():
            states = other(torch.tensor([item.prompt]), output_hidden_states=True).hidden_states
            whole = other(torch.tensor([item.prompt + item.target])).logits[0].double().log_softmax(-1)
        for layer, states_BTD in enumerate(states):
            place = -1 if layer == len(states) - 1 else layer  # transformers never returns the last block's output
            width = states_BTD.shape[-1]
            for found, expected_D in ((last, states_BTD[0, -1]), (mean, states_BTD[0].mean(0))):
                row = found.activations[place, index]
                np.testing.assert_allclose(row[:width], expected_D, atol=2e-5 * float(expected_D.abs().max() + 1))
                assert not row[width:].any()
        n = len(item.prompt)
        log_prob = sum(float(whole[n - 1 + k, token]) for k, token in enumerate(item.target))
        assert last.answers.log_prob[index] == pytest.approx(log_prob, abs=1e-4)


@pytest.mark.parametrize("kind", [k if k in OFTEN else pytest.param(k, marks=pytest.mark.slow) for k in SETTINGS])
def test_an_architecture_is_read_as_transformers_reads_it(tmp_path: Path, kind: str) -> None:
    write(tmp_path, kind)
    model = opened(tmp_path)
    assert_read_alike(model, loaded(tmp_path))
    expected = "eager" if kind in EAGER else "sdpa"
    assert model.kernel == read_shape(tmp_path / "config.json").kernel == expected
    assert model.module.config._attn_implementation == expected


@pytest.mark.parametrize("kind", ["olmoe", "granite"])
def test_weights_are_swapped_step_by_step(tmp_path: Path, kind: str) -> None:
    model = None
    for step in (0, 1, 0):
        write(tmp_path / str(step), kind, seed=step)
        model = opened(tmp_path / str(step), model)
        assert_read_alike(model, loaded(tmp_path / str(step)))


@pytest.mark.parametrize("kind", ["llama", "gemma2", "cohere"])
def test_a_head_of_zeros_does_not_settle_how_logits_are_made(tmp_path: Path, kind: str) -> None:
    for name in ("zero", "trained"):
        write(tmp_path / name, kind, tie_word_embeddings=False)
    zeros = loaded(tmp_path / "zero")
    zeros.get_output_embeddings().weight.data.zero_()
    zeros.save_pretrained(tmp_path / "zero")
    model = opened(tmp_path / "zero")
    assert_read_alike(model, loaded(tmp_path / "zero"))
    assert_read_alike(opened(tmp_path / "trained", model), loaded(tmp_path / "trained"))

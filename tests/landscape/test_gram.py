"""The ghost Gram matrix is that of gradients computed one example at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.landscape import factors
from pythia_geometry.landscape.gram import gradient_grams, stored_gram
from pythia_geometry.landscape.surface import Examples, Surface
from pythia_geometry.landscape.tokens import next_token_losses, with_sampled_labels
from tests.landscape.small_surfaces import CONFIGS, language_model, mixed_lengths
from tests.reference.loss_surface import example_gradients

Way = Callable[..., Tensor]


def _surface(architecture: str) -> Surface:
    return Surface(language_model(architecture), next_token_losses, mixed_lengths(), batch=5)


def _close(found: np.ndarray, gradients: np.ndarray) -> None:
    expected = gradients @ gradients.T
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("way", [factors._over_pairs, factors._forming])
@pytest.mark.parametrize("architecture", CONFIGS)
def test_ghost_gram_is_the_gram_of_all_gradients(architecture: str, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pythia_geometry.landscape.gram.matrix_gram", way)
    surface = _surface(architecture)
    _close(gradient_grams(surface)["all"], example_gradients(surface))


@pytest.mark.parametrize("architecture", CONFIGS)
def test_stored_gram_is_too(architecture: str) -> None:
    surface = _surface(architecture)
    _close(stored_gram(surface), example_gradients(surface))


@pytest.mark.parametrize("leading", [1, 100, 500, 900])
@pytest.mark.parametrize("architecture", CONFIGS)
def test_the_first_parameters_alone(architecture: str, leading: int) -> None:
    surface = _surface(architecture)
    gradients = example_gradients(surface)[:, :leading]
    found = gradient_grams(surface, leading=leading).get("all")
    if found is None:
        assert not gradients.any()
    else:
        assert np.abs(found - gradients @ gradients.T).max() <= 1e-5 * np.abs(gradients @ gradients.T).max()
    assert np.allclose(stored_gram(surface, leading), gradients @ gradients.T, atol=1e-5)


def test_groups_add_up_and_are_those_of_their_parameters() -> None:
    surface = _surface("gpt2")
    grams = gradient_grams(surface, group=lambda name: name.split(".")[1])
    _close(sum(grams.values()), example_gradients(surface))
    head = tuple(name for name in surface.weights if name.split(".")[1] == "h")
    _close(grams["h"], example_gradients(replace(surface, only=head)))


def test_only_some_parameters() -> None:
    surface = replace(_surface("gpt2"), only=("transformer.wte.weight", "transformer.h.0.mlp.c_fc.weight"))
    _close(gradient_grams(surface)["all"], example_gradients(surface))


def test_labels_of_the_model_give_another_fisher() -> None:
    surface = _surface("gpt-neox")
    drawn = with_sampled_labels(surface, seed=3)
    _close(gradient_grams(drawn)["all"], example_gradients(drawn))
    assert not np.allclose(gradient_grams(drawn)["all"], gradient_grams(surface)["all"], rtol=0.1)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    surface = _surface("gpt2")
    whole = gradient_grams(surface)["all"]
    monkeypatch.setattr(factors, "_CHUNK", 200)
    assert np.allclose(gradient_grams(surface)["all"], whole, rtol=1e-5, atol=1e-6)


class _Scaled(nn.Module):
    """A parameter in no module that the hooks know, and a linear layer that is called twice."""

    def __init__(self, known: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(3, 3)
        self.scale = None if known else nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = torch.tanh(self.linear(x))
        return x if self.scale is None else x * self.scale


def _squares(module: nn.Module, examples: Examples) -> Tensor:
    return module(examples["x"]).square().sum((1, 2))


def test_a_module_that_the_hooks_do_not_know_is_an_error_not_a_number() -> None:
    x = {"x": torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))}
    surface = Surface(_Scaled(known=False).eval(), _squares, x)
    with pytest.raises(PythiaGeometryError, match=r"scale cannot be read.*stored_gram"):
        gradient_grams(surface)
    _close(stored_gram(surface), example_gradients(surface))


def test_a_layer_that_is_used_twice() -> None:
    x = {"x": torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))}
    surface = Surface(_Scaled(known=True).eval(), _squares, x)
    _close(gradient_grams(surface)["all"], example_gradients(surface))


def test_positions_that_are_looked_up_once_for_all_examples_are_noticed() -> None:
    """GPT-2 without position ids: the trap that the check by the summed gradient is there for."""

    def careless(module: nn.Module, examples: Examples) -> Tensor:
        logits = module(input_ids=examples["ids"]).logits[:, :-1].transpose(1, 2)
        return nn.functional.cross_entropy(logits, examples["ids"][:, 1:], reduction="none").mean(1)

    surface = Surface(language_model("gpt2"), careless, mixed_lengths())
    with pytest.raises(PythiaGeometryError, match="wpe"):
        gradient_grams(surface)

"""Surfaces over a part of the parameters: one head's entries on three architectures, and names that mean nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.landscape.llc import llc
from pythia_geometry.landscape.operator import Hessian
from pythia_geometry.landscape.parts import restricted
from pythia_geometry.landscape.sgld import Sampling
from pythia_geometry.landscape.surface import Surface, flat
from pythia_geometry.landscape.tokens import next_token_losses
from tests.landscape.small_surfaces import copying, language_model
from tests.reference.loss_surface import dense_hessian


def surface_of(architecture: str) -> Surface:
    """A small model on a few copies."""
    return Surface(language_model(architecture), next_token_losses, copying(6), batch=6)


@pytest.mark.parametrize("architecture", ["gpt-neox", "gpt2", "llama"])
def test_a_heads_entries_are_those_that_its_ablation_needs(architecture: str) -> None:
    whole = surface_of(architecture)
    one, two = (restricted(whole, f"head:1.{head}") for head in (0, 1))
    assert one.n_parameters == two.n_parameters
    assert torch.allclose(one.all_losses(), whole.all_losses(), atol=1e-6)
    masks = [part.masks for part in (one, two)]  # type: ignore[attr-defined]
    assert all(not (masks[0][name] & masks[1][name]).any() for name in masks[0]), "no entry is of two heads"
    silent = {name: torch.zeros_like(w) for name, w in one.weights.items()}
    output = next(name for name in silent if any(end in name for end in ("dense.", "c_proj.", "o_proj.")))
    partly = {**one.weights, output: silent[output]}
    assert torch.allclose(one.all_losses(silent), one.all_losses(partly), atol=1e-5), (
        "what nobody reads does not matter"
    )
    assert not torch.allclose(one.all_losses(silent), whole.all_losses(), atol=1e-3)


def test_curvature_of_a_head_is_a_block_of_the_whole_one() -> None:
    whole = surface_of("gpt2")
    part = restricted(whole, "head:1.1")
    names = list(whole.weights)
    mask = torch.cat(
        [part.masks.get(n, torch.zeros_like(whole.weights[n], dtype=torch.bool)).reshape(-1) for n in names]
    )  # type: ignore[attr-defined]
    dense = dense_hessian(whole)[np.ix_(mask.numpy(), mask.numpy())]
    vector = torch.randn(part.n_parameters, generator=torch.Generator().manual_seed(0))
    order = [n for n in names if n in part.weights]
    assert order == list(part.weights), "entries stand in the model's order"
    assert Hessian(part).times(vector).numpy() == pytest.approx(dense @ vector.numpy(), abs=1e-3)
    assert flat(part.weights).numel() == mask.sum()


def test_a_head_can_be_sampled_alone() -> None:
    part = restricted(surface_of("gpt-neox"), "head:1.0")
    found = llc(part, Sampling(1e-4, 10, 10, chains=1, burn_in=0, draws=16, batch=6))
    assert found.estimate.ceiling == part.n_parameters / 2 < surface_of("gpt-neox").n_parameters / 8


@pytest.mark.parametrize("only", ["head:0.0", "head:1.2", "head:9.0", "nothing", "head:1", "transformer.h.0+nothing"])
def test_a_part_that_is_not_there_is_refused(only: str) -> None:
    with pytest.raises(PythiaGeometryError, match="--llc only="):
        restricted(surface_of("gpt2"), only)

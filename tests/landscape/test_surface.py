"""Nothing that looks at a surface changes the model, and what would give a wrong number is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.landscape.gram import gradient_grams
from pythia_geometry.landscape.hessian import hessian_top
from pythia_geometry.landscape.llc import llc
from pythia_geometry.landscape.operator import Hessian
from pythia_geometry.landscape.sgld import Sampling
from pythia_geometry.landscape.surface import Surface
from pythia_geometry.landscape.tokens import next_token_losses, scored_tokens, with_sampled_labels
from tests.landscape.small_surfaces import CONFIGS, copying, language_model, mixed_lengths, trained


def test_every_estimator_leaves_the_model_as_it_was() -> None:
    surface = Surface(language_model("gpt2"), next_token_losses, copying(8), batch=4)
    before = {name: tensor.clone() for name, tensor in surface.module.state_dict().items()}
    gradient_grams(surface)
    hessian_top(Hessian(surface))
    llc(surface, Sampling(1e-4, 10, 1, chains=1, burn_in=2, draws=16, batch=4))
    with_sampled_labels(surface)
    assert all(torch.equal(before[name], tensor) for name, tensor in surface.module.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in surface.module.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in surface.module.modules())


@pytest.mark.parametrize("architecture", CONFIGS)
def test_losses_are_those_of_each_sequence_alone(architecture: str) -> None:
    model, examples = language_model(architecture), mixed_lengths()
    ours = Surface(model, next_token_losses, examples, batch=5).all_losses()
    for i in range(len(ours)):
        length = 9 if i % 3 else 13
        ids = examples["ids"][i, :length]
        with torch.no_grad():
            log_probs = model(ids[None]).logits[0].log_softmax(-1)
        scored = range(length // 2, length)
        own = -torch.stack([log_probs[t - 1, ids[t]] for t in scored]).mean()
        assert ours[i] == pytest.approx(float(own), rel=1e-5)


def test_what_would_give_a_wrong_number_is_refused() -> None:
    surface = Surface(language_model("gpt2"), next_token_losses, copying(4))
    with pytest.raises(PythiaGeometryError, match="evaluation mode"):
        replace(surface, module=language_model("gpt2").train())
    with pytest.raises(PythiaGeometryError, match="float32"):
        replace(surface, module=language_model("gpt2").half())
    with pytest.raises(PythiaGeometryError, match="no parameter head"):
        replace(surface, only=("head",))
    with pytest.raises(PythiaGeometryError, match="one entry an example"):
        replace(surface, examples={**surface.examples, "weights": torch.ones(3, 5)})
    with pytest.raises(PythiaGeometryError, match="token to score"):
        scored_tokens([[1]])


def test_sampled_labels_follow_the_model() -> None:
    surface = trained("gpt-neox", steps=10)
    rows = surface.rows(torch.zeros(4000, dtype=torch.long))
    drawn = with_sampled_labels(replace(surface, examples=rows, batch=2000)).examples["targets"]
    with torch.no_grad():
        ids = surface.examples["ids"][:1]
        probabilities = surface.module(ids).logits[0, 5].softmax(-1)
    seen = torch.bincount(drawn[:, 0], minlength=24) / len(drawn)
    assert (seen - probabilities).abs().max() < 0.03

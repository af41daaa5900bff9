"""The stacked transformer is GPT-2; one block at half the cost is the same function."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pythia_geometry.lab.patterns import one_block, transformer
from pythia_geometry.lab.patterns.member import Member
from pythia_geometry.lab.patterns.network import Network
from pythia_geometry.lab.patterns.settings import MIXER, PatternTraining
from pythia_geometry.lab.patterns.suite import as_gpt2

TINY = PatternTraining(size=5, sparsity=2, heads=2, width=16)
SIX = PatternTraining("automata", size=3, heads=2, width=16, layers=2)


def members(training, n=3):
    network = Network(training)
    found = [Member.fresh(network, seed).params for seed in range(n)]
    return network, {name: torch.stack([one[name] for one in found]) for name in found[0]}


def drawn(training, n=3):
    batches = [training.problem.draw(np.random.default_rng(seed), 4)[0] for seed in range(n)]
    return torch.as_tensor(np.stack(batches))


@pytest.mark.parametrize("training", [TINY, replace(TINY, form="masked"), replace(TINY, layers=3), SIX])
def test_a_member_is_a_gpt2(training):
    network, params = members(training)
    inputs = drawn(training)
    logits, pattern = network(params, inputs, pattern=True)
    at = training.problem.queries
    for i in range(3):
        model = as_gpt2(training, {name: p[i] for name, p in params.items()})
        model.set_attn_implementation("eager")
        output = model(inputs[i], output_attentions=True)
        torch.testing.assert_close(logits[i], output.logits[:, at.start : at.stop], rtol=0, atol=1e-5)
        torch.testing.assert_close(pattern[i], output.attentions[-1][:, :, at.start : at.stop], rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", ["leaking", "masked"])
@pytest.mark.parametrize("edit", ["none", "bias", "given"])
def test_one_block_is_the_same_function(form, edit):
    training = replace(TINY, form=form, head_width=5)
    network, params = members(training)
    for p in params.values():
        p.requires_grad_()
    inputs, at = drawn(training), training.problem.queries
    bias = torch.randn(5, 9) if edit == "bias" else None
    given = torch.rand(3, 4, 2, 5, 9) if edit == "given" else None
    slow, slow_pattern = transformer.forward(params, training.shape, inputs, at, bias, given)
    fast, pattern = one_block.forward(params, training.shape, inputs, at, network.pairs, bias, given, True)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-5)
    torch.testing.assert_close(pattern, slow_pattern, rtol=0, atol=1e-6)
    for name in params:
        weights = torch.randn(slow.shape, generator=torch.Generator().manual_seed(1))
        grads = [
            torch.autograd.grad((y * weights).sum(), params[name], retain_graph=True, allow_unused=True)
            for y in (slow, fast)
        ]
        torch.testing.assert_close(grads[0][0], grads[1][0], rtol=1e-4, atol=1e-4)


def test_the_bias_moves_attention_to_the_parents():
    training = replace(TINY, bias=30.0)
    network, params = members(training)
    pattern = network(params, drawn(training), pattern=True)[1]
    assert float(((pattern * network.parents).sum(-1)).min()) > 0.99


def test_a_mixer_has_as_many_parameters():
    for size in (8, 16):
        training = PatternTraining(size=size, form="masked")
        assert replace(training, network=MIXER).n_parameters == pytest.approx(training.n_parameters, rel=0.01)


def test_a_mixer_says_nothing_of_later_members():
    training = replace(TINY, form="masked", network=MIXER)
    network, params = members(training)
    inputs = drawn(training)
    logits, pattern = network(params, inputs)
    assert pattern is None and logits.shape == (3, 4, 5, 3)
    alone = network({name: p[1:2] for name, p in params.items()}, inputs[1:2])[0]
    torch.testing.assert_close(logits[1:2], alone, rtol=0, atol=1e-6)


def test_pairs_are_those_that_occur():
    task = replace(TINY, form="masked").problem
    pairs = one_block.Pairs(torch.as_tensor(task.possible))
    assert len(pairs.position) == 2 * 5 + 4
    held = pairs.held(drawn(replace(TINY, form="masked")))
    assert int(held.min()) >= 0

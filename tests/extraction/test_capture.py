"""Activations and answers of one pass against slow twins: one sequence at a time, full logits, float64."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pythia_geometry.extraction.capture import Answers, Capture, capture
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.probes.encoding import EncodedItem, EncodedProbe
from tests.extraction.small_models import TINY, checkpoint, encoded, twin, twin_layers
from tests.hub.checkpoints import write_checkpoint

Ids = tuple[int, ...]
WORDS = TINY["vocab_size"]


class Pair(NamedTuple):
    """The model under test and its twin, with the same weights."""

    model: SuiteModel
    twin: PreTrainedModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    write_checkpoint(folder / "step1", TINY, seed=1)
    return folder


@pytest.fixture(scope="module")
def pair(folder: Path) -> Pair:
    model = SuiteModel(folder / "step1" / "config.json")
    model.swap(*checkpoint(folder, 1))
    return Pair(model, twin(folder / "step1"))


def greedy(model: PreTrainedModel, prompt: Ids, n: int) -> Ids:
    """The n most likely next tokens, one at a time."""
    ids = list(prompt)
    for _ in range(n):
        with torch.inference_mode():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return tuple(ids[len(prompt) :])


def slow_log_prob(model: PreTrainedModel, prompt: Ids, answer: Ids) -> float:
    """log p(answer | prompt), token by token."""
    total = 0.0
    for i, token in enumerate(answer):
        with torch.inference_mode():
            logits = model(torch.tensor([[*prompt, *answer[:i]]])).logits[0, -1].double()
        total += math.log(float(torch.softmax(logits, -1)[token]))
    return total


def slow_answers(model: PreTrainedModel, item: EncodedItem) -> tuple[float, float, float, float]:
    target = slow_log_prob(model, item.prompt, item.target)
    wrong = [slow_log_prob(model, item.prompt, d) for d in item.distractors]
    margin = target - sum(wrong) / len(wrong) if wrong else math.nan
    choice = float(all(target > w for w in wrong)) if wrong else math.nan
    return target, margin, choice, float(greedy(model, item.prompt, len(item.target)) == item.target)


def random_items(model: PreTrainedModel, n: int, seed: int) -> list[tuple[Ids, Ids, tuple[Ids, ...]]]:
    """Prompts of 1 to 9 tokens, answers of 1 to 3; every other target is what the model would say."""
    rng = Random(seed)

    def ids(length: int) -> Ids:
        return tuple(rng.randrange(WORDS) for _ in range(length))

    items = []
    for i in range(n):
        prompt, length = ids(rng.randint(1, 9)), rng.randint(1, 3)
        target = greedy(model, prompt, length) if i % 2 else ids(length)
        items.append((prompt, target, tuple(ids(rng.randint(1, 3)) for _ in range(rng.randint(0, 3)))))
    return items


@pytest.fixture(scope="module")
def probe(pair: Pair) -> EncodedProbe:
    return encoded(*random_items(pair.twin, 40, seed=0))


def columns(answers: Answers) -> np.ndarray:
    return np.stack([answers.log_prob, answers.margin, answers.choice, answers.exact], axis=1)


def assert_close(one: Capture, other: Capture, order: list[int] | slice = slice(None)) -> None:
    np.testing.assert_allclose(one.activations[:, order], other.activations, atol=1e-5, rtol=0)
    np.testing.assert_allclose(columns(one.answers)[order], columns(other.answers), atol=1e-5, rtol=0)


def test_answers_equal_the_slow_twin(pair: Pair, probe: EncodedProbe) -> None:
    expected = np.array([slow_answers(pair.twin, item) for item in probe.items])
    lengths = {(len(item.target), *sorted({len(d) for d in item.distractors})) for item in probe.items}
    assert {0.0, 1.0} <= set(expected[:, 2]) and {0.0, 1.0} == set(expected[:, 3])
    assert np.isnan(expected[:, 1]).any() and len(lengths) > 10
    np.testing.assert_allclose(columns(capture(pair.model, probe).answers), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("position", ["last", "mean"])
def test_every_layer_is_pooled_over_the_prompt_alone(pair: Pair, probe: EncodedProbe, position: str) -> None:
    found = capture(pair.model, probe, position).activations
    assert found.shape == (4, len(probe.items), 16)
    for index, item in enumerate(probe.items):
        layers_LTD = twin_layers(pair.twin, torch.tensor([item.prompt]))[0][:, 0]
        expected = layers_LTD[:, -1] if position == "last" else layers_LTD.double().mean(1)
        np.testing.assert_allclose(found[:, index], expected, atol=1e-5, rtol=0)


def test_last_position_is_the_prompts_and_not_the_sequences(pair: Pair) -> None:
    prompt, target = (5, 6, 7, 8), (1, 2, 3)
    found = capture(pair.model, encoded((prompt, target, ()))).activations[:, 0]
    layers_LTD = twin_layers(pair.twin, torch.tensor([[*prompt, *target[:-1]]]))[0][:, 0]
    assert torch.equal(torch.from_numpy(found), layers_LTD[:, 3])
    assert not np.allclose(found, layers_LTD[:, -1], atol=1e-2)


@pytest.mark.parametrize("position", ["last", "mean"])
def test_activations_do_not_depend_on_the_answers(pair: Pair, position: str) -> None:
    prompt = (5, 6, 7, 8)
    alone = capture(pair.model, encoded((prompt, (1,), ())), position).activations
    answers = encoded((prompt, (1, 2, 3), ((4,), (9, 8), (7, 7, 7, 7))))
    np.testing.assert_allclose(capture(pair.model, answers, position).activations, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("position", ["last", "mean"])
def test_batch_of_one_equals_any_other(pair: Pair, probe: EncodedProbe, position: str) -> None:
    one = capture(pair.model, probe, position, batch=1)
    for batch in (2, 8, 128):
        assert_close(capture(pair.model, probe, position, batch), one)


def test_order_of_items_does_not_matter(pair: Pair, probe: EncodedProbe) -> None:
    order = list(range(len(probe.items)))
    Random(3).shuffle(order)
    shuffled = EncodedProbe(probe.probe, tuple(probe.items[i] for i in order))
    assert_close(capture(pair.model, probe, batch=8), capture(pair.model, shuffled, batch=8), order)


def test_same_item_twice_gives_the_same_numbers(pair: Pair, probe: EncodedProbe) -> None:
    found = capture(pair.model, EncodedProbe(probe.probe, probe.items * 2), batch=7)
    half = len(probe.items)
    np.testing.assert_allclose(found.activations[:, :half], found.activations[:, half:], atol=1e-5)
    np.testing.assert_allclose(found.answers.log_prob[:half], found.answers.log_prob[half:], atol=1e-5)


def test_margin_and_choice_weigh_whole_answers(pair: Pair) -> None:
    prompt: Ids = (3, 1, 4)
    best = greedy(pair.twin, prompt, 2)
    by_chance = sorted(range(WORDS), key=lambda w: slow_log_prob(pair.twin, prompt, (w,)))
    worst, middle, top = by_chance[0], by_chance[32], by_chance[-1]
    found = capture(
        pair.model,
        encoded(
            (prompt, (top,), ((worst,), (middle,))),
            (prompt, (middle,), ((worst,), (top,))),
            (prompt, best, ((worst, worst),)),
            (prompt, (worst,), ((worst, 5),)),  # a longer answer that begins alike is less likely
            (prompt, (top,), ()),
        ),
    ).answers
    assert found.choice[:4].tolist() == [1.0, 0.0, 1.0, 1.0]
    assert math.isnan(found.choice[4]) and math.isnan(found.margin[4]) and math.isfinite(found.log_prob[4])
    top_prob, middle_prob, worst_prob = (slow_log_prob(pair.twin, prompt, (w,)) for w in (top, middle, worst))
    assert found.margin[0] == pytest.approx(top_prob - (worst_prob + middle_prob) / 2, abs=1e-5)
    assert found.margin[1] == pytest.approx(middle_prob - (worst_prob + top_prob) / 2, abs=1e-5)


def test_target_that_ties_with_a_distractor_is_not_chosen(pair: Pair) -> None:
    found = capture(pair.model, encoded(((3, 1, 4), (5,), ((5,),)))).answers
    assert (found.choice[0], found.margin[0]) == (0.0, 0.0)


def test_exact_means_every_token_is_the_greedy_one(pair: Pair) -> None:
    prompt: Ids = (3, 1, 4)
    first, second, third = greedy(pair.twin, prompt, 3)
    off = (first + 1) % WORDS
    after_off = greedy(pair.twin, (*prompt, off), 1)[0]
    targets = [
        (first,),
        (first, second),
        (first, second, third),
        (off,),
        (first, (second + 1) % WORDS),
        (first, second, (third + 1) % WORDS),
        (off, second),
        (off, after_off),
    ]
    found = capture(pair.model, encoded(*((prompt, target, ((9,),)) for target in targets))).answers
    assert found.exact.tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_activations_are_a_copy_in_float32(pair: Pair, probe: EncodedProbe) -> None:
    first = capture(pair.model, probe)
    assert first.activations.dtype == np.float32
    assert first.activations.flags.owndata
    assert first.activations.base is None
    before = first.activations.copy()
    capture(pair.model, EncodedProbe(probe.probe, probe.items[::-1]))
    np.testing.assert_array_equal(first.activations, before)


def test_model_is_left_as_it_was(pair: Pair, probe: EncodedProbe) -> None:
    before = {name: p.clone() for name, p in pair.model.module.named_parameters()}
    capture(pair.model, probe)
    with pytest.raises(IndexError):
        capture(pair.model, encoded(((1, WORDS), (2,), ())))
    hooks = [(m._forward_hooks, m._forward_pre_hooks) for m in pair.model.module.modules()]
    assert not any(after or ahead for after, ahead in hooks)
    assert all(torch.equal(p, before[name]) for name, p in pair.model.module.named_parameters())


def test_tokens_are_counted_as_they_go_through_the_model(pair: Pair, probe: EncodedProbe) -> None:
    seen: list[Tensor] = []
    embedding = pair.model.module.get_input_embeddings()
    handle = embedding.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    capture(pair.model, probe, batch=8)
    handle.remove()
    assert sum(ids.numel() for ids in seen) == probe.n_tokens
    assert max(len(ids) for ids in seen) <= 8


def broken(folder: Path, name: str, value: float) -> SuiteModel:
    model = SuiteModel(folder / "step1" / "config.json")
    model.swap(*checkpoint(folder, 1))
    dict(model.module.named_parameters())[name].fill_(value)
    return model


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("position", ["last", "mean"])
def test_weights_that_are_not_finite_give_nan_answers(
    folder: Path, probe: EncodedProbe, position: str, value: float
) -> None:
    found = capture(broken(folder, "gpt_neox.layers.1.mlp.dense_4h_to_h.weight", value), probe, position)
    assert np.isnan(columns(found.answers)).all()
    assert np.isfinite(found.activations[:2]).all()  # embed and resid_1 come before the break
    assert not np.isfinite(found.activations[2:]).all(axis=-1).any()


def test_broken_head_leaves_the_activations(pair: Pair, folder: Path, probe: EncodedProbe) -> None:
    found = capture(broken(folder, "lm_head.weight", math.nan), probe)
    assert np.isnan(columns(found.answers)).all()
    np.testing.assert_array_equal(found.activations, capture(pair.model, probe).activations)


def test_one_word_that_is_not_finite_spoils_no_other_item(pair: Pair, folder: Path) -> None:
    probe = encoded(((1, 2, 3), (4,), ((5,),)), ((1, 63, 3), (4,), ((5,),)), ((7, 8, 9), (4,), ()))
    model = SuiteModel(folder / "step1" / "config.json")
    model.swap(*checkpoint(folder, 1))
    model.module.get_input_embeddings().weight[63] = math.nan
    found, whole = capture(model, probe), capture(pair.model, probe)
    np.testing.assert_array_equal(found.activations[:, [0, 2]], whole.activations[:, [0, 2]])
    assert np.isnan(columns(found.answers)[1]).all()
    np.testing.assert_array_equal(columns(found.answers)[[0, 2]], columns(whole.answers)[[0, 2]])

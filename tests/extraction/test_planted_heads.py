"""Heads of known weights: found by name, shown to be the cause, and their copying read off the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, GemmaConfig, GPTNeoXConfig, LlamaConfig

from pythia_geometry.attention import Prompt, head_values
from pythia_geometry.attention.copying import copying, copying_through, folded
from pythia_geometry.attention.head_values import NO_EIGENVALUE, copying_values
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.attention.ablation import MEAN, RESAMPLE, ablation, matched_sets
from pythia_geometry.extraction.attention.head_weights import head_circuits
from pythia_geometry.extraction.attention.patching import patching
from pythia_geometry.extraction.attention.patterns import PatternReader
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.probes.encoding import EncodedProbe
from pythia_geometry.geometry.cloud import Estimate
from tests.extraction.planted_heads import INDUCTION, PREVIOUS, WORDS, planted
from tests.extraction.small_models import encoded
from tests.extraction.test_patterns import HIDDEN, SHOWN, SMALL, built

N = 6


@pytest.fixture
def rows() -> np.ndarray:
    """A word, then N others said twice: the first token of all has none before it that it could be taken for."""
    rng = np.random.default_rng(0)
    words = [rng.permutation(WORDS)[: N + 1] for _ in range(8)]
    return np.array([[first, *others, *others] for first, *others in words])


@pytest.fixture
def probe(rows: np.ndarray) -> EncodedProbe:
    """The second copy up to its third word, to be followed by the fourth."""
    items = [(tuple(map(int, row[: N + 4])), (int(row[4]),), ()) for row in rows]
    return encoded(*items)


@pytest.fixture
def learnt(tmp_path: Path) -> SuiteModel:
    return planted(tmp_path / "late")


@pytest.fixture
def untaught(tmp_path: Path) -> SuiteModel:
    """The same model before its induction head looks anywhere: it would copy, if it looked."""
    model = planted(tmp_path / "early")
    width, depth = 80, 40
    with torch.no_grad():
        model.blocks[1].attn.c_attn.weight[:, depth : 2 * depth] = 0  # the queries of head 1
        model.blocks[1].attn.c_attn.weight[:, width + depth : width + 2 * depth] = 0  # and its keys
    return model


def test_the_planted_heads_are_found_and_no_others(learnt: SuiteModel, rows: np.ndarray) -> None:
    prompts = [Prompt(row) for row in rows]
    ids = torch.from_numpy(rows)
    with torch.inference_mode(), PatternReader(learnt, prompts) as reader, reader.batch(list(enumerate(range(8)))):
        learnt.base(input_ids=ids, use_cache=False)
    found = {(v.measure, v.layer, v.head): v.estimate for v in head_values(reader.reading)}
    assert found["previous_token", *PREVIOUS].value > 0.99
    assert found["induction", *INDUCTION].value > 0.99
    for head in ((1, 0), (1, 1), (2, 0)):
        assert found["induction", *head].value < 0.3
    assert found["duplicate_token", *INDUCTION].value < 0.01  # one off


def test_the_model_does_what_its_heads_are_for(learnt: SuiteModel, probe: EncodedProbe) -> None:
    ids = torch.tensor([item.prompt for item in probe.items])
    with torch.inference_mode():
        said = learnt.module(input_ids=ids).logits[:, -1].argmax(dim=-1)
    assert said.tolist() == [item.target[0] for item in probe.items]


def test_the_later_pattern_of_the_induction_head_alone_brings_the_answer(
    untaught: SuiteModel, learnt: SuiteModel, probe: EncodedProbe
) -> None:
    found = patching(untaught, learnt, probe)
    gain, loss = found.gain.mean(axis=0), found.loss.mean(axis=0)
    best = found.heads.index(INDUCTION)
    whole = (found.later - found.earlier).mean()
    assert whole > 1
    assert gain[best] == pytest.approx(whole, rel=1e-3)
    assert loss[best] == pytest.approx(whole, rel=1e-3)
    others = [i for i in range(len(found.heads)) if i != best]
    assert np.abs(gain[others]).max() < 1e-3
    assert np.abs(loss[others]).max() < 1e-3


def test_a_checkpoint_patched_with_its_own_pattern_is_itself(probe: EncodedProbe, tmp_path: Path) -> None:
    found = patching(planted(tmp_path / "a"), planted(tmp_path / "b"), probe)
    assert np.abs(found.gain).max() < 1e-5
    assert np.abs(found.loss).max() < 1e-5


@pytest.mark.parametrize("kind", [MEAN, RESAMPLE])
def test_without_the_induction_head_the_answer_is_gone_and_random_heads_do_not_matter(
    learnt: SuiteModel, probe: EncodedProbe, kind: str
) -> None:
    found = ablation(learnt, probe, [INDUCTION], kind, random_sets=9)
    assert found.drop > 1
    assert np.abs(found.random).max() < 1e-3
    assert (found.p, found.n, found.reason) == (0.5, 8, "")  # the layer has one other head: one set, once
    assert ablation(learnt, probe, [(2, 0)], kind, random_sets=3).p == 1.0


def test_items_without_another_of_their_length_are_left_out(learnt: SuiteModel, rows: np.ndarray) -> None:
    lengths = [N + 4, N + 4, N + 4, N + 3]
    items = [(tuple(map(int, row[:n])), (int(row[n - N]),), ()) for row, n in zip(rows, lengths, strict=False)]
    found = ablation(learnt, encoded(*items), [INDUCTION])
    assert found.n == 3
    assert found.reason.endswith("in 1 of 4 items")
    alone = ablation(learnt, encoded(items[0], items[3]), [INDUCTION])
    assert np.isnan(alone.drop)
    assert alone.reason.endswith("in 2 of 2 items")


def test_targets_of_several_tokens_are_scored_whole(learnt: SuiteModel, untaught: SuiteModel, rows: np.ndarray) -> None:
    items = [(tuple(map(int, row[: N + 3])), tuple(map(int, row[3:5])), ()) for row in rows]
    found = patching(untaught, learnt, encoded(*items), [INDUCTION], batch=3)
    with torch.inference_mode():
        logits = torch.log_softmax(learnt.module(input_ids=torch.from_numpy(rows)).logits, dim=-1)
    wanted = [float(logits[i, N + 2, row[3]] + logits[i, N + 3, row[4]]) for i, row in enumerate(rows)]
    assert found.later == pytest.approx(wanted, rel=1e-5)


def test_what_cannot_be_patched_is_said(learnt: SuiteModel, probe: EncodedProbe, tmp_path: Path) -> None:
    with pytest.raises(PythiaGeometryError, match="two models at once"):
        patching(learnt, learnt, probe)
    with pytest.raises(PythiaGeometryError, match="two checkpoints of one model"):
        patching(learnt, built(tmp_path / "other", SHOWN["gpt2"]), probe)
    with pytest.raises(PythiaGeometryError, match=r"no head \(3, 0\): layers are 1 to 2, heads 0 to 1"):
        ablation(learnt, probe, [(3, 0)])
    with pytest.raises(PythiaGeometryError, match="too few others to compare with"):
        ablation(learnt, probe, [(2, 0), (2, 1)])
    with pytest.raises(PythiaGeometryError, match="no ablation 'zero'"):
        ablation(learnt, probe, [INDUCTION], "zero")
    with pytest.raises(PythiaGeometryError, match="FalconForCausalLM does not show"):
        ablation(built(tmp_path / "falcon", HIDDEN["Falcon"]), probe, [(1, 0)])


def test_a_head_that_copies_scores_one_by_its_weights() -> None:
    eye = np.eye(5)
    assert copying(eye, eye, eye, eye) == pytest.approx(1.0)
    assert copying(eye, eye, -eye, eye) == pytest.approx(-1.0)
    turn = np.array([[0.0, 1], [-1, 0]])
    assert copying(np.eye(2), turn, np.eye(2), np.eye(2)) == pytest.approx(0.0, abs=1e-9)


def test_the_score_is_that_of_the_whole_token_by_token_matrix() -> None:
    rng = np.random.default_rng(0)
    embed, value, output, unembed = (rng.normal(size=s) for s in ((12, 6), (6, 3), (3, 6), (6, 12)))
    eigenvalues = np.linalg.eigvals(embed @ value @ output @ unembed)
    assert copying(embed, value, output, unembed) == pytest.approx(eigenvalues.real.sum() / np.abs(eigenvalues).sum())


@pytest.mark.parametrize(
    "config", [GPTNeoXConfig(**SMALL), SHOWN["gpt2"], LlamaConfig(**SMALL, num_key_value_heads=2, pad_token_id=0)]
)
def test_matrices_of_a_head_are_those_of_its_forward_pass(config: object, tmp_path: Path) -> None:
    """What a head adds for one token alone is its normed embedding times W_V times W_O."""
    model = built(tmp_path, config)  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in model.module.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    block = model.blocks[0]
    attention = next(getattr(block, name) for name in ("attention", "attn", "self_attn") if hasattr(block, name))
    got: list[torch.Tensor] = []
    attention.register_forward_pre_hook(lambda _, a, k: got.append(a[0] if a else k["hidden_states"]), with_kwargs=True)
    attention.register_forward_hook(lambda _, __, out: got.append(out[0]))
    with torch.inference_mode():
        model.base(input_ids=torch.tensor([[7]]), use_cache=False)
    seen, added = (one[0, 0].double().numpy() for one in got[:2])
    heads = next(iter(head_circuits(model))).heads
    assert sum(seen @ value @ output for value, output in heads) == pytest.approx(added, abs=1e-4)


def scores(model: SuiteModel) -> dict[tuple[int | None, int | None], Estimate]:
    return {(one.layer, one.head): one.estimate for one in copying_values(head_circuits(model))}


def test_copying_scores_of_the_planted_heads(learnt: SuiteModel) -> None:
    found = scores(learnt)
    assert len(found) == 4
    assert found[INDUCTION].value > 0.9
    assert found[1, 1].reason == NO_EIGENVALUE  # no weights at all
    assert np.isnan(found[1, 1].value)


def test_the_copying_score_needs_the_output_head_and_a_known_place(tmp_path: Path) -> None:
    built(tmp_path, SHOWN["gpt2"])
    with pytest.raises(PythiaGeometryError, match="needs the output head"):
        scores(SuiteModel(tmp_path / "step1" / "config.json", head=False))
    with pytest.raises(PythiaGeometryError, match="FalconForCausalLM keeps its heads' weights"):
        scores(built(tmp_path / "falcon", HIDDEN["Falcon"]))
    gemma = Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=8, pad_token_id=0)
    with pytest.raises(PythiaGeometryError, match="Gemma2ForCausalLM keeps its heads' weights"):
        scores(built(tmp_path / "gemma2", gemma))  # type: ignore[arg-type]


def test_norms_that_add_one_to_their_gain_are_read_as_they_act(tmp_path: Path) -> None:
    model = built(tmp_path, GemmaConfig(**SMALL, num_key_value_heads=2, head_dim=8, pad_token_id=0))  # type: ignore[arg-type]
    first, last = (
        norm.weight.detach().double().numpy() + 1 for norm in (model.blocks[0].input_layernorm, model.base.norm)
    )
    embed, unembed = (
        part.weight.detach().double().numpy()
        for part in (model.module.get_input_embeddings(), model.module.get_output_embeddings())
    )
    circuits = next(iter(head_circuits(model)))
    wanted = [copying(embed * first, value, output, last[:, None] * unembed.T) for value, output in circuits.heads]
    assert [copying_through(circuits.tokens, *head) for head in circuits.heads] == pytest.approx(wanted, abs=1e-4)


def test_gains_are_folded_and_means_taken_off() -> None:
    rng = np.random.default_rng(0)
    embed, unembed = rng.normal(size=(7, 4)), rng.normal(size=(4, 7))
    first, last, x = rng.normal(size=4), rng.normal(size=4), rng.normal(size=4)
    seen = (embed - embed.mean(axis=1, keepdims=True)) * first
    said = ((x - x.mean()) * last) @ unembed
    assert x @ folded(unembed @ embed, first, last) == pytest.approx(said @ seen)
    assert folded(unembed @ embed, first, last, centred=False) == pytest.approx(
        (last[:, None] * unembed) @ (embed * first)
    )


def test_matched_sets_are_of_the_same_layers_and_each_stands_once() -> None:
    few = matched_sets([(1, 0), (1, 2)], 5, 20)
    assert sorted(few) == [((1, 1), (1, 3)), ((1, 1), (1, 4)), ((1, 3), (1, 4))]
    many = matched_sets([(1, 0), (3, 2)], 12, 20)
    assert len(set(many)) == 20
    assert all([layer for layer, _ in one] == [1, 3] for one in many)
    assert not {(1, 0), (3, 2)} & {head for one in many for head in one}

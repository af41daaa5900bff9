"""Head scores on hand-made patterns, and against loops that read as the definitions do."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pythia_geometry import attention
from pythia_geometry.attention import SCORES, HeadPattern, Prompt, duplicate_token, induction, previous_token, sink
from pythia_geometry.attention.batches import ScoredBatch
from pythia_geometry.attention.entries import uniform_score
from pythia_geometry.attention.targets import selectivity_estimates
from tests.reference import head_scores

N = 7
TWICE = np.array([3, 1, 4, 15, 9, 2, 6] * 2)
"""N different tokens said twice: query q of the second copy repeats token q − N."""
PUBLIC = [member for name in attention.__all__ if inspect.isfunction(member := getattr(attention, name))]


def looking_back(offset: int, n: int = 2 * N) -> HeadPattern:
    """One head: each query looks `offset` tokens back where it can, else at the first token."""
    p = np.zeros((1, n, n))
    for q in range(n):
        p[0, q, q - offset if q >= offset else 0] = 1
    return HeadPattern(p, Prompt(TWICE[:n]))


def evenly(n: int = 2 * N) -> HeadPattern:
    return HeadPattern((np.tri(n) / np.arange(1, n + 1)[:, None])[None], Prompt(TWICE[:n]))


def random_pattern(rng: np.random.Generator, ids: np.ndarray, heads: int = 3, **marks: tuple[int, ...]) -> HeadPattern:
    p = rng.exponential(size=(heads, len(ids), len(ids))) * np.tri(len(ids))
    return HeadPattern(p / p.sum(axis=2, keepdims=True), Prompt(ids, marks))


def test_an_ideal_induction_head_scores_one_and_one_off_scores_zero() -> None:
    assert induction(looking_back(N - 1)) == pytest.approx([1.0])  # key q − N + 1
    assert induction(looking_back(N)) == pytest.approx([0.0])
    assert induction(looking_back(N - 2)) == pytest.approx([0.0])


def test_an_ideal_duplicate_token_head_scores_one_and_one_off_scores_zero() -> None:
    assert duplicate_token(looking_back(N)) == pytest.approx([1.0])
    assert duplicate_token(looking_back(N - 1)) == pytest.approx([0.0])
    assert duplicate_token(looking_back(0)) == pytest.approx([0.0])  # the diagonal does not count


def test_previous_token_and_sink_heads_score_one() -> None:
    assert previous_token(looking_back(1)) == pytest.approx([1.0])
    assert previous_token(looking_back(2))[0] == pytest.approx(1 / (2 * N - 1))  # query 1 can only look at 0
    assert sink(looking_back(2 * N)) == pytest.approx([1.0])


@pytest.mark.parametrize("name", [name for name, score in SCORES.items() if not score.of_entropy])
def test_an_even_pattern_scores_its_baseline(name: str) -> None:
    pattern = HeadPattern(evenly().p, Prompt(TWICE, {"target": (3, 5)}))
    weights = SCORES[name].entries(pattern.prompt)
    assert weights is not None
    assert SCORES[name](pattern) == pytest.approx([uniform_score(pattern.prompt, weights)])


def test_an_even_pattern_has_the_largest_entropy() -> None:
    assert attention.entropy_share(evenly()) == pytest.approx([1.0])
    assert attention.entropy(evenly()) == pytest.approx([np.log(np.arange(2, 2 * N + 1)).mean()])


def test_target_mass_is_read_at_the_query_that_predicts_the_answer() -> None:
    p = np.zeros((1, 4, 4))
    p[0, 3], p[0, 2] = [0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0]
    assert attention.target_mass(HeadPattern(p, Prompt(np.arange(4), {"target": (0, 2)}))) == pytest.approx([0.4])


ids_of_prompts = st.lists(st.integers(0, 4), min_size=1, max_size=9).map(np.array)


@settings(max_examples=60, deadline=None)
@given(ids=ids_of_prompts, seed=st.integers(0, 2**16))
def test_scores_are_their_definitions(ids: np.ndarray, seed: int) -> None:
    pattern = random_pattern(np.random.default_rng(seed), ids)
    for name in ("previous_token", "duplicate_token", "induction", "sink", "entropy", "entropy_share"):
        slow = [getattr(head_scores, name)(p.tolist(), ids.tolist()) for p in pattern.p]
        assert SCORES[name](pattern) == pytest.approx(slow, nan_ok=True), name


@settings(max_examples=30, deadline=None)
@given(prompts=st.lists(ids_of_prompts, min_size=1, max_size=4), seed=st.integers(0, 2**16))
def test_a_batch_scores_as_its_prompts_do_one_by_one(prompts: list[np.ndarray], seed: int) -> None:
    rng = np.random.default_rng(seed)
    longest = max(map(len, prompts)) + 1  # answers may follow
    patterns = [random_pattern(rng, ids, target=(0,) if len(ids) > 2 else ()) for ids in prompts]
    batch = ScoredBatch([one.prompt for one in patterns], list(SCORES.values()), with_last=True)
    p = rng.uniform(size=(len(patterns), 3, longest, longest)).astype(np.float32)
    for row, one in zip(p, patterns, strict=True):
        row[:, : one.prompt.n, : one.prompt.n] = one.p
    read = p[:, :, batch.queries, : batch.n_keys]
    for b, one in enumerate(patterns):
        for m, score in enumerate(SCORES.values()):
            assert batch.scores(read)[b, m] == pytest.approx(score(one), rel=1e-5, abs=1e-6, nan_ok=True), score.name
        rows = batch.last_rows(read, longest)[b]
        assert rows[:, : one.prompt.n] == pytest.approx(one.p[:, -1, ::-1], rel=1e-6)
        assert np.isnan(rows[:, one.prompt.n :]).all()


def test_only_needed_queries_are_asked_for() -> None:
    prompts = [Prompt(np.arange(9), {"target": (2,)}), Prompt(np.arange(6), {"target": (2,)})]
    assert ScoredBatch(prompts, [SCORES["target_mass"]]).queries == [5, 8]
    assert ScoredBatch(prompts, [SCORES["induction"]]).queries == []


def test_a_pattern_without_a_needed_query_is_refused() -> None:
    pattern = HeadPattern(np.zeros((1, 1, 4)), Prompt(np.arange(4)), queries=(3,))
    with pytest.raises(ValueError, match="previous_token needs query 1"):
        previous_token(pattern)


def test_a_pattern_of_another_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a pattern"):
        HeadPattern(np.zeros((1, 3, 3)), Prompt(np.arange(4)))


def test_a_prompt_without_a_repeated_token_has_no_score_rather_than_zero() -> None:
    assert np.isnan(induction(random_pattern(np.random.default_rng(0), np.arange(5)))).all()


EXPLAINED = [*(f for f in PUBLIC if f.__name__ != "head_values"), selectivity_estimates]


@pytest.mark.parametrize("function", EXPLAINED, ids=lambda function: function.__name__)
def test_every_score_says_its_range_and_how_it_misleads(function: Callable[..., object]) -> None:
    text = inspect.getdoc(function) or ""
    assert "How it misleads:" in text
    assert "Range " in text


@pytest.mark.parametrize(
    "function", [f for f in EXPLAINED if "Example:" in (f.__doc__ or "")], ids=lambda f: f.__name__
)
def test_examples_run(function: Callable[..., object]) -> None:
    globs = {"np": np, "HeadPattern": HeadPattern, "Prompt": Prompt, function.__name__: function}
    (found,) = [t for t in doctest.DocTestFinder().find(function, globs=globs) if t.examples]
    said: list[str] = []
    assert doctest.DocTestRunner(verbose=False).run(found, out=said.append).failed == 0, "".join(said)

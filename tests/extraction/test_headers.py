"""The common beginning of contexts: found where it saves, and nothing else."""

from __future__ import annotations

from random import Random

import pytest

from pythia_geometry.extraction.probes.headers import FEWEST, has_header, saved_tokens, shared_header

HEADER = tuple(range(100, 100 + 2 * FEWEST))


def with_header(n: int, length: int = 5) -> list[tuple[int, ...]]:
    return [(*HEADER, k, *range(length)) for k in range(n)]


def test_the_examples_are_the_header_and_the_question_is_not() -> None:
    contexts = with_header(6)
    assert shared_header(contexts) == HEADER
    assert saved_tokens(contexts, HEADER) == 5 * len(HEADER)


def test_contexts_that_were_cut_do_not_hide_it() -> None:
    contexts = [*with_header(6), HEADER[9:], tuple(range(7))]
    Random(0).shuffle(contexts)
    assert shared_header(contexts) == HEADER
    assert saved_tokens(contexts, HEADER) == 5 * len(HEADER)
    assert not has_header(HEADER[9:], HEADER)


def test_a_context_goes_on_after_it_by_a_token_at_least() -> None:
    same = [HEADER] * 4
    assert shared_header(same) == HEADER[:-1]
    mixed = [*with_header(6), HEADER]
    found = shared_header(mixed)
    assert found in (HEADER, HEADER[:-1]) and sum(has_header(c, found) for c in mixed) >= 6


@pytest.mark.parametrize(
    "contexts", [[], [HEADER], [(0,)] * 9, [(*HEADER[: FEWEST - 1], k, 0) for k in range(9)], [(k,) for k in range(9)]]
)
def test_nothing_is_shared_where_it_saves_nothing(contexts: list[tuple[int, ...]]) -> None:
    assert shared_header(contexts) == ()
    assert saved_tokens(contexts, ()) == 0

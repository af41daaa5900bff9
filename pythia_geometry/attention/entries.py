"""Which entries of an attention pattern a head score counts, and how much: weights [query, key] of one prompt.

A score is then Σ weights · pattern, so that all scores of a batch are one matrix product. Every function gives None
where the prompt has nothing to score: the prompt is left out of the mean and not counted as 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.attention.pattern import Array, Prompt

TARGET = "target"


def previous_keys(prompt: Prompt) -> Array | None:
    """Key q − 1 of each query q ≥ 1."""
    return _mean(np.eye(prompt.n, k=-1, dtype=bool), _later(prompt))


def duplicate_keys(prompt: Prompt) -> Array | None:
    """Keys k < q that hold the query's own token, of each query that has one."""
    entries = _same_token(prompt) & _before(prompt)
    return _mean(entries, _rows(entries))


def induction_keys(prompt: Prompt) -> Array | None:
    """Keys k ≤ q whose token came right after an earlier copy of the query's token, of each query that has one."""
    entries = np.zeros((prompt.n, prompt.n), dtype=bool)
    entries[:, 1:] = (_same_token(prompt) & _before(prompt))[:, :-1]
    return _mean(entries, _rows(entries))


def first_key(prompt: Prompt) -> Array | None:
    """Key 0 of each query q ≥ 1."""
    entries = np.zeros((prompt.n, prompt.n), dtype=bool)
    entries[:, 0] = True
    return _mean(entries, _later(prompt))


def every_key(prompt: Prompt) -> Array | None:
    """All keys k ≤ q of each query q ≥ 1."""
    return _mean(_before(prompt) | np.eye(prompt.n, dtype=bool), _later(prompt))


def every_key_by_room(prompt: Prompt) -> Array | None:
    """All keys k ≤ q of each query q ≥ 1, over the largest entropy ln(q + 1) that the query can have."""
    weights = every_key(prompt)
    return None if weights is None else weights / np.log(np.maximum(np.arange(prompt.n), 1) + 1)[:, None]


def marked_keys(prompt: Prompt, mark: str = TARGET) -> Array | None:
    """The marked keys, of the query that predicts the answer."""
    if not prompt.marks.get(mark):
        return None
    entries = np.zeros((prompt.n, prompt.n), dtype=bool)
    entries[prompt.last, list(prompt.marks[mark])] = True
    return _mean(entries, _rows(entries))


def uniform_score(prompt: Prompt, weights: Array) -> float:
    """What a head scores that spreads its attention evenly: Σ weights / (q + 1)."""
    return float((weights.sum(axis=1) / np.arange(1, prompt.n + 1)).sum())


def _mean(entries: NDArray[np.bool_], queries: NDArray[np.bool_]) -> Array | None:
    """Weights of a mean over queries."""
    n = int(queries.sum())
    return np.asarray((entries & queries[:, None]) / n) if n else None


def _rows(entries: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Queries that have an entry."""
    return np.asarray(entries.any(axis=1))


def _later(prompt: Prompt) -> NDArray[np.bool_]:
    """Every query but the first, which can attend to itself alone."""
    return np.arange(prompt.n) >= 1


def _before(prompt: Prompt) -> NDArray[np.bool_]:
    return np.tri(prompt.n, k=-1, dtype=bool)


def _same_token(prompt: Prompt) -> NDArray[np.bool_]:
    return np.asarray(prompt.ids[:, None] == prompt.ids[None, :])

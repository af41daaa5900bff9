"""What the heads of a layer attend to, as one number a head and prompt.

Definitions are those of the literature on repeated random sequences, carried over to any prompt: a mean over the
queries at which the thing can happen. A head that always does it scores 1 (docs/heads.md has the differences from
TransformerLens). NaN for every head where a prompt has no such query.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import entr

from pythia_geometry.attention import entries
from pythia_geometry.attention.pattern import Array, HeadPattern, Prompt


@dataclass(frozen=True)
class HeadScore:
    """A score that is a weighted sum over a pattern.

    Attributes:
        name: Its name.
        entries: Weights [query, key] of a prompt, or None where it has nothing to score.
        of_entropy: Whether −p ln p is summed instead of p.
        absent: Why a prompt has nothing to score.
    """

    name: str
    entries: Callable[[Prompt], Array | None]
    of_entropy: bool = False
    absent: str = "prompt of one token"

    def __call__(self, pattern: HeadPattern) -> Array:
        """The score of each head [H].

        Raises:
            ValueError: If the pattern lacks a query that the score needs.
        """
        weights = self.entries(pattern.prompt)
        if weights is None:
            return np.full(len(pattern.p), np.nan)
        needed = np.flatnonzero(weights.any(axis=1))
        if missing := sorted(set(needed.tolist()) - set(pattern.held)):
            raise ValueError(f"{self.name} needs query {missing[0]}, which the pattern does not hold")
        p = entr(pattern.p) if self.of_entropy else pattern.p
        return np.asarray((p * weights[list(pattern.held)]).sum(axis=(1, 2)), dtype=float)


def previous_token(pattern: HeadPattern) -> Array:
    """Attention on the token before: the mean over queries q ≥ 1 of p[q, q − 1].

    Range 0 … 1; no unit. 1: the head always looks one token back.

    How it misleads: a head that spreads its attention evenly scores (1/(n − 1)) Σ 1/(q + 1), about .17 on 20 tokens,
    so short prompts look like previous-token heads. A head that prefers near keys scores without looking at exactly
    the one before.

    Source: the previous-token head of Elhage et al. 2021; `previous_token_head` of TransformerLens.

    Example:
        >>> steps = HeadPattern(np.eye(4, k=-1)[None], Prompt(np.arange(4)))
        >>> float(previous_token(steps)[0])
        1.0
    """
    return SCORES["previous_token"](pattern)


def duplicate_token(pattern: HeadPattern) -> Array:
    """Attention on earlier copies of the query's own token.

    The mean over queries that have one of Σ p[q, k] over keys k < q with x_k = x_q.

    Range 0 … 1; no unit. The diagonal does not count.

    How it misleads: the more copies there are, the more an even spread scores. Words that the tokenizer splits share
    pieces, and pieces count.

    Source: the duplicate-token head of Wang et al. 2022; `duplicate_token_head` of TransformerLens, which divides by
    the attention of all queries instead of those that have a copy.

    Example:
        >>> attends = np.zeros((1, 4, 4)); attends[0, 2, 0] = attends[0, 3, 1] = 1
        >>> float(duplicate_token(HeadPattern(attends, Prompt(np.array([5, 6, 5, 6]))))[0])
        1.0
    """
    return SCORES["duplicate_token"](pattern)


def induction(pattern: HeadPattern) -> Array:
    """Prefix matching: the mean over queries that have one of Σ p[q, k] over keys k ≤ q with x_{k−1} = x_q, k − 1 < q.

    On a sequence of N different tokens said twice, the key is q − N + 1: the token *after* the earlier copy.
    Range 0 … 1; no unit. A head on the earlier copy itself (key q − N) scores 0 here and 1 in `duplicate_token`.

    How it misleads: attention is not use. A head may look where induction would and copy nothing; read `copying` and
    the causal columns beside it. In natural prompts the earlier copy is often a comma or an article.

    Source: Olsson et al. 2022, prefix-matching score; there on repeated random sequences, over the second copy.

    Example:
        >>> attends = np.zeros((1, 4, 4)); attends[0, 2, 1] = attends[0, 3, 2] = 1
        >>> float(induction(HeadPattern(attends, Prompt(np.array([5, 6, 5, 6]))))[0])
        1.0
    """
    return SCORES["induction"](pattern)


def sink(pattern: HeadPattern) -> Array:
    """Attention on the first token: the mean over queries q ≥ 1 of p[q, 0].

    Range 0 … 1; no unit. Heads that have nothing to say rest there.

    How it misleads: where the first token is itself relevant (a short prompt, a list that starts at once), rest and use
    look the same. A head that spreads evenly scores as in `previous_token`.

    Source: Xiao et al. 2023, attention sinks.

    Example:
        >>> rests = np.zeros((1, 3, 3)); rests[0, :, 0] = 1
        >>> float(sink(HeadPattern(rests, Prompt(np.arange(3))))[0])
        1.0
    """
    return SCORES["sink"](pattern)


def entropy(pattern: HeadPattern) -> Array:
    """Entropy of attention in nats: the mean over queries q ≥ 1 of −Σ p ln p.

    Range 0 … mean ln(q + 1). 0: every query looks at one key.

    How it misleads: it grows with the length of the prompt. Compare it at one length, or read `entropy_share`. A sink
    is as sharp as an induction head.

    Example:
        >>> round(float(entropy(HeadPattern(np.array([[[1, 0], [0.5, 0.5]]]), Prompt(np.arange(2))))[0]), 4)
        0.6931
    """
    return SCORES["entropy"](pattern)


def entropy_share(pattern: HeadPattern) -> Array:
    """Entropy of attention over its largest: the mean over queries q ≥ 1 of (−Σ p ln p) / ln(q + 1).

    Range 0 … 1; no unit. 1: every query spreads its attention evenly.

    How it misleads: early queries, which have two or three keys, count as much as late ones. An even spread over two
    keys of thirty scores .2, not 0.

    Example:
        >>> even = np.tril(np.ones((3, 3))) / np.arange(1, 4)[:, None]
        >>> round(float(entropy_share(HeadPattern(even[None], Prompt(np.arange(3))))[0]), 6)
        1.0
    """
    return SCORES["entropy_share"](pattern)


def target_mass(pattern: HeadPattern) -> Array:
    """Attention on the marked keys, at the query that predicts the answer: Σ p[last, k] over the mark `target`.

    Range 0 … 1; no unit.

    How it misleads: a head that looks at every key of that distance, or at every noun, has mass on the target too:
    read `target_selectivity`. Of all heads of a model the sum is what rises with behaviour; the head that ends with
    most is often not the one that was first.

    Source: the relevant positions of arXiv 2606.25010; marks: docs/heads.md.

    Example:
        >>> looks = np.array([[[1, 0, 0], [0, 1, 0], [0.25, 0.75, 0]]])
        >>> float(target_mass(HeadPattern(looks, Prompt(np.arange(3), {"target": (1,)})))[0])
        0.75
    """
    return SCORES["target_mass"](pattern)


SCORES = {
    s.name: s
    for s in (
        HeadScore("previous_token", entries.previous_keys),
        HeadScore("duplicate_token", entries.duplicate_keys, absent="no repeated token"),
        HeadScore("induction", entries.induction_keys, absent="no repeated token"),
        HeadScore("sink", entries.first_key),
        HeadScore("entropy", entries.every_key, of_entropy=True),
        HeadScore("entropy_share", entries.every_key_by_room, of_entropy=True),
        HeadScore("target_mass", entries.marked_keys, absent="no mark 'target'"),
    )
}
"""Every score by name."""

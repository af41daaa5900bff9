"""All scores of a batch of patterns at once: two matrix products instead of a loop over prompts, scores and heads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from pythia_geometry.attention.pattern import Array, Prompt
from pythia_geometry.attention.scores import HeadScore

ALL = slice(None)


class ScoredBatch:
    """The scores of a batch of prompts, made ready once and then read at every layer.

    Attributes:
        prompts: The prompts.
        queries: Positions whose attention must be computed, for all prompts alike [Q].
        present: Whether a prompt has something to score [B, M].
        n_keys: Keys that must be computed: none lies after the last query.
    """

    def __init__(self, prompts: Sequence[Prompt], scores: Sequence[HeadScore], with_last: bool = False) -> None:
        """Lays the weights of all scores side by side.

        Args:
            prompts: The prompts.
            scores: The scores.
            with_last: Whether the query that predicts the answer is needed whatever the scores.
        """
        self.prompts = tuple(prompts)
        weights = [[score.entries(prompt) for score in scores] for prompt in self.prompts]
        needed = {int(q) for of_prompt in weights for w in of_prompt if w is not None for q in np.flatnonzero(w.any(1))}
        if with_last:
            needed |= {prompt.last for prompt in self.prompts}
        self.queries = sorted(needed)
        self.n_keys = 1 + max(self.queries, default=-1)
        self._entropic = np.array([score.of_entropy for score in scores], dtype=bool)
        self.present = np.array([[w is not None for w in of_prompt] for of_prompt in weights]).reshape(len(prompts), -1)
        self._weights = np.zeros((len(prompts), len(scores), len(self.queries), self.n_keys), dtype=np.float32)
        for b, of_prompt in enumerate(weights):
            for m, w in enumerate(of_prompt):
                if w is not None:
                    held = [q for q in self.queries if q < len(w)]
                    self._weights[b, m, : len(held), : len(w)] = w[held, : self.n_keys]

    def scores(self, p: NDArray[np.float32], part: slice = ALL) -> Array:
        """Scores [B, M, H] of patterns [B, H, Q, K], of all prompts or a part; NaN where one has nothing to score."""
        absent = ~self.present[part]
        found = np.full((*absent.shape, p.shape[1]), np.nan)
        for is_entropic in (False, True):
            chosen = self._entropic == is_entropic
            if chosen.any():
                read = entr(p) if is_entropic else p
                weights = self._weights[part][:, chosen].reshape(len(p), int(chosen.sum()), -1)
                found[:, chosen] = weights @ read.reshape(len(p), p.shape[1], -1).transpose(0, 2, 1)
        found[absent] = np.nan
        return found

    def last_rows(self, p: NDArray[np.float32], width: int, part: slice = ALL) -> Array:
        """Attention by age at the query that predicts the answer [B, H, width]: entry a is p[last, last − a].

        NaN at ages that the prompt does not have.
        """
        rows = np.full((len(p), p.shape[1], width), np.nan)
        for b, prompt in enumerate(self.prompts[part]):
            rows[b, :, : prompt.n] = p[b, :, self.queries.index(prompt.last), prompt.last :: -1]
        return rows

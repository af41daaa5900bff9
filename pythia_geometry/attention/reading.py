"""What is kept of the attention of one checkpoint on one probe: no pattern, only what the measures need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.attention.pattern import Array, Prompt


@dataclass(frozen=True, eq=False)
class HeadReading:
    """Reduced attention of every layer and head on every prompt.

    Attributes:
        prompts: The prompts, N of them.
        names: The scores that were taken, M of them.
        present: Whether a prompt has something to score [N, M].
        scores: Their values [L, N, M, H]; NaN where a prompt has nothing to score.
        last_rows: Attention by age at the query that predicts the answer [L, N, H, A]: entry a is p[last, last − a];
            NaN beyond the prompt's start.
        outputs: What each head adds there, before the output projection [L, N, H, D].
    """

    prompts: tuple[Prompt, ...]
    names: tuple[str, ...]
    present: NDArray[np.bool_]
    scores: Array
    last_rows: NDArray[np.float32]
    outputs: NDArray[np.float32]

    @property
    def n_layers(self) -> int:
        """Layers."""
        return len(self.scores)

    def score(self, name: str, layer: int) -> Array:
        """One score of one layer's heads [N, H].

        Raises:
            KeyError: If it was not taken.
        """
        return np.asarray(self.scores[layer, :, self.index(name)])

    def index(self, name: str) -> int:
        """Place of a score among those taken.

        Raises:
            KeyError: If it was not taken.
        """
        if name not in self.names:
            raise KeyError(f"the score {name!r} was not taken; there are {', '.join(self.names)}")
        return self.names.index(name)


def empty_reading(
    prompts: tuple[Prompt, ...], names: tuple[str, ...], n_layers: int, n_heads: int, depth: int
) -> HeadReading:
    """A reading of NaN, to be filled batch by batch."""
    n, longest = len(prompts), max(prompt.n for prompt in prompts)
    return HeadReading(
        prompts,
        names,
        np.zeros((n, len(names)), dtype=bool),
        np.full((n_layers, n, len(names), n_heads), np.nan),
        np.full((n_layers, n, n_heads, longest), np.nan, dtype=np.float32),
        np.full((n_layers, n, n_heads, depth), np.nan, dtype=np.float32),
    )

"""What a head score reads: a prompt's token ids and marks, and the attention pattern of a layer's heads on it.

Shape letters: H heads, Q queries held, T tokens of the prompt, N prompts of a probe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt as a model sees it.

    Attributes:
        ids: Token ids of the prompt, without the answer [T].
        marks: Token positions by name, such as `target`: where the answer can be read off.
        lost: Marks that the prompt had and that fall on no token of their own, and why.
    """

    ids: NDArray[np.int64]
    marks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Tokens."""
        return len(self.ids)

    @property
    def last(self) -> int:
        """The query that predicts the answer's first token."""
        return self.n - 1


@dataclass(frozen=True, eq=False)
class HeadPattern:
    """Attention of the heads of one layer on one prompt.

    Attributes:
        p: Attention of each held query on each key [H, Q, T]; rows sum to 1, keys after the query have 0.
        prompt: The prompt.
        queries: Which positions the queries are [Q]; all of them where empty.

    Raises:
        ValueError: If the shapes do not agree.
    """

    p: NDArray[np.floating]
    prompt: Prompt
    queries: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        wanted = (len(self.held), self.prompt.n)
        if self.p.ndim != 3 or self.p.shape[1:] != wanted:
            raise ValueError(f"needs a pattern [heads, {wanted[0]} queries, {wanted[1]} tokens]; got {self.p.shape}")

    @property
    def held(self) -> tuple[int, ...]:
        """Positions of the queries."""
        return self.queries or tuple(range(self.prompt.n))

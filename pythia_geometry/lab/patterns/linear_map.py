"""The linear map: S bits x0, then the S bits of x1 = A x0 (mod 2), where every row of A has s ones.

Output bit i is the parity of its s *parents*, so the attention that solves it is known: from the token that predicts
bit i to the parents of row i. Source: arXiv 2606.25010; what it leaves open is numbered in docs/assumptions.md.

The *leaking* form is the paper's: earlier output bits are inputs (teacher forcing). Where two rows differ in d
places, one output is the other plus d inputs, d + 1 tokens, and that may be fewer than s: a shorter route around the
parents. In the *masked* form a `?` stands for every output bit, so that no route but the parents exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.errors import PythiaGeometryError

LEAKING, MASKED = "leaking", "masked"
FORMS = (LEAKING, MASKED)
HIDDEN = 2  # the id of `?`
MAX_SIZE = 48  # bits of a state: an input is one whole number below 2^48
SMALLEST_HELD_OUT = 10  # bits; fewer make too few inputs to keep some from training
EXAMINED, EXAMINED_SEED = 256, 7919
MIX = 0x9E3779B97F4A7C15  # odd: multiplying by it spreads neighbouring numbers over all 64 bits

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class LinearMap:
    """One map and its form.

    Attributes:
        size: S, bits of a state.
        sparsity: s, ones in a row of A.
        form: `leaking` or `masked`.
        map_seed: Of A; all training seeds share one A, so that an output bit is the same thing in every run.
    """

    size: int
    sparsity: int
    form: str = LEAKING
    map_seed: int = 0

    def __post_init__(self) -> None:
        """Checks ranges.

        Raises:
            PythiaGeometryError: If a number or the form is out of its range.
        """
        if not 2 <= self.size <= MAX_SIZE:
            raise PythiaGeometryError(f"--size {self.size}: a state of the linear map has 2 to {MAX_SIZE} bits")
        if not 1 <= self.sparsity <= self.size:
            raise PythiaGeometryError(f"--sparsity {self.sparsity}: a row of A has 1 to {self.size} ones (--size)")
        if self.form not in FORMS:
            raise PythiaGeometryError(f"--form {self.form!r} is not one of: {', '.join(FORMS)}")

    vocabulary, answers = ("0", "1", "?"), ("0", "1")

    @property
    def name(self) -> str:
        """Such as `linear-map-16-3-masked`."""
        return f"linear-map-{self.size}-{self.sparsity}-{self.form}"

    @property
    def n_tokens(self) -> int:
        """Input tokens: x0 and all of x1 but its last bit."""
        return 2 * self.size - 1

    @property
    def queries(self) -> range:
        """Positions that predict an output bit."""
        return range(self.size - 1, 2 * self.size - 1)

    @property
    def trained(self) -> range:
        """Positions whose loss counts: the same."""
        return self.queries

    @property
    def possible(self) -> Bools:
        """Which token ids can stand at each position [n_tokens, 3]."""
        is_output = np.arange(self.n_tokens) >= self.size
        hidden = is_output & (self.form == MASKED)
        return np.stack([~hidden, ~hidden, hidden], axis=1)

    @cached_property
    def matrix(self) -> Ints:
        """A [S, S], rows drawn independently: equal rows can occur."""
        rng = np.random.default_rng([self.map_seed, self.size, self.sparsity])
        rows = np.zeros((self.size, self.size), dtype=np.int64)
        for row in rows:
            row[rng.choice(self.size, self.sparsity, replace=False)] = 1
        return rows

    @cached_property
    def parents(self) -> Bools:
        """Which tokens each output depends on [S, n_tokens]."""
        rest = np.zeros((self.size, self.size - 1), dtype=bool)
        return np.hstack([self.matrix.astype(bool), rest])

    def draw(self, rng: np.random.Generator, n: int, held_out: bool = False) -> tuple[Ints, Ints]:
        """Inputs [n, n_tokens] and right outputs [n, S], of training inputs or of the sixteenth that is held out.

        Below 10 bits nothing is held out: both draw from all 2^S inputs.
        """
        codes = rng.integers(0, 2**self.size, n)
        while self.size >= SMALLEST_HELD_OUT and (wrong := is_held_out(codes) != held_out).any():
            codes[wrong] = rng.integers(0, 2**self.size, int(wrong.sum()))
        return self.encoded(codes)

    def examined(self) -> tuple[Ints, Ints]:
        """Inputs and outputs that a model is asked for: all inputs below 10 bits, else 256 held-out ones."""
        if self.size < SMALLEST_HELD_OUT:
            return self.encoded(np.arange(2**self.size))
        return self.draw(np.random.default_rng([EXAMINED_SEED, self.size]), EXAMINED, held_out=True)

    def encoded(self, codes: Ints) -> tuple[Ints, Ints]:
        """Inputs and outputs of states given as whole numbers, the lowest bit first."""
        x0 = codes[:, None] >> np.arange(self.size) & 1
        x1 = x0 @ self.matrix.T % 2
        said = x1[:, :-1] if self.form == LEAKING else np.full_like(x1[:, :-1], HIDDEN)
        return np.hstack([x0, said]), x1

    def shortest_routes(self, through: int = 2) -> list[int]:
        """Fewest tokens from which each output bit follows [S]: s, or less through up to so many earlier outputs.

        An output is the sum (mod 2) of k earlier ones and of the inputs in which they differ: k + d tokens. In the
        masked form it is s.

        How it misleads: it counts tokens. A route of as many tokens as there are parents is no shorter and may still
        be the one that a model learns.
        """
        found = [self.sparsity] * self.size
        for i, row in enumerate(self.matrix if self.form == LEAKING else ()):
            for k in range(1, through + 1):
                for others in combinations(range(i), k):
                    rest = (row + self.matrix[list(others)].sum(axis=0)) % 2
                    found[i] = min(found[i], k + int(rest.sum()))
        return found


def is_held_out(codes: Ints) -> Bools:
    """Whether training never sees these inputs: one in sixteen, by a hash of the bits."""
    mixed = codes.astype(np.uint64) * np.uint64(MIX)
    return np.asarray(mixed >> np.uint64(60) == 0)

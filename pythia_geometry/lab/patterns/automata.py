"""Cellular automata: a row of cells in 4 colours, and how it goes on under a rule that only the earlier states tell.

A rule gives a cell's next colour from its own and its two neighbours' (64 entries, the row is a ring). Each sequence
draws one rule from a pool, a first state, and shows 16 states one after the other; the model must find out which rule
it is. Source: arXiv 2606.25010; what it leaves open is numbered in docs/assumptions.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.errors import PythiaGeometryError

COLOURS, STATES, RULES = 4, 16, 256
REACH = (-1, 0, 1)  # the cells of the state before that decide one
MAX_SIZE = 64
EXAMINED, EXAMINED_SEED = 64, 7919

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Automata:
    """A pool of rules on rows of one length.

    Attributes:
        size: S, cells of a state.
        map_seed: Of the pool; all training seeds share it.
    """

    size: int
    map_seed: int = 0

    def __post_init__(self) -> None:
        """Checks the size.

        Raises:
            PythiaGeometryError: If a state has fewer than 3 cells (neighbours would be the same cell) or too many.
        """
        if not 3 <= self.size <= MAX_SIZE:
            raise PythiaGeometryError(f"--size {self.size}: a state of the automata has 3 to {MAX_SIZE} cells")

    vocabulary = answers = ("0", "1", "2", "3")

    @property
    def name(self) -> str:
        """Such as `automata-8`."""
        return f"automata-{self.size}"

    @property
    def n_tokens(self) -> int:
        """Input tokens: all states but the last cell."""
        return STATES * self.size - 1

    @property
    def queries(self) -> range:
        """Positions that predict a cell of the last state, where the rule has been seen longest."""
        return range((STATES - 1) * self.size - 1, STATES * self.size - 1)

    @property
    def trained(self) -> range:
        """Positions whose loss counts: those that predict a cell of any state but the first."""
        return range(self.size - 1, STATES * self.size - 1)

    @cached_property
    def rules(self) -> Ints:
        """The pool [256, 64]: next colour by neighbourhood, 16 left + 4 own + right."""
        rng = np.random.default_rng([self.map_seed, RULES])
        return rng.integers(0, COLOURS, (RULES, COLOURS ** len(REACH)))

    @cached_property
    def parents(self) -> NDArray[np.bool_]:
        """The three cells of the state before that decide what each trained position predicts [15 S, n_tokens]."""
        marked = np.zeros((len(self.trained), self.n_tokens), dtype=bool)
        for row in range(len(self.trained)):
            state, cell = divmod(row, self.size)
            marked[row, [state * self.size + (cell + step) % self.size for step in REACH]] = True
        return marked

    def draw(self, rng: np.random.Generator, n: int, held_out: bool = False) -> tuple[Ints, Ints]:
        """Inputs [n, n_tokens] and, for every trained position, the right colour [n, 15 S].

        There are 256 · 4^S sequences, of which training sees few from S = 8 on: nothing is held out, whatever is asked.
        """
        rule = self.rules[rng.integers(0, RULES, n)]
        states = [rng.integers(0, COLOURS, (n, self.size))]
        for _ in range(STATES - 1):
            states.append(self.after(states[-1], rule))
        tokens = np.hstack(states)
        return tokens[:, :-1], tokens[:, self.size :]

    def examined(self) -> tuple[Ints, Ints]:
        """Sequences that a model is asked for, and the colours of their last state [64, S]."""
        inputs, colours = self.draw(np.random.default_rng([EXAMINED_SEED, self.size]), EXAMINED)
        return inputs, colours[:, -self.size :]

    def after(self, state: Ints, rule: Ints) -> Ints:
        """The next states [n, S] of states [n, S], each under its own rule [n, 64]."""
        left, right = np.roll(state, 1, axis=1), np.roll(state, -1, axis=1)
        return np.take_along_axis(rule, (left * COLOURS + state) * COLOURS + right, axis=1)

"""What a probe item, task and set are, and the balanced sampling that fills a task."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

ROWS = 128
"""Rows of every task: the permutation test needs prompt sets of one size."""

TRIES = 1000

Span = tuple[int, int]
"""First character, and the one after the last."""

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Item:
    """One prompt with its answer; `source` names the template family that made it, `marks` the words to look at."""

    prompt: str
    target: str
    distractors: tuple[str, ...]
    source: str
    marks: dict[str, list[Span]] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A named group of exchangeable prompts.

    Attributes:
        name: snake-case name, unique inside its set.
        difficulty: position on the family's graded axis.
        axis: what that number counts, in words.
        ending: the kind of token every prompt ends in, in words.
        draw: makes exactly `ROWS` items from a seeded generator.
    """

    name: str
    difficulty: float
    axis: str
    ending: str
    draw: Callable[[Random], list[Item]]


@dataclass(frozen=True)
class ProbeSet:
    """One file of the shipped probes."""

    name: str
    about: str
    tasks: tuple[Task, ...]


def answer(word: str | int) -> str:
    """A continuation in Pythia's BPE convention: it brings its own leading space."""
    return f" {word}"


def answers(words: Iterable[str | int]) -> tuple[str, ...]:
    """Several continuations, in the order given."""
    return tuple(answer(word) for word in words)


def deal(rng: Random, options: Sequence[T], rows: int = ROWS) -> list[T]:
    """Shuffled list of `rows` options in which each appears equally often, give or take one."""
    whole, rest = divmod(rows, len(options))
    dealt = list(options) * whole + rng.sample(list(options), rest)
    rng.shuffle(dealt)
    return dealt


def grid(rng: Random, *factors: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Full crossing of factors, repeated to `ROWS` and shuffled.

    The crossing must divide `ROWS`, so that every factor, and every pair of factors, is exactly balanced.
    """
    cells = list(itertools.product(*factors))
    if ROWS % len(cells):
        raise ValueError(f"{len(cells)} cells do not divide {ROWS} rows; deal one factor separately.")
    return deal(rng, cells)


def spread(rng: Random, facts: Sequence[T], templates: Sequence[U]) -> list[tuple[T, U]]:
    """`ROWS` different (fact, template) pairs with both margins as even as they can be."""
    if len(facts) * len(templates) < ROWS:
        raise ValueError(f"{len(facts)} facts x {len(templates)} templates cannot fill {ROWS} rows.")
    order = rng.sample(list(facts), len(facts))
    pairs = []
    for row in range(ROWS):
        turn, place = divmod(row, len(order))
        pairs.append((order[place], templates[(place + turn) % len(templates)]))
    rng.shuffle(pairs)
    return pairs


def collect(cells: Iterable[Any], make: Callable[[Any], Item]) -> list[Item]:
    """One item per cell, drawing again until its prompt is new."""
    items: dict[str, Item] = {}
    for cell in cells:
        for _ in range(TRIES):
            item = make(cell)
            if item.prompt not in items:
                items[item.prompt] = item
                break
        else:
            raise ValueError(f"No new prompt for {cell!r} in {TRIES} tries; widen the template's words.")
    return list(items.values())


def mention(prompt: str, word: str | int, last: bool = False) -> Span:
    """The first, or last, place where a whole word stands in a prompt."""
    found = [match.span() for match in re.finditer(rf"(?<!\w){re.escape(str(word))}(?!\w)", prompt)]
    return found[-1 if last else 0]


def others(rng: Random, pool: Iterable[T], count: int, banned: Iterable[T]) -> list[T]:
    """`count` different members of `pool`, none of them banned; the pool's order fixes the draw."""
    barred = set(banned)
    return rng.sample([word for word in dict.fromkeys(pool) if word not in barred], count)


def source(family: str, index: int) -> str:
    """Template family id, e.g. ``template:agreement/pp-attractor/07``."""
    return f"template:{family}/{index:02d}"

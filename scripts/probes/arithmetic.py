"""Arithmetic: sums, differences and products after two worked examples, sums in words, comparisons."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from .items import (
    ROWS,
    TRIES,
    Item,
    ProbeSet,
    Task,
    answer,
    answers,
    collect,
    deal,
    grid,
    others,
    source,
    spread,
)
from .words import listed

JOINERS = [", ", "; ", " and ", " | ", " / ", ". ", " so ", "\n"]

NUMBER_WORDS = listed(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty
    """
)
WORD_FRAMES = [
    "We know that {} plus {} equals",
    "They say that {} plus {} equals",
    "You see that {} plus {} equals",
    "I learned that {} plus {} equals",
    "We know that {} plus {} makes",
    "They say that {} plus {} makes",
    "You see that {} plus {} makes",
    "I learned that {} plus {} makes",
]

LARGER = ["larger", "bigger", "greater", "higher"]
SMALLER = ["smaller", "smaller", "lesser", "lower"]
COMPARE_FRAMES = [
    "Which is {}, {} or {}? Answer:",
    "What is {}, {} or {}? Answer:",
    "Which is the {}: {} or {}? Answer:",
    "Choose the {}: {} or {}. Answer:",
]
RANGES = {1: range(1, 10), 2: range(10, 100), 3: range(100, 558)}
"""Numbers by digits; 557 is the last that, with all before it, is one Pythia token."""


@dataclass(frozen=True)
class Operation:
    """A sign, what it computes, and the operands it is asked about."""

    sign: str
    compute: Callable[[int, int], int]
    operands: tuple[tuple[int, int], ...]

    def solve(self, pair: tuple[int, int]) -> int:
        """The right answer."""
        return self.compute(*pair)

    def text(self, pair: tuple[int, int]) -> str:
        """The question up to and with its equals sign."""
        return f"{pair[0]} {self.sign} {pair[1]} ="


def _sums(low: int, high: int) -> Operation:
    numbers = range(low, high + 1)
    return Operation("+", operator.add, tuple((a, b) for a in numbers for b in numbers))


def _differences(low: int, high: int) -> Operation:
    numbers = range(low, high + 1)
    return Operation("-", operator.sub, tuple((a, b) for a in numbers for b in numbers if a > b))


OPERATIONS = {
    "sum_1": _sums(1, 9),
    "sum_2": _sums(10, 99),
    "sum_3": _sums(100, 278),
    "difference_1": _differences(1, 9),
    "difference_2": _differences(10, 99),
    "product_1": Operation("*", operator.mul, tuple((a, b) for a in range(2, 10) for b in range(2, 10))),
}


def _by_result(operation: Operation) -> dict[int, list[tuple[int, int]]]:
    table: dict[int, list[tuple[int, int]]] = {}
    for pair in operation.operands:
        table.setdefault(operation.solve(pair), []).append(pair)
    return table


def _wrong(rng: Random, target: int, tempting: Sequence[int]) -> tuple[str, ...]:
    """Two near misses and one number that a copying model would say."""
    steps = (1, 2, 10) if target > 10 else (1, 2, 3)
    near = [n for step in steps for n in (target - step, target + step) if 0 < n < RANGES[3].stop]
    copied = rng.choice([n for n in tempting if n != target])
    return answers([*others(rng, near, 2, {copied}), copied])


def calculation(rng: Random, name: str) -> list[Item]:
    """A calculation after two worked ones; the answer is nowhere in the prompt."""
    operation = OPERATIONS[name]
    table = _by_result(operation)
    results = deal(rng, sorted(table), ROWS) if len(table) < ROWS else rng.sample(sorted(table), ROWS)
    joiners = deal(rng, range(len(JOINERS)))

    def make(row: int) -> Item:
        target, joiner = results[row], joiners[row]
        for _ in range(TRIES):
            query = rng.choice(table[target])
            shots = rng.sample(operation.operands, 2)
            seen = {*query, *(n for shot in shots for n in (*shot, operation.solve(shot)))}
            if target not in seen:
                break
        else:
            raise ValueError(f"{name}: every prompt for {target} gives the answer away.")
        solved = [operation.solve(shot) for shot in shots]
        worked = [f"{operation.text(shot)} {result}" for shot, result in zip(shots, solved, strict=True)]
        prompt = JOINERS[joiner].join([*worked, operation.text(query)])
        return Item(prompt, answer(target), _wrong(rng, target, solved), source(f"calculation/{name}", joiner))

    return collect(range(ROWS), make)


def sum_words(rng: Random) -> list[Item]:
    """A sum of one-digit numbers in words."""
    table = _by_result(OPERATIONS["sum_1"])

    def make(cell: tuple[int, int]) -> Item:
        total, frame = cell
        first, second = rng.choice([pair for pair in table[total] if total not in pair])
        prompt = WORD_FRAMES[frame].format(NUMBER_WORDS[first], NUMBER_WORDS[second])
        wrong = others(rng, range(max(1, total - 2), total + 3), 3, {total})
        return Item(
            prompt,
            answer(NUMBER_WORDS[total]),
            answers(NUMBER_WORDS[n] for n in wrong),
            source("sum-words/sentence", frame),
        )

    return collect(spread(rng, [n for n in table if 2 < n < 18] * 2, range(len(WORD_FRAMES))), make)


def comparison(rng: Random, digits: int) -> list[Item]:
    """The larger or smaller of two numbers, which come in either order."""

    def make(cell: tuple[int, int, int, int]) -> Item:
        frame, word, smaller, first = cell
        low, high = sorted(rng.sample(RANGES[digits], 2))
        target, wrong = (low, high) if smaller else (high, low)
        shown = (target, wrong) if first else (wrong, target)
        asked = (SMALLER if smaller else LARGER)[word]
        prompt = COMPARE_FRAMES[frame].format(asked, *shown)
        return Item(prompt, answer(target), answers([wrong]), source(f"comparison/{asked}", frame))

    return collect(grid(rng, range(len(COMPARE_FRAMES)), range(len(LARGER)), (0, 1), (0, 1)), make)


def _level(name: str) -> int:
    return int(name[-1])


TASKS = (
    *(Task(name, _level(name), "digits of the operands", "=", partial(calculation, name=name)) for name in OPERATIONS),
    Task("sum_words", 1, "digits of the operands", "equals or makes", sum_words),
    *(Task(f"compare_{n}", n, "digits of the numbers", ":", partial(comparison, digits=n)) for n in RANGES),
)

ARITHMETIC = ProbeSet("arithmetic", "Calculations and comparisons of whole numbers.", TASKS)

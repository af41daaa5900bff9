"""Eight algorithmic tasks at three levels each: exact generators with exact answers.

A task turns a level's *size* (digits, bits or a modulus) and a random generator into a prompt and
its answer, both lists of tokens. Text is tokens joined by single spaces: `MOD 5 , 4 % 7 =` → `2`.
The format is assumption A12 in docs/assumptions.md; the vocabulary fits 32 ids.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from pythia_geometry.errors import PythiaGeometryError

DIGITS = tuple("0123456789")
EQUALS, COMMA, PERCENT = "=", ",", "%"
LESS, GREATER, SAME = "<", ">", "same"
PAD = "[PAD]"

Problem = tuple[list[str], list[str]]
"""Prompt tokens and answer tokens."""


@dataclass(frozen=True)
class Task:
    """One algorithmic task.

    Attributes:
        name: Upper-case name, also its first token.
        sizes: The size of each level, easiest first.
        unit: What a size counts ("digits", "bits", "modulus").
        make: Draws one problem of the given size.
        space: How many different inputs a size has.
        answers: The closed set of answers, empty where the answer is a string of digits.
        n_default: How many levels a run trains on when none are named; the rest are trained only by name
            (`PAR4`), because no model here may ever learn them.
    """

    name: str
    sizes: tuple[int, ...]
    unit: str
    make: Callable[[Random, int], Problem]
    space: Callable[[int], int]
    answers: tuple[str, ...] = ()
    n_default: int = 3


@dataclass(frozen=True)
class TaskLevel:
    """A task at one level, such as MOD2 (addition modulo 23).

    Attributes:
        task: The task.
        level: 1 is the easiest.
        answer_tokens: A planted bend: answers are said again until they have this many tokens, and no token of one
            can be read off another (batches.py). Exact match then needs all of them right at once; the mean
            log-probability of a token does not. 0 plants nothing.
    """

    task: Task
    level: int
    answer_tokens: int = 0

    @property
    def name(self) -> str:
        """The label used in every table, such as `MOD2`."""
        return f"{self.task.name}{self.level}"

    @property
    def size(self) -> int:
        """Digits, bits or modulus of this level."""
        return self.task.sizes[self.level - 1]

    @property
    def is_default(self) -> bool:
        """Whether its task's name alone means it too."""
        return self.level <= self.task.n_default

    @property
    def holds_out(self) -> bool:
        """Whether a tenth of the inputs is kept from training (assumption A13: spaces of 5,000 or more)."""
        return self.task.space(self.size) >= 5_000

    def problems(self, rng: Random, held_out: bool) -> Iterator[Problem]:
        """Draws problems for ever, from the held-out inputs or from the training inputs.

        Where the space is too small to hold anything out, both draw from the whole space.
        """
        while True:
            prompt, answer = self.task.make(rng, self.size)
            if not self.holds_out or is_held_out(prompt) == held_out:
                yield prompt, self.said(answer)

    def said(self, answer: Sequence[str]) -> list[str]:
        """The answer as it is asked for: once, or as often as a planted bend wants."""
        return [*answer] * max(1, -(-self.answer_tokens // len(answer)))


def is_held_out(prompt: list[str]) -> bool:
    """Whether this input belongs to the tenth that training never sees."""
    return zlib.crc32(" ".join(prompt).encode()) % 10 == 0


def _digits(number: int, width: int) -> list[str]:
    return list(f"{number:0{width}d}")


def _draw(rng: Random, n_digits: int) -> list[str]:
    return rng.choices(DIGITS, k=n_digits)


def _copy(rng: Random, n_digits: int) -> Problem:
    operand = _draw(rng, n_digits)
    return ["COPY", *operand, EQUALS], operand


def _reverse(rng: Random, n_digits: int) -> Problem:
    operand = _draw(rng, n_digits)
    return ["REV", *operand, EQUALS], operand[::-1]


def _sort(rng: Random, n_digits: int) -> Problem:
    operand = _draw(rng, n_digits)
    return ["SORT", *operand, EQUALS], sorted(operand)


def _compare(rng: Random, n_digits: int) -> Problem:
    """Two numbers with a shared prefix of uniform random length, else nearly none would be the same."""
    shared = rng.randint(0, n_digits)
    a = _draw(rng, n_digits)
    b = a[:shared] + _draw(rng, n_digits - shared)
    answer = LESS if a < b else GREATER if a > b else SAME
    return ["CMP", *a, COMMA, *b, EQUALS], [answer]


def _parity(rng: Random, n_bits: int) -> Problem:
    bits = rng.choices("01", k=n_bits)
    return ["PAR", *bits, EQUALS], [str(bits.count("1") % 2)]


def _add(rng: Random, n_digits: int) -> Problem:
    a, b = (rng.randrange(10**n_digits) for _ in range(2))
    operands = [*_digits(a, n_digits), COMMA, *_digits(b, n_digits)]
    return ["ADD", *operands, EQUALS], _digits(a + b, n_digits + 1)


def _modular_add(rng: Random, modulus: int) -> Problem:
    width = len(str(modulus))
    a, b = rng.randrange(modulus), rng.randrange(modulus)
    operands = [*_digits(a, width), COMMA, *_digits(b, width), PERCENT, *_digits(modulus, width)]
    return ["MOD", *operands, EQUALS], _digits((a + b) % modulus, width)


def _multiply(rng: Random, size: int) -> Problem:
    """Level sizes 1, 2, 3 are 1 × 1, 2 × 1 and 2 × 2 digits."""
    left, right = {1: (1, 1), 2: (2, 1), 3: (2, 2)}[size]
    a, b = rng.randrange(10**left), rng.randrange(10**right)
    operands = [*_digits(a, left), COMMA, *_digits(b, right)]
    return ["MUL", *operands, EQUALS], _digits(a * b, left + right)


def _power_space(exponent: int) -> int:
    return int(10**exponent)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("COPY", (4, 6, 8), "digits", _copy, _power_space),
        Task("REV", (4, 6, 8), "digits", _reverse, _power_space),
        Task("SORT", (4, 6, 8), "digits", _sort, _power_space),
        Task("CMP", (2, 3, 4), "digits", _compare, lambda n: 10 ** (2 * n), (LESS, GREATER, SAME)),
        Task("PAR", (3, 4, 6, 8, 10), "bits", _parity, lambda n: 2**n, ("0", "1")),
        Task("ADD", (1, 2, 3), "digits", _add, lambda n: 10 ** (2 * n)),
        Task("MOD", (7, 23, 97), "modulus", _modular_add, lambda p: p * p),
        Task("MUL", (1, 2, 3), "digit product", _multiply, lambda n: 10 ** (n + 1)),
    )
}

_SHIPPED = tuple(TASKS)

QUICK = "quick"
SETS = {
    QUICK: ("COPY", "REV", "SORT", "ADD1", "MUL1", "MUL2", "CMP1", "PAR1", "PAR2", "MOD1"),
}
"""Names that stand for several: `quick` is the sixteen levels that the smallest scale learns within 6,000 steps."""

MAX_TOKENS = 32
"""Ids of the vocabulary, and tokens of a problem: what a lab model has room for."""

_BASE = (PAD, *DIGITS, EQUALS, COMMA, PERCENT, LESS, GREATER, SAME)


def vocabulary() -> tuple[str, ...]:
    """All tokens in the order of their ids; a registered task's name comes last."""
    return (*_BASE, *TASKS)


def default_levels() -> tuple[TaskLevel, ...]:
    """The 24 levels a run trains on when none are named: three of each task above. Their probes ship."""
    return tuple(level for level in all_levels() if level.is_default and level.task.name in _SHIPPED)


def all_levels() -> tuple[TaskLevel, ...]:
    """Every level, also those that a run must name."""
    return tuple(TaskLevel(task, i + 1) for task in TASKS.values() for i in range(len(task.sizes)))


def register(task: Task) -> None:
    """Adds a task, to be trained by its name: `Training(tasks=("DBL",))`.

    Its name becomes one token of the vocabulary, so a suite that was trained before is not changed by it.

    Raises:
        PythiaGeometryError: If the name is taken or no plain upper-case word, the vocabulary is full, or a level
            makes a problem that a lab model cannot read (a token outside the vocabulary, a prompt that does not
            run from the task's name to `=`, lengths that differ, more than 32 tokens).

    Example:
        >>> def double(rng, n_digits):
        ...     number = rng.randrange(10**n_digits)
        ...     return ["DBL", *f"{number:0{n_digits}d}", "="], list(f"{2 * number:0{n_digits + 1}d}")
        >>> register(Task("DBL", (1, 2, 3), "digits", double, lambda n: 10**n))
    """
    if task.name in TASKS or not re.fullmatch(r"[A-Z]+", task.name):
        raise PythiaGeometryError(
            f"A task needs a name of its own in capital letters; got {task.name!r}. Taken: {', '.join(TASKS)}"
        )
    if len(vocabulary()) >= MAX_TOKENS:
        raise PythiaGeometryError(f"The lab's vocabulary of {MAX_TOKENS} tokens is full: no room for {task.name}")
    known = {*vocabulary(), task.name} - {PAD}
    for size in task.sizes:
        _check(task, size, known)
    TASKS[task.name] = task


def _check(task: Task, size: int, known: set[str]) -> None:
    rng = Random(0)
    drawn = [task.make(rng, size) for _ in range(100)]
    where = f"{task.name} of {size} {task.unit}"
    if strange := {token for prompt, answer in drawn for token in [*prompt, *answer]} - known:
        raise PythiaGeometryError(f"{where} uses {sorted(strange)[0]!r}. Tokens: {' '.join(sorted(known))}")
    if any(prompt[0] != task.name or prompt[-1] != EQUALS or not answer for prompt, answer in drawn):
        raise PythiaGeometryError(f"{where}: a prompt must run from {task.name!r} to '=', and an answer follow")
    lengths = {(len(prompt), len(answer)) for prompt, answer in drawn}
    if len(lengths) > 1 or max(map(sum, lengths)) > MAX_TOKENS:
        raise PythiaGeometryError(
            f"{where} makes problems of {sorted(lengths)} tokens. All must have one length, at most {MAX_TOKENS} in all"
        )


def levels_named(names: tuple[str, ...]) -> tuple[TaskLevel, ...]:
    """Task-levels by name (`MOD2`, `MOD` for its default levels, or a set, `quick`); the default levels where empty.

    Raises:
        PythiaGeometryError: If a name is unknown.
    """
    known = {level.name: level for level in all_levels()}
    chosen: dict[str, TaskLevel] = {}
    for name in [one for given in names for one in SETS.get(given, (given,))]:
        found = (
            [known[name]] if name in known else [lv for lv in known.values() if lv.is_default and lv.task.name == name]
        )
        if not found:
            raise PythiaGeometryError(
                f"There is no task-level {name!r}. Tasks: {', '.join(TASKS)}, each alone or with a level: "
                f"{', '.join(known)}; sets: {', '.join(SETS)}"
            )
        chosen |= {level.name: level for level in found}
    return tuple(chosen.values()) or default_levels()

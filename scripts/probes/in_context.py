"""In-context learning: a rule that only the examples in the prompt can tell."""

from __future__ import annotations

from functools import partial
from random import Random
from string import ascii_uppercase

from .items import ROWS, Item, ProbeSet, Task, answer, answers, collect, deal, grid, source
from .words import CATEGORIES, PAIRS, THINGS, overlapping

FORMATS = [
    ("Pairs:", " ->", ","),
    ("Rules:", " =>", ";"),
    ("List:", " =", ","),
    ("Table:", ":", ";"),
    ("Map:", " ->", ";"),
    ("Lines:", " =>", ","),
    ("Data:", " =", ";"),
    ("Key:", ":", ","),
]
"""Header, mapping sign and separator of a list of examples."""

LABELS = [
    ("red", "blue"),
    ("left", "right"),
    ("north", "south"),
    ("one", "two"),
    ("up", "down"),
    ("round", "square"),
    ("X", "Y"),
    ("sun", "moon"),
]
PATTERN_FORMATS = [
    ("Words:", ","),
    ("Words:", ";"),
    ("Rows:", ","),
    ("Rows:", ";"),
    ("Rhythm:", ","),
    ("Pattern:", ";"),
    ("Lines:", ","),
    ("Lines:", ";"),
]
CLASSES = [name for name in CATEGORIES if name != "animal"]


def _listing(frame: int, shots: list[tuple[str, str]], query: str) -> str:
    """Examples and the open question in one of the formats."""
    header, sign, separator = FORMATS[frame]
    shown = [f" {left}{sign} {right}{separator}" for left, right in shots]
    return header + "".join(shown) + f" {query}{sign}"


def plural(rng: Random, shots: int) -> list[Item]:
    """Singular to plural. Distractors: the word itself, and the last example's plural."""

    def make(frame: int) -> Item:
        *seen, (one, many) = rng.sample(PAIRS, shots + 1)
        wrong = answers([one, seen[-1][1]])
        return Item(_listing(frame, seen, one), answer(many), wrong, source(f"plural/{shots}-shot", frame))

    return collect(deal(rng, range(len(FORMATS))), make)


def next_letter(rng: Random, shots: int) -> list[Item]:
    """A letter to the one after it; the answer is nowhere in the prompt."""
    targets = deal(rng, range(1, len(ascii_uppercase)))
    frames = deal(rng, range(len(FORMATS)))

    def make(row: int) -> Item:
        target, frame = targets[row], frames[row]
        starts = rng.sample([n for n in range(25) if n not in (target, target - 1)], shots)
        seen = [(ascii_uppercase[n], ascii_uppercase[n + 1]) for n in starts]
        query = ascii_uppercase[target - 1]
        wrong = [query, ascii_uppercase[target + 1 if target < 25 else target - 2]]
        prompt = _listing(frame, seen, query)
        family = f"next-letter/{shots}-shot"
        return Item(prompt, answer(ascii_uppercase[target]), answers(wrong), source(family, frame))

    return collect(range(ROWS), make)


def _label_order(rng: Random, shots: int, first: int, last: int) -> list[int]:
    """Which shots are of the asked class (1) or the other (0), half each, both ends given."""
    if shots == 2:
        return [first, 1 - first]
    middle = [1] * (shots // 2 - first - last) + [0] * (shots // 2 - (1 - first) - (1 - last))
    rng.shuffle(middle)
    return [first, *middle, last]


def label(rng: Random, shots: int) -> list[Item]:
    """Arbitrary label of a word's category. First and last label shown are right half of the time."""

    def make(cell: tuple[int, int, int]) -> Item:
        frame, first, last = cell
        right, wrong = rng.sample(rng.choice(LABELS), 2)
        asked = rng.choice(CLASSES)
        other = rng.choice([name for name in CLASSES if name not in overlapping(asked)])
        order = _label_order(rng, shots, first, last)
        pools = {1: rng.sample(CATEGORIES[asked], 4), 0: rng.sample(CATEGORIES[other], 4)}
        query = pools[1].pop()
        seen = [(pools[kind].pop(), right if kind else wrong) for kind in order]
        family = f"label/{shots}-shot"
        return Item(_listing(frame, seen, query), answer(right), answers([wrong]), source(family, frame))

    return collect(grid(rng, range(len(FORMATS)), (0, 1), (0, 1)), make)


def pattern(rng: Random, shots: int) -> list[Item]:
    """Third word of a triple that follows ABA or ABB like the triples before it."""

    def make(cell: tuple[int, int]) -> Item:
        frame, back = cell
        header, separator = PATTERN_FORMATS[frame]
        words = rng.sample(THINGS, 2 * (shots + 1))
        couples = list(zip(words[::2], words[1::2], strict=True))
        first, second = couples.pop()
        triples = [f" {a} {b} {a if back else b}{separator}" for a, b in couples]
        right, wrong = (first, second) if back else (second, first)
        prompt = header + "".join(triples) + f" {first} {second}"
        family = f"pattern/{'aba' if back else 'abb'}"
        return Item(prompt, answer(right), answers([wrong]), source(family, frame))

    return collect(grid(rng, range(len(PATTERN_FORMATS)), (0, 1)), make)


TASKS = (
    *(Task(f"plural_{k}", k, "examples", "mapping sign", partial(plural, shots=k)) for k in (1, 2, 4)),
    *(Task(f"next_letter_{k}", k, "examples", "mapping sign", partial(next_letter, shots=k)) for k in (1, 2, 4, 8)),
    *(Task(f"label_{k}", k, "examples", "mapping sign", partial(label, shots=k)) for k in (2, 4, 6)),
    *(Task(f"pattern_{k}", k, "example triples", "noun", partial(pattern, shots=k)) for k in (1, 2, 4)),
)

IN_CONTEXT = ProbeSet("in_context", "A rule that only the examples in the prompt can tell.", TASKS)

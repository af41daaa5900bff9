"""Induction: the word that followed the last time, among random words or in a table of pairs."""

from __future__ import annotations

from functools import partial
from random import Random

from .items import ROWS, Item, ProbeSet, Task, answer, answers, collect, deal, mention, others, source
from .words import THINGS, listed

HEADERS = ["Words:", "List:", "Items:", "Names:", "Notes:", "Data:", "Text:", "Lines:"]
LENGTH = 26
"""Words of every completion prompt, so that distance changes and length does not."""

SEPARATORS = [",", ";"]
COLORS = listed(
    """
    red blue green black white yellow orange purple pink brown gray gold silver
    """
)
KEYS = [word for word in THINGS if word not in COLORS]


def completion(rng: Random, distance: int) -> list[Item]:
    """A B … A, to be followed by B; `distance` words, give or take a quarter, lie between B and the second A.

    The three distractors are in the prompt. The answer is first to fourth among them equally often.
    """
    slack = distance // 4
    ranks = deal(rng, range(4))
    frames = deal(rng, range(len(HEADERS)))
    gaps = deal(rng, range(distance - slack, distance + slack + 1))

    def make(row: int) -> Item:
        rank, frame, gap = ranks[row], frames[row], gaps[row]
        words = rng.sample(THINGS, LENGTH - 1)
        cue = LENGTH - 3 - gap
        wrong = [*rng.sample(words[:cue], rank), *rng.sample(words[cue + 2 :], 3 - rank)]
        prompt = f"{HEADERS[frame]} {' '.join(words)} {words[cue]}"
        family = f"completion/distance-{distance}"
        marks = {"target": [mention(prompt, words[cue + 1])], "cue": [mention(prompt, words[cue])]}
        return Item(prompt, answer(words[cue + 1]), answers(wrong), source(family, frame), marks)

    return collect(range(ROWS), make)


def recall(rng: Random, pairs: int) -> list[Item]:
    """The color listed with a thing. The answer's place among itself and its distractors is uniform."""
    shown = min(pairs, 4)
    ranks = deal(rng, range(shown))
    targets = deal(rng, COLORS)
    frames = deal(rng, [(header, mark) for header in HEADERS[:4] for mark in SEPARATORS])

    def make(row: int) -> Item:
        header, mark = frames[row]
        keys, values = rng.sample(KEYS, pairs), others(rng, COLORS, pairs - 1, {targets[row]})
        places = sorted(rng.sample(range(pairs), shown))
        place = places.pop(ranks[row])
        values.insert(place, targets[row])
        table = "".join(f" {key}: {value}{mark}" for key, value in zip(keys, values, strict=True))
        prompt = f"{header}{table} {keys[place]}:"
        frame = HEADERS.index(header) * len(SEPARATORS) + SEPARATORS.index(mark)
        wrong = answers(values[other] for other in places)
        marks = {"target": [mention(prompt, values[place])], "cue": [mention(prompt, keys[place])]}
        return Item(prompt, answer(values[place]), wrong, source(f"recall/{pairs}-pair", frame), marks)

    return collect(range(ROWS), make)


TASKS = (
    *(
        Task(
            f"induction_{d}",
            d,
            "words between the answer and its cue's return",
            "noun",
            partial(completion, distance=d),
        )
        for d in (4, 8, 16)
    ),
    *(Task(f"recall_{n}", n, "pairs in the table", ":", partial(recall, pairs=n)) for n in (2, 4, 8)),
)

INDUCTION = ProbeSet("induction", "The word that followed the last time.", TASKS)

"""Copying: say a list of random words again, from its start or from the middle."""

from __future__ import annotations

from functools import partial
from random import Random

from .items import ROWS, Item, ProbeSet, Task, answer, answers, collect, deal, mention, others, source
from .words import THINGS

FORMATS = [
    ("Words:", "Again:"),
    ("List:", "Copy:"),
    ("First:", "Again:"),
    ("Original:", "Copy:"),
    ("Once:", "Twice:"),
    ("Text:", "Repeat:"),
    ("Say:", "Repeat:"),
    ("Read:", "Write:"),
]


def _reordered(rng: Random, words: list[str]) -> list[str]:
    """The same words in an order that differs from the first word on."""
    first = rng.choice(words[1:])
    rest = [word for word in words if word != first]
    rng.shuffle(rest)
    return [first, *rest]


def whole(rng: Random, length: int) -> list[Item]:
    """The whole list again. Distractor: the same words in another order; for one word, two other words."""

    def make(frame: int) -> Item:
        words = rng.sample(THINGS, length)
        text = " ".join(words)
        head, again = FORMATS[frame]
        wrong = others(rng, THINGS, 2, words) if length == 1 else [" ".join(_reordered(rng, words))]
        prompt = f"{head} {text}. {again}"
        marks = {"target": [mention(prompt, words[0])]}
        return Item(prompt, answer(text), answers(wrong), source(f"copy/{length}-word", frame), marks)

    return collect(deal(rng, range(len(FORMATS))), make)


def resume(rng: Random, length: int) -> list[Item]:
    """The word after two listed ones that are said again.

    The two distractors are listed too. The answer is first, second or third among them equally often.
    """
    ranks = deal(rng, range(3))
    frames = deal(rng, range(len(FORMATS)))

    def make(row: int) -> Item:
        rank, frame = ranks[row], frames[row]
        words = rng.sample(THINGS, length)
        place = rng.randrange(2 + rank, length - 2 + rank)
        wrong = [*rng.sample(words[: place - 2], rank), *rng.sample(words[place + 1 :], 2 - rank)]
        head, again = FORMATS[frame]
        prompt = f"{head} {' '.join(words)}. {again} {words[place - 2]} {words[place - 1]}"
        marks = {"target": [mention(prompt, words[place])], "cue": [mention(prompt, words[place - 1])]}
        return Item(prompt, answer(words[place]), answers(wrong), source(f"resume/{length}-word", frame), marks)

    return collect(range(ROWS), make)


TASKS = (
    *(Task(f"copy_{n}", n, "words in the list", ":", partial(whole, length=n)) for n in (1, 2, 4, 8)),
    *(Task(f"resume_{n}", n, "words in the list", "noun", partial(resume, length=n)) for n in (6, 12, 24)),
)

COPYING = ProbeSet("copying", "Say a list of random words again, from its start or from the middle.", TASKS)

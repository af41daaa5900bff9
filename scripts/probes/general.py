"""General text: everyday English whose next word most readers would guess, by length of context."""

from __future__ import annotations

import re
from functools import partial
from random import Random

from .items import Item, ProbeSet, Task, answer, answers, collect, grid, others, source, spread
from .passages import BINOMIALS, CONFUSABLE, ERRANDS, IDIOMS, SCENES
from .words import NAMES

QUOTES = [
    "She wrote:",
    "He said:",
    "I read:",
    "We heard:",
    "They sang:",
    "You wrote:",
    "She said:",
    "He read:",
]

LEADS = [
    "In fact,",
    "Of course,",
    "You see,",
    "I mean,",
    "As they say,",
    "In the end,",
    "As we know,",
    "As my father said,",
    "As people often say,",
    "As they always say,",
    "As my father often said,",
    "As the old saying goes,",
    "As we like to say,",
    "As my mother used to say,",
    "As people here like to say,",
    "As one of us once said,",
]
"""Openings of a saying, of three to seven tokens."""

TIMES = [
    "Then",
    "Later",
    "Today",
    "Soon,",
    "Later,",
    "That day",
    "Later on,",
    "After that,",
    "Right then,",
    "In the end,",
    "Later that day,",
    "On that day,",
    "A little while later,",
    "A short time later,",
    "At the end of it,",
]
"""Openings of a scene's last sentence, of one to six tokens."""

SAYING_LENGTH = 11
SCENE_LENGTHS = {"short": 10, "long": 17}

ERRAND_FRAMES = [
    "There was a {} and a {} outside. Soon it was time to {} the",
    "He had a {} and she had a {} at home. Today they wanted to {} the",
    "We saw a {} and a {} near the door. Then somebody came to {} the",
    "They bought a {} and a {} last week. Now they had to {} the",
    "She found a {} and a {} at the farm. Then she tried to {} the",
    "My uncle had a {} and a {} for years. He used to {} the",
    "You will see a {} and a {} over there. Please go and {} the",
    "I dreamed of a {} and a {} last night. Soon I had to {} the",
]


def tokens(text: str) -> int:
    """Token count of a text in which every word and every punctuation mark is one token."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def _lead(rng: Random, leads: list[str], room: int) -> str:
    """An opening that fills `room` tokens, give or take one."""
    return rng.choice([lead for lead in leads if abs(tokens(lead) - room) <= 1])


def binomial(rng: Random) -> list[Item]:
    """Second half of a set pair of words."""

    def make(cell: tuple[tuple[str, str], int]) -> Item:
        (first, second), frame = cell
        wrong = answers(others(rng, [pair[1] for pair in BINOMIALS], 3, {second}))
        return Item(f"{QUOTES[frame]} {first} and", answer(second), wrong, source("binomial/quoted", frame))

    return collect(spread(rng, BINOMIALS, range(len(QUOTES))), make)


def idiom(rng: Random) -> list[Item]:
    """Last word of a saying, behind an opening that brings all to one length."""

    def make(cell: tuple[tuple[str, str], int]) -> Item:
        (saying, last), _ = cell
        lead = _lead(rng, LEADS, SAYING_LENGTH - tokens(saying))
        wrong = answers(others(rng, [ending for _, ending in IDIOMS], 3, {last}))
        return Item(f"{lead} {saying}", answer(last), wrong, source("idiom/opening", LEADS.index(lead)))

    return collect(spread(rng, IDIOMS, range(4)), make)


def scene(rng: Random, length: str) -> list[Item]:
    """Last word of a sentence; the long form has its setting before it."""

    def make(cell: tuple[tuple[str, str, str], int]) -> Item:
        (setting, sentence, ending), _ = cell
        before = f"{setting} " if length == "long" else ""
        text = sentence.format(rng.choice(NAMES))
        lead = _lead(rng, TIMES, SCENE_LENGTHS[length] - tokens(before) - tokens(text))
        wrong = answers(others(rng, [scene[2] for scene in SCENES], 3, {ending}))
        family = f"scene/{length}"
        return Item(f"{before}{lead} {text}", answer(ending), wrong, source(family, TIMES.index(lead)))

    return collect(spread(rng, SCENES, range(4)), make)


def discourse(rng: Random) -> list[Item]:
    """Which of two things mentioned goes with the last verb; it is mentioned first as often as second."""

    def make(cell: tuple[int, int]) -> Item:
        errand, frame = cell
        verb, thing = ERRANDS[errand]
        banned = set().union({thing}, *(group for group in CONFUSABLE if thing in group))
        other = rng.choice([pair[1] for pair in ERRANDS if pair[1] not in banned])
        shown = (other, thing) if (errand + frame) % 2 else (thing, other)
        prompt = ERRAND_FRAMES[frame].format(*shown, verb)
        return Item(prompt, answer(thing), answers([other]), source("discourse/errand", frame))

    return collect(grid(rng, range(len(ERRANDS)), range(len(ERRAND_FRAMES))), make)


TASKS = (
    Task("binomial", 1, "context, in steps", "and", binomial),
    Task("idiom", 2, "context, in steps", "function word", idiom),
    Task("scene_short", 2, "context, in steps", "function word", partial(scene, length="short")),
    Task("scene_long", 3, "context, in steps", "function word", partial(scene, length="long")),
    Task("discourse", 4, "context, in steps", "the", discourse),
)

GENERAL = ProbeSet("general", "Everyday English whose next word most readers would guess.", TASKS)

"""Indirect object identification: of two named people, the one who is not giving."""

from __future__ import annotations

from functools import partial
from random import Random

from .items import ROWS, Item, ProbeSet, Span, Task, answer, answers, collect, deal, grid, mention, source
from .words import NAMES, listed

FRAMES = [
    "When {} went to the {}{}, {} gave a {} to",
    "After {} went to the {}{}, {} handed a {} to",
    "While {} sat at the {}{}, {} passed a {} to",
    "Once {} got to the {}{}, {} gave a {} to",
    "When {} met at the {}{}, {} showed a {} to",
    "After {} met at the {}{}, {} sold a {} to",
    "While {} waited at the {}{}, {} brought a {} to",
    "When {} were at the {}{}, {} offered a {} to",
]
PLACES = listed("store park school station market hospital office hotel library museum")
GIFTS = listed("book ring card drink ticket letter key map coat camera")
ASIDES = [
    " and had a very long talk about music",
    " and ate some bread with cheese and fruit",
    " and waited there for the rain to stop",
    " and looked at the pictures on the wall",
]
OPENERS = [
    "It was a warm and quiet day in the middle of summer.",
    "The sun was out and the streets were full of people.",
    "The week had been long and the evening was very cold.",
    "The trees were bare and the wind came from the sea.",
]
LENGTHS = {"short": 1, "medium": 2, "long": 3}


def _prompt(rng: Random, frame: int, length: int, people: str, giver: str) -> str:
    """One scene: the frame, with an aside from length 2 and an opening sentence from length 3."""
    aside = rng.choice(ASIDES) if length >= 2 else ""
    opener = rng.choice(OPENERS) + " " if length >= 3 else ""
    scene = FRAMES[frame].format(people, rng.choice(PLACES), aside, giver, rng.choice(GIFTS))
    return opener + scene


def _marks(prompt: str, receiver: str, givers: list[str]) -> dict[str, list[Span]]:
    """The receiver, and both mentions of who gives."""
    return {
        "target": [mention(prompt, receiver)],
        "giver": sorted(mention(prompt, name) for name in givers),
        "giver_again": sorted(mention(prompt, name, last=True) for name in givers),
    }


def pair(rng: Random, length: int) -> list[Item]:
    """Two people, one gives; the receiver is named first as often as second."""

    def make(cell: tuple[int, int]) -> Item:
        frame, first = cell
        names = rng.sample(NAMES, 2)
        receiver, giver = names[first], names[1 - first]
        prompt = _prompt(rng, frame, length, " and ".join(names), giver)
        family = f"ioi/{'bab' if first else 'abb'}-length-{length}"
        return Item(
            prompt, answer(receiver), answers([giver]), source(family, frame), _marks(prompt, receiver, [giver])
        )

    return collect(grid(rng, range(len(FRAMES)), (0, 1)), make)


def trio(rng: Random) -> list[Item]:
    """Three people, two give, named in either order; the receiver's place is uniform."""
    places = deal(rng, range(3))
    frames = deal(rng, range(len(FRAMES)))

    def make(row: int) -> Item:
        names = rng.sample(NAMES, 3)
        givers = [name for k, name in enumerate(names) if k != places[row]]
        rng.shuffle(givers)
        people = f"{names[0]}, {names[1]} and {names[2]}"
        prompt = _prompt(rng, frames[row], 1, people, " and ".join(givers))
        receiver = names[places[row]]
        marks = _marks(prompt, receiver, givers)
        return Item(prompt, answer(receiver), answers(givers), source("ioi/three", frames[row]), marks)

    return collect(range(ROWS), make)


TASKS = (
    *(
        Task(f"ioi_{name}", level, "clauses around the names", "to", partial(pair, length=level))
        for name, level in LENGTHS.items()
    ),
    Task("ioi_three", 4, "clauses around the names; 4 is three people", "to", trio),
)

IOI = ProbeSet("ioi", "Of the people named, the one who is not giving.", TASKS)

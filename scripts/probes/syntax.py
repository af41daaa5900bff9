"""Syntax: what the grammar of the sentence so far demands of the next word."""

from __future__ import annotations

from functools import partial
from random import Random

from .items import Item, ProbeSet, Task, answer, answers, collect, grid, others, source, spread
from .words import PAIRS, listed

CLAIMS = [
    "We know that the",
    "I think that the",
    "She believes that the",
    "We hope that the",
    "He says that the",
    "They know that the",
    "You see that the",
    "People say that the",
]
PLACES = ["near", "behind", "beside", "below", "above", "under"]

MEN = listed(
    """
    king prince father son brother uncle husband man boy actor duke monk nephew groom wizard
    gentleman
    """
)
WOMEN = listed(
    """
    queen princess mother daughter sister aunt wife woman girl actress lady nun niece bride witch
    """
)
MOMENTS = [
    "In the end the",
    "That very night the",
    "After the game the",
    "During the trial the",
    "For some reason the",
    "On that day the",
    "Later that day the",
    "Without a doubt the",
]
DEEDS = listed(
    """
    blamed hurt praised taught admired helped described introduced defended saved convinced prepared
    hated protected accused criticized
    """
)

CHOICES = [
    "Do you want",
    "Did he take",
    "Can we keep",
    "Will she buy",
    "Did they see",
    "Would you choose",
    "Could we borrow",
    "Do we need",
]
ADJECTIVES = listed("old new big small red blue nice clean")

LOOKS = ["big", "small", "nice", "clean"]
KINDS = ["old", "new", "red", "blue"]
CORRELATES = {"both": "and", "either": "or", "neither": "nor", "not only": "but"}
OWNERS = [
    "She wanted",
    "They sold",
    "He bought",
    "We needed",
    "You found",
    "She painted",
    "They lost",
    "He fixed",
]

PERSON_FRAMES = ["The old man was", "My best friend was", "The young doctor was", "Her older brother was"]
THING_FRAMES = ["The new plan was", "Their first book was", "The final result was", "His whole theory was"]
GOVERNED = {
    "of": (["afraid", "aware", "proud", "capable"], []),
    "in": (["interested", "involved", "engaged", "successful"], []),
    "on": (["dependent", "focused"], ["based", "centered"]),
    "to": (["opposed", "married"], ["similar", "related"]),
    "with": (["satisfied", "familiar", "pleased"], ["compatible"]),
    "from": (["absent"], ["different", "separate", "derived"]),
    "for": (["responsible", "famous", "grateful"], ["suitable"]),
    "about": (["worried", "excited", "curious", "concerned"], []),
}
"""Preposition: the adjectives that govern it, said of persons and said of things."""

ALSO_GOVERNED = {
    "absent": {"in"},
    "afraid": {"for"},
    "based": {"in"},
    "centered": {"in"},
    "concerned": {"with", "for"},
    "different": {"in", "to"},
    "engaged": {"to", "with"},
    "excited": {"for", "in"},
    "familiar": {"to"},
    "famous": {"in"},
    "grateful": {"to", "about"},
    "involved": {"with"},
    "pleased": {"for", "about", "in"},
    "responsible": {"to"},
    "satisfied": {"in"},
    "separate": {"in"},
    "similar": {"in"},
    "successful": {"with", "for", "on"},
    "suitable": {"to"},
    "worried": {"for"},
}
"""Other prepositions that such an adjective may take: never its distractors."""


def agreement(rng: Random, attractors: int) -> list[Item]:
    """Subject and verb with `attractors` nouns of the other number between them."""
    family = "agreement/pp-attractor" if attractors else "agreement/bare"

    def make(cell: tuple[int, int]) -> Item:
        frame, plural = cell
        nouns = rng.sample(PAIRS, attractors + 1)
        phrase = nouns[0][plural]
        for place, noun in zip(rng.sample(PLACES, attractors), nouns[1:], strict=True):
            phrase += f" {place} the {noun[1 - plural]}"
        verbs = answers(["is", "are"])
        return Item(f"{CLAIMS[frame]} {phrase}", verbs[plural], (verbs[1 - plural],), source(family, frame))

    return collect(grid(rng, range(len(CLAIMS)), (0, 1)), make)


def reflexive(rng: Random, attractors: int) -> list[Item]:
    """Reflexive pronoun that must match its subject's gender, past `attractors` people of the other."""
    family = "reflexive/attractor" if attractors else "reflexive/bare"

    def make(cell: tuple[int, int]) -> Item:
        frame, female = cell
        same, other = (WOMEN, MEN) if female else (MEN, WOMEN)
        phrase = rng.choice(same)
        for place, noun in zip(rng.sample(PLACES[:3], attractors), rng.sample(other, attractors), strict=True):
            phrase += f" {place} the {noun}"
        pronouns = answers(["himself", "herself"])
        wrong = (pronouns[1 - female], answer("themselves"))
        prompt = f"{MOMENTS[frame]} {phrase} {rng.choice(DEEDS)}"
        return Item(prompt, pronouns[female], wrong, source(family, frame))

    return collect(grid(rng, range(len(MOMENTS)), (0, 1)), make)


def determiner(rng: Random, between: int) -> list[Item]:
    """Noun whose number follows its determiner, with `between` adjectives in the way."""

    def make(cell: tuple[int, int]) -> Item:
        frame, plural = cell
        noun = rng.choice(PAIRS)
        first, second = ("this", "those") if plural else ("those", "this")
        gap = "".join(f" {word}" for word in rng.sample(ADJECTIVES, between))
        prompt = f"{CHOICES[frame]} {first} {noun[1 - plural]} or {second}{gap}"
        wrong = (answer(noun[1 - plural]),)
        return Item(prompt, answer(noun[plural]), wrong, source(f"determiner/gap-{between}", frame))

    return collect(grid(rng, range(len(CHOICES)), (0, 1)), make)


def correlative(rng: Random, gap: int) -> list[Item]:
    """Second half of both/and, either/or, neither/nor, not only/but, after `gap` words."""

    def make(cell: tuple[int, str]) -> Item:
        frame, opening = cell
        words = ["the", rng.choice(LOOKS), rng.choice(KINDS)] if gap == 4 else []
        phrase = " ".join([*words, rng.choice(PAIRS)[1]])
        closing = CORRELATES[opening]
        wrong = answers(word for word in CORRELATES.values() if word != closing)
        prompt = f"{OWNERS[frame]} {opening} {phrase}"
        return Item(prompt, answer(closing), wrong, source(f"correlative/gap-{gap}", frame))

    return collect(grid(rng, range(len(OWNERS)), list(CORRELATES)), make)


def governed(rng: Random) -> list[Item]:
    """Preposition that an adjective governs."""
    facts = [(word, prep, kind) for prep, kinds in GOVERNED.items() for kind in (0, 1) for word in kinds[kind]]

    def make(cell: tuple[tuple[str, str, int], int]) -> Item:
        (word, preposition, kind), frame = cell
        frames = THING_FRAMES if kind else PERSON_FRAMES
        banned = {preposition} | ALSO_GOVERNED.get(word, set())
        wrong = answers(others(rng, GOVERNED, 3, banned))
        family = "governed-preposition/thing" if kind else "governed-preposition/person"
        return Item(f"{frames[frame]} {word}", answer(preposition), wrong, source(family, frame))

    return collect(spread(rng, facts, range(4)), make)


def relative(rng: Random) -> list[Item]:
    """Verb that agrees with the subject across an object relative clause of the other number."""
    middles = ["bought", "sold", "wanted", "found"]

    def make(cell: tuple[int, int]) -> Item:
        frame, plural = cell
        person = rng.choice(["doctor", "teacher", "farmer", "student"]) + ("" if plural else "s")
        prompt = f"{CLAIMS[frame]} {rng.choice(PAIRS[:20])[plural]} that the {person} {rng.choice(middles)}"
        verbs = answers(["is", "are"])
        return Item(prompt, verbs[plural], (verbs[1 - plural],), source("agreement/object-relative", frame))

    return collect(grid(rng, range(len(CLAIMS)), (0, 1)), make)


TASKS = (
    *(
        Task(f"agreement_{k}", k, "nouns between subject and verb", "noun", partial(agreement, attractors=k))
        for k in range(4)
    ),
    Task("agreement_relative", 1, "nouns between subject and verb", "past-tense verb", relative),
    *(
        Task(
            f"reflexive_{k}",
            k,
            "people of the other gender between",
            "past-tense verb",
            partial(reflexive, attractors=k),
        )
        for k in (0, 1)
    ),
    *(
        Task(
            f"determiner_noun_{k}",
            k,
            "adjectives between determiner and noun",
            "adjective" if k else "determiner",
            partial(determiner, between=k),
        )
        for k in (0, 1)
    ),
    *(
        Task(f"correlative_{k}", k, "words between the two halves", "plural noun", partial(correlative, gap=k))
        for k in (1, 4)
    ),
    Task("governed_preposition", 0, "words between adjective and preposition", "adjective", governed),
)

SYNTAX = ProbeSet("syntax", "What the grammar of the sentence so far demands of the next word.", TASKS)

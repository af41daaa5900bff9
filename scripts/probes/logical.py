"""Logical: answers that follow from the premises in the prompt and from nothing else."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from random import Random

from .items import ROWS, TRIES, Item, ProbeSet, Task, answer, answers, collect, deal, grid, source
from .words import NAMES, listed

ROLES = [
    "poet",
    "judge",
    "teacher",
    "doctor",
    "farmer",
    "pilot",
    "lawyer",
    "student",
    "driver",
    "dancer",
    "singer",
    "manager",
    "nurse",
    "hunter",
    "sailor",
    "soldier",
    "painter",
    "player",
]
TRAITS = listed(
    """
    tall kind rich happy young brave quiet strong calm proud sad busy honest lazy polite rude smart
    hungry
    """
)

QUERY_FRAMES = [
    "Is {} {}? Answer:",
    "Question: is {} {}? Answer:",
    "Is {} {}? Reply:",
    "Question: is {} {}? Reply:",
]
RULE_FRAMES = [
    ("Every", "So"),
    ("Each", "So"),
    ("Every", "Thus"),
    ("Each", "Thus"),
    ("Every", "Hence"),
    ("Each", "Hence"),
    ("Every", "Therefore"),
    ("Each", "Therefore"),
]

SCALES = [
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("richer", "poorer", "richest", "poorest"),
    ("stronger", "weaker", "strongest", "weakest"),
    ("heavier", "lighter", "heaviest", "lightest"),
    ("bigger", "smaller", "biggest", "smallest"),
    ("better", "worse", "best", "worst"),
]
"""Comparatives up and down, superlatives up and down."""

OPERATORS = ["and", "or"]
BOOLEAN_FRAMES = [(opening, verb) for opening in ("Logic:", "Rules:", "Truth:", "Note:") for verb in ("is", "equals")]


def _yes_no(yes: bool) -> tuple[str, tuple[str, ...]]:
    right, wrong = ("Yes", "No") if yes else ("No", "Yes")
    return answer(right), answers([wrong])


def _rule(holds: int, role: str, trait: str, singular: int) -> str:
    """A universal premise, for or against, about one role."""
    if singular:
        return f"{'Every' if holds else 'No'} {role} is {trait}."
    return f"{'All' if holds else 'No'} {role}s are {trait}."


def syllogism(rng: Random, rules: int) -> list[Item]:
    """Yes or no by the premise about the person's role; of two premises, in either order, one says no."""

    def make(cell: tuple[int, int, int, int]) -> Item:
        frame, singular, yes, second = cell
        asked, other = rng.sample(ROLES, 2)
        trait = rng.choice(TRAITS)
        name = rng.choice(NAMES)
        premises = [_rule(yes, asked, trait, singular)]
        if rules == 2:
            premises.insert(1 - second, _rule(1 - yes, other, trait, singular))
        prompt = f"{' '.join(premises)} {name} is a {asked}. {QUERY_FRAMES[frame].format(name, trait)}"
        target, wrong = _yes_no(bool(yes))
        return Item(prompt, target, wrong, source(f"syllogism/{rules}-rule", 4 * singular + frame))

    return collect(grid(rng, range(len(QUERY_FRAMES)), (0, 1), (0, 1), (0, 1)), make)


def deduction(rng: Random, rules: int) -> list[Item]:
    """The trait that one of several rules gives a person.

    At most three other traits are distractors; the answer's place among them is uniform.
    """
    shown = min(rules, 4)
    ranks = deal(rng, range(shown))
    frames = deal(rng, range(len(RULE_FRAMES)))

    def make(row: int) -> Item:
        every, so = RULE_FRAMES[frames[row]]
        roles, traits, name = rng.sample(ROLES, rules), rng.sample(TRAITS, rules), rng.choice(NAMES)
        premises = " ".join(f"{every} {role} is {trait}." for role, trait in zip(roles, traits, strict=True))
        places = sorted(rng.sample(range(rules), shown))
        place = places.pop(ranks[row])
        prompt = f"{premises} {name} is a {roles[place]}. {so} {name} is"
        wrong = answers(traits[other] for other in places)
        return Item(prompt, answer(traits[place]), wrong, source(f"deduction/{rules}-rule", frames[row]))

    return collect(range(ROWS), make)


def _premises(rng: Random, order: list[str], up: str, down: str) -> str:
    """Neighbors of a ranking compared in random order and direction."""
    pairs = list(pairwise(order))
    rng.shuffle(pairs)
    said = [f"{a} is {up} than {b}." if rng.random() < 0.5 else f"{b} is {down} than {a}." for a, b in pairs]
    return " ".join(said)


def ordering(rng: Random, people: int) -> list[Item]:
    """Who is at one end of a ranking; the answer's place among the names is uniform."""
    places = deal(rng, range(people))
    scales = deal(rng, range(len(SCALES)))
    ends = deal(rng, (0, 1))

    def make(row: int) -> Item:
        scale, end = scales[row], ends[row]
        up, down, most, least = SCALES[scale]
        asked = (up, down)[end] if people == 2 else (most, least)[end]
        for _ in range(TRIES):
            order = rng.sample(NAMES, people)
            premises = _premises(rng, order, up, down)
            target = order[-1] if end else order[0]
            words = premises.replace(".", "").split()
            if sorted(order, key=words.index).index(target) == places[row]:
                break
        else:
            raise ValueError(f"No ranking of {people} puts its end at place {places[row]}.")
        wrong = answers(name for name in order if name != target)
        family = f"ordering/{people}-person"
        return Item(f"Given: {premises} The {asked} one is", answer(target), wrong, source(family, scale))

    return collect(range(ROWS), make)


def _expression(rng: Random, operators: int) -> tuple[str, bool]:
    """A random left-nested expression and its value."""
    value = rng.random() < 0.5
    text = str(value)
    for place in range(operators):
        operand, conjunction = rng.random() < 0.5, rng.random() < 0.5
        left = f"({text})" if place else text
        text = f"{left} {'and' if conjunction else 'or'} {operand}"
        value = (value and operand) if conjunction else (value or operand)
    return text, value


def _expression_worth(rng: Random, operators: int, value: bool, last: str) -> str:
    """An expression of the given value whose last operator is also given."""
    for _ in range(TRIES):
        text, worth = _expression(rng, operators)
        if worth == value and text.split()[-2] == last:
            return text
    raise ValueError(f"No expression of {operators} operators that ends in {last} is {value}.")


def boolean(rng: Random, operators: int) -> list[Item]:
    """Value of a Boolean expression after one worked example.

    The example has the same value half of the time, and each last operator gives each value equally often.
    """

    def make(cell: tuple[int, int, int, str]) -> Item:
        frame, value, shown, last = cell
        opening, verb = BOOLEAN_FRAMES[frame]
        example = _expression_worth(rng, 1, bool(shown), rng.choice(OPERATORS))
        asked = _expression_worth(rng, operators, bool(value), last)
        prompt = f"{opening} {example} {verb} {bool(shown)}. {asked} {verb}"
        wrong = answers([str(not value)])
        return Item(prompt, answer(str(bool(value))), wrong, source(f"boolean/{operators}-operator", frame))

    return collect(grid(rng, range(len(BOOLEAN_FRAMES)), (0, 1), (0, 1), OPERATORS), make)


TASKS = (
    *(Task(f"syllogism_{n}", n, "premises", ":", partial(syllogism, rules=n)) for n in (1, 2)),
    *(Task(f"deduction_{n}", n, "rules", "is", partial(deduction, rules=n)) for n in (2, 3, 4, 5)),
    *(Task(f"ordering_{n}", n, "people ranked", "is", partial(ordering, people=n)) for n in (2, 3, 4)),
    *(Task(f"boolean_{n}", n, "operators", "is or equals", partial(boolean, operators=n)) for n in (1, 2, 3)),
)

LOGICAL = ProbeSet("logical", "Answers that follow from the premises in the prompt and from nothing else.", TASKS)

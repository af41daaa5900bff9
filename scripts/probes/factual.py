"""Factual: stable textbook facts, from the most to the least often told."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random

from .items import Item, ProbeSet, Task, answer, answers, collect, others, source, spread
from .words import listed

COMMON_CAPITALS = {
    "France": "Paris",
    "England": "London",
    "Germany": "Berlin",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Japan": "Tokyo",
    "Russia": "Moscow",
    "China": "Beijing",
    "Egypt": "Cairo",
    "Greece": "Athens",
    "Ireland": "Dublin",
    "Austria": "Vienna",
    "Portugal": "Lisbon",
    "Poland": "Warsaw",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
}
RARE_CAPITALS = {
    "Denmark": "Copenhagen",
    "Finland": "Helsinki",
    "Hungary": "Budapest",
    "Belgium": "Brussels",
    "Thailand": "Bangkok",
    "Iraq": "Baghdad",
    "Iran": "Tehran",
    "Syria": "Damascus",
    "Chile": "Santiago",
    "Switzerland": "Bern",
    "Jamaica": "Kingston",
    "Canada": "Ottawa",
    "Scotland": "Edinburgh",
    "South Korea": "Seoul",
    "New Zealand": "Wellington",
    "the Netherlands": "Amsterdam",
}
CAPITAL_FRAMES = [
    "The capital of {} is",
    "The capital city of {} is",
    "The national capital of {} is",
    "The official capital of {} is",
    "The current capital of {} is",
    "The modern capital of {} is",
    "In {}, the capital is",
    "In {} the capital city is",
]

CITIES = {
    "Milan": "Italy",
    "Munich": "Germany",
    "Barcelona": "Spain",
    "Shanghai": "China",
    "Mumbai": "India",
    "Istanbul": "Turkey",
    "Toronto": "Canada",
    "Melbourne": "Australia",
    "Manchester": "England",
    "Glasgow": "Scotland",
    "Geneva": "Switzerland",
    "Kyoto": "Japan",
    "Lyon": "France",
    "Budapest": "Hungary",
    "Oslo": "Norway",
    "Warsaw": "Poland",
}
CITY_FRAMES = [
    "The city of {} is in",
    "The city of {} lies in",
    "The old city of {} is in",
    "The famous city of {} is in",
    "The large city of {} is in",
    "We know that {} is in",
    "The maps show that {} is in",
    "The people of {} live in",
]

LANGUAGES = {
    "France": "French",
    "England": "English",
    "Germany": "German",
    "Italy": "Italian",
    "Spain": "Spanish",
    "Japan": "Japanese",
    "Russia": "Russian",
    "China": "Chinese",
    "Egypt": "Arabic",
    "Greece": "Greek",
    "Brazil": "Portuguese",
    "Poland": "Polish",
    "Israel": "Hebrew",
    "the Netherlands": "Dutch",
    "Iran": "Persian",
    "Hungary": "Hungarian",
}
LANGUAGE_FRAMES = [
    "In {}, most people speak",
    "In {}, many people speak",
    "In {}, the people speak",
    "In {}, people usually speak",
    "In {}, most children speak",
    "In {}, most families speak",
    "In {}, the locals speak",
    "In {}, most adults speak",
]

SYMBOLS = {
    "hydrogen": "H",
    "helium": "He",
    "carbon": "C",
    "nitrogen": "N",
    "oxygen": "O",
    "neon": "Ne",
    "sodium": "Na",
    "magnesium": "Mg",
    "aluminum": "Al",
    "silicon": "Si",
    "phosphorus": "P",
    "sulfur": "S",
    "chlorine": "Cl",
    "potassium": "K",
    "calcium": "Ca",
    "titanium": "Ti",
    "chromium": "Cr",
    "iron": "Fe",
    "cobalt": "Co",
    "nickel": "Ni",
    "copper": "Cu",
    "zinc": "Zn",
    "silver": "Ag",
    "tin": "Sn",
    "iodine": "I",
    "platinum": "Pt",
    "gold": "Au",
    "mercury": "Hg",
    "lead": "Pb",
    "uranium": "U",
    "lithium": "Li",
    "arsenic": "As",
}
SYMBOL_FRAMES = [
    "The chemical symbol for {} is",
    "The chemical symbol of {} is",
    "The atomic symbol for {} is",
    "The usual symbol for {} is",
    "The element symbol for {} is",
    "The chemist's symbol for {} is",
    "The short symbol for {} is",
    "The standard symbol for {} is",
]

DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = listed(
    """
    January February March April May June July August September October November December
    """
)
OPENINGS = ["Fact:", "Note:", "Hint:", "Quiz:"]
AFTER = ["after", "following", "right after", "just after", "directly after"]
BEFORE = ["before", "preceding", "right before", "just before", "directly before"]


def lookup(rng: Random, table: dict[str, str], frames: Sequence[str], family: str) -> list[Item]:
    """A fact from a table; distractors are answers to other rows of it."""

    def make(cell: tuple[str, int]) -> Item:
        cue, frame = cell
        wrong = answers(others(rng, table.values(), 3, {table[cue]}))
        return Item(frames[frame].format(cue), answer(table[cue]), wrong, source(family, frame))

    return collect(spread(rng, list(table), range(len(frames))), make)


def neighbor(rng: Random, cycle: Sequence[str], unit: str, step: int) -> list[Item]:
    """The name one step along a cycle; distractors: the name itself, and one and two steps the other way."""
    words = AFTER if step > 0 else BEFORE
    frames = [f"{opening} the {unit} {word} {{}} is" for opening in OPENINGS for word in words]

    def make(cell: tuple[int, int]) -> Item:
        place, frame = cell
        names = [cycle[(place + step * k) % len(cycle)] for k in (1, 0, -1, 2)]
        prompt = frames[frame].format(cycle[place])
        family = f"calendar/{unit}-{'after' if step > 0 else 'before'}"
        return Item(prompt, answer(names[0]), answers(names[1:]), source(family, frame))

    return collect(spread(rng, range(len(cycle)), range(len(frames))), make)


def _table(name: str, level: int, axis: str, ending: str, table: dict[str, str], frames: Sequence[str]) -> Task:
    family = name.replace("_", "-") + "/statement"
    return Task(name, level, axis, ending, partial(lookup, table=table, frames=frames, family=family))


TASKS = (
    _table("capital_common", 1, "rarity of the country", "is", COMMON_CAPITALS, CAPITAL_FRAMES),
    _table("capital_rare", 2, "rarity of the country", "is", RARE_CAPITALS, CAPITAL_FRAMES),
    _table("city_country", 1, "one level", "in", CITIES, CITY_FRAMES),
    _table("language", 1, "one level", "speak", LANGUAGES, LANGUAGE_FRAMES),
    _table("symbol", 2, "one level", "is", SYMBOLS, SYMBOL_FRAMES),
    Task("day_next", 1, "1 forward, 2 backward", "is", partial(neighbor, cycle=DAYS, unit="day", step=1)),
    Task("day_previous", 2, "1 forward, 2 backward", "is", partial(neighbor, cycle=DAYS, unit="day", step=-1)),
    Task("month_next", 1, "1 forward, 2 backward", "is", partial(neighbor, cycle=MONTHS, unit="month", step=1)),
    Task(
        "month_previous",
        2,
        "1 forward, 2 backward",
        "is",
        partial(neighbor, cycle=MONTHS, unit="month", step=-1),
    ),
)

FACTUAL = ProbeSet("factual", "Stable textbook facts, from the most to the least often told.", TASKS)

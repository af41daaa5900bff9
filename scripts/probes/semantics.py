"""Semantics: what the meanings of the words so far make likely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random

from .items import ROWS, Item, ProbeSet, Task, answer, answers, collect, deal, grid, others, source, spread
from .words import CATEGORIES, RARE_CATEGORIES, overlapping

COMMON_OPPOSITES = [
    ("hot", "cold"),
    ("big", "small"),
    ("fast", "slow"),
    ("high", "low"),
    ("rich", "poor"),
    ("good", "bad"),
    ("light", "dark"),
    ("early", "late"),
    ("open", "closed"),
    ("full", "empty"),
    ("long", "short"),
    ("strong", "weak"),
    ("wet", "dry"),
    ("clean", "dirty"),
    ("right", "wrong"),
    ("young", "old"),
]
RARE_OPPOSITES = [
    ("ancient", "modern"),
    ("permanent", "temporary"),
    ("guilty", "innocent"),
    ("maximum", "minimum"),
    ("domestic", "foreign"),
    ("external", "internal"),
    ("vertical", "horizontal"),
    ("import", "export"),
    ("expand", "contract"),
    ("profit", "loss"),
    ("generous", "selfish"),
    ("superior", "inferior"),
    ("rural", "urban"),
    ("rigid", "flexible"),
    ("voluntary", "mandatory"),
    ("plural", "singular"),
]
OPPOSITE_FRAMES = [
    "The opposite of {} is",
    "The reverse of {} is",
    "The direct opposite of {} is",
    "The exact opposite of {} is",
    "The very opposite of {} is",
    "The usual opposite of {} is",
    "One opposite of {} is",
    "A word opposite to {} is",
]

KIND_FRAMES = [
    "The {} is a kind of",
    "The {} is a type of",
    "Every {} is a kind of",
    "Every {} is a type of",
    "Any {} is a kind of",
    "Any {} is a type of",
    "Each {} is a kind of",
    "Each {} is one type of",
]

COLORS = {
    "white": ["snow", "milk", "salt", "cotton", "flour", "rice", "sugar", "ivory"],
    "black": ["coal", "tar", "oil", "soot", "asphalt", "charcoal", "crows", "ravens"],
    "red": ["blood", "tomatoes", "cherries", "roses", "strawberries", "rubies", "ketchup", "bricks"],
    "green": ["grass", "lettuce", "spinach", "leaves", "broccoli", "peas", "limes", "cucumbers"],
}
COLOR_FRAMES = [
    f"The {word} color of {{}} is"
    for word in ("usual", "natural", "normal", "real", "typical", "main", "true", "actual")
]

OBJECTS = {
    "drank": ["water", "wine", "milk", "beer"],
    "wore": ["hat", "shirt", "coat", "dress"],
    "read": ["book", "letter", "newspaper", "story"],
    "drove": ["car", "truck", "bus", "van"],
    "ate": ["cake", "bread", "soup", "cheese"],
    "climbed": ["mountain", "ladder", "hill", "stairs"],
    "played": ["guitar", "piano", "violin", "drums"],
    "lit": ["candle", "fire", "lamp", "match"],
}
ACTORS = [
    "Last night my father",
    "Yesterday the old man",
    "On Sunday his sister",
    "After lunch the teacher",
    "At noon the farmer",
    "That day our neighbor",
    "Last week her uncle",
    "In April my aunt",
    "After work the nurse",
    "At dawn the soldier",
    "This morning our guide",
    "Last month their son",
    "On Friday my cousin",
    "One evening the boy",
    "That night the girl",
    "Last year his boss",
]

CHOICE_FRAMES = [
    "Which is the {}: {}? Answer:",
    "What is the {}: {}? Answer:",
    "Which one is the {}: {}? Answer:",
    "Pick the {}: {}. Answer:",
    "Find the {}: {}. Answer:",
    "Name the {}: {}. Answer:",
    "Choose the {}: {}. Answer:",
    "Tell me the {}: {}. Answer:",
]


def antonym(rng: Random, pairs: Sequence[tuple[str, str]], family: str) -> list[Item]:
    """The opposite of a word; the word itself is one of the distractors."""
    facts = [*pairs, *((b, a) for a, b in pairs)]
    pool = [word for pair in pairs for word in pair]

    def make(cell: tuple[tuple[str, str], int]) -> Item:
        (cue, target), frame = cell
        wrong = [cue, *others(rng, pool, 2, {cue, target})]
        prompt = OPPOSITE_FRAMES[frame].format(cue)
        return Item(prompt, answer(target), answers(wrong), source(f"antonym/{family}", frame))

    return collect(spread(rng, facts, range(len(OPPOSITE_FRAMES))), make)


def category(rng: Random, table: Mapping[str, Sequence[str]], family: str) -> list[Item]:
    """The category that a thing belongs to."""
    facts = [(name, member) for name, members in table.items() for member in members]

    def make(cell: tuple[tuple[str, str], int]) -> Item:
        (name, member), frame = cell
        wrong = answers(others(rng, table, 3, overlapping(name)))
        prompt = KIND_FRAMES[frame].format(member)
        return Item(prompt, answer(name), wrong, source(f"category/{family}", frame))

    return collect(spread(rng, facts, range(len(KIND_FRAMES))), make)


def color(rng: Random) -> list[Item]:
    """The usual color of a thing."""
    facts = [(name, thing) for name, things in COLORS.items() for thing in things]

    def make(cell: tuple[tuple[str, str], int]) -> Item:
        (name, thing), frame = cell
        wrong = answers(other for other in COLORS if other != name)
        return Item(COLOR_FRAMES[frame].format(thing), answer(name), wrong, source("color/usual", frame))

    return collect(spread(rng, facts, range(len(COLOR_FRAMES))), make)


def selectional(rng: Random) -> list[Item]:
    """An object that its verb selects for, against objects of three other verbs."""

    def make(cell: tuple[int, str]) -> Item:
        frame, verb = cell
        target = OBJECTS[verb][frame % len(OBJECTS[verb])]
        wrong = answers(rng.choice(OBJECTS[other]) for other in others(rng, OBJECTS, 3, {verb}))
        return Item(f"{ACTORS[frame]} {verb} the", answer(target), wrong, source("selectional/object", frame))

    return collect(grid(rng, range(len(ACTORS)), list(OBJECTS)), make)


def choice(rng: Random, options: int) -> list[Item]:
    """The one listed word of a named category; its place in the list is uniform."""
    places = deal(rng, range(options))
    names = deal(rng, [name for name in CATEGORIES if name != "animal"])
    frames = deal(rng, range(len(CHOICE_FRAMES)))

    def make(row: int) -> Item:
        name, frame = names[row], frames[row]
        target = rng.choice(CATEGORIES[name])
        wrong = [rng.choice(CATEGORIES[other]) for other in others(rng, CATEGORIES, options - 1, overlapping(name))]
        listed = [*wrong[: places[row]], target, *wrong[places[row] :]]
        text = ", ".join(listed[:-1]) + f" or {listed[-1]}"
        prompt = CHOICE_FRAMES[frame].format(name, text)
        return Item(prompt, answer(target), answers(wrong), source(f"category-choice/{options}-way", frame))

    return collect(range(ROWS), make)


TASKS = (
    Task(
        "antonym_common",
        1,
        "rarity of the words",
        "is",
        partial(antonym, pairs=COMMON_OPPOSITES, family="common"),
    ),
    Task("antonym_rare", 2, "rarity of the words", "is", partial(antonym, pairs=RARE_OPPOSITES, family="rare")),
    Task(
        "category_common",
        1,
        "rarity of the member",
        "of",
        partial(category, table=CATEGORIES, family="common"),
    ),
    Task(
        "category_rare",
        2,
        "rarity of the member",
        "of",
        partial(category, table=RARE_CATEGORIES, family="rare"),
    ),
    Task("color", 1, "one level", "is", color),
    Task("selectional", 1, "one level", "the", selectional),
    *(Task(f"category_choice_{n}", n, "words to choose from", ":", partial(choice, options=n)) for n in (2, 4)),
)

SEMANTICS = ProbeSet("semantics", "What the meanings of the words so far make likely.", TASKS)

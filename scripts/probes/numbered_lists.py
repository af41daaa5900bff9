"""Numbered lists: the next number, or letter, of a list that starts anywhere."""

from __future__ import annotations

from functools import partial
from random import Random
from string import ascii_uppercase

from .items import ROWS, Item, ProbeSet, Task, answer, answers, collect, deal, mention, source
from .words import THINGS

UNITS = ["Step", "Item", "Rule", "Part", "Day", "Line", "Note", "Point"]
MARKS = [(mark, separator) for separator in (",", ";") for mark in (".", ")", ":", " -")]
STARTS = range(1, 33)


def steps(rng: Random, length: int) -> list[Item]:
    """“Step 4: lamp. Step 5: cup. Step”, to be followed by 6."""
    starts = deal(rng, STARTS)
    frames = deal(rng, range(len(UNITS)))

    def make(row: int) -> Item:
        start, unit = starts[row], UNITS[frames[row]]
        things = rng.sample(THINGS, length)
        listed = " ".join(f"{unit} {start + k}: {thing}." for k, thing in enumerate(things))
        end = start + length
        wrong = answers([end - 1, end + 1, end + 2])
        prompt = f"{listed} {unit}"
        marks = {"target": [mention(prompt, end - 1)]}
        return Item(prompt, answer(end), wrong, source(f"steps/{length}-item", frames[row]), marks)

    return collect(range(ROWS), make)


def _inline(labels: list[str], things: list[str], frame: int) -> str:
    mark, separator = MARKS[frame]
    listed = [f"{label}{mark} {thing}{separator}" for label, thing in zip(labels, things, strict=True)]
    return " ".join(listed)


def numbers(rng: Random, length: int) -> list[Item]:
    """“4. lamp, 5. cup,”, to be followed by 6."""
    starts = deal(rng, STARTS)
    frames = deal(rng, range(len(MARKS)))

    def make(row: int) -> Item:
        start, frame = starts[row], frames[row]
        labels = [str(start + k) for k in range(length)]
        end = start + length
        prompt = _inline(labels, rng.sample(THINGS, length), frame)
        wrong = answers([end - 1, end + 1, end + 2])
        marks = {"target": [mention(prompt, end - 1)]}
        return Item(prompt, answer(end), wrong, source(f"numbers/{length}-item", frame), marks)

    return collect(range(ROWS), make)


def letters(rng: Random, length: int) -> list[Item]:
    """“D. lamp, E. cup,”, to be followed by F."""
    starts = deal(rng, range(len(ascii_uppercase) - length - 2))
    frames = deal(rng, range(len(MARKS)))

    def make(row: int) -> Item:
        start, frame = starts[row], frames[row]
        end = start + length
        prompt = _inline(list(ascii_uppercase[start:end]), rng.sample(THINGS, length), frame)
        wrong = answers(ascii_uppercase[end + k] for k in (-1, 1, 2))
        marks = {"target": [mention(prompt, ascii_uppercase[end - 1])]}
        return Item(prompt, answer(ascii_uppercase[end]), wrong, source(f"letters/{length}-item", frame), marks)

    return collect(range(ROWS), make)


TASKS = (
    *(Task(f"steps_{n}", n, "items listed", "noun", partial(steps, length=n)) for n in (1, 2, 4, 8)),
    *(Task(f"items_{n}", n, "items listed", "comma or semicolon", partial(numbers, length=n)) for n in (2, 4, 8)),
    Task("letters_4", 4, "items listed", "comma or semicolon", partial(letters, length=4)),
)

NUMBERED_LISTS = ProbeSet("numbered_lists", "The next number, or letter, of a list that starts anywhere.", TASKS)

"""Word pools. Nearly every word is one Pythia token after a space, so that word counts are token counts."""

from __future__ import annotations


def listed(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


THINGS = listed(
    """
    apple river stone lamp chair table window bottle hammer pencil garden mountain bridge castle
    engine forest island ladder market mirror needle ocean paper pocket ribbon rocket saddle shadow
    silver spider sugar summer temple ticket tiger tower valley wagon winter basket blanket bucket
    butter button camera candle carpet circle coffee corner cotton dragon feather finger flower
    guitar honey jacket kitchen leather lemon letter magnet medal monkey oven pepper piano picture
    pillow planet pond potato rabbit rope salt school shirt shovel snow soap spoon statue stove
    sword train turtle umbrella violin wheel wolf barn bell boat bone book bowl box brick brush cage
    cake card chain cloud coat coin crown cup desk doll door drum egg fence flag fork gate glass
    glove gold grass hat horn horse key knife leaf lock map mask milk moon nail nest net nut pan pen
    pig pin pipe plate plum pot purse ring road roof sail sand scarf seed sheep shelf ship shoe sink
    sock star stick string sun tail tent thread tooth tree truck tube vest wall watch wave whip wing
    wire worm yarn
    """
)
"""Concrete nouns for word lists that must mean nothing."""

SINGULAR = listed(
    """
    key book letter box picture table chair door window car lamp cup plate shirt coat boat truck
    clock phone bottle cabinet tree flower dog cat horse bird cow stone coin ring bag hat map card
    pen apple egg cake bus train plane computer camera ticket
    """
)
PAIRS = [(word, f"{word}es" if word in ("box", "bus") else f"{word}s") for word in SINGULAR]
"""Singular and plural of things one can see and place, both one token."""

NAMES = listed(
    """
    Mary John Tom James Anna Emma Sarah Peter Paul Mark Jack Lucy Alice Bob Kate Jane Laura David
    Daniel Robert Helen Susan Linda Simon Martin Rachel Kevin Brian Steve Adam Frank Henry George
    Julia Maria Diana Ruth Sam Max Leo Oscar Victor Amy Ben Lisa Nina Nick Alex Carl Eric Jason Ryan
    Scott Andrew Arthur Charles Edward Claire Ellen Emily Hannah Joan Julie Martha Nancy Nicole
    Walter Philip Roger Joe Luke Matt Tim Dan Jim
    """
)
"""First names, all one token."""

CATEGORIES = {
    "animal": ["dog", "cat", "horse", "cow"],
    "bird": ["eagle", "crow", "duck", "goose"],
    "fish": ["salmon", "trout", "cod", "shark"],
    "fruit": ["apple", "banana", "pear", "cherry"],
    "tree": ["oak", "pine", "maple", "palm"],
    "tool": ["hammer", "saw", "drill", "axe"],
    "vehicle": ["car", "truck", "bus", "van"],
    "insect": ["ant", "bee", "fly", "mosquito"],
}
"""Common members of everyday categories."""

RARE_CATEGORIES = {
    "bird": ["heron", "magpie", "osprey", "pelican"],
    "fish": ["herring", "halibut", "mackerel", "haddock"],
    "tree": ["birch", "cedar", "willow", "elm"],
    "fruit": ["papaya", "mango", "quince", "apricot"],
    "tool": ["chisel", "wrench", "mallet", "trowel"],
    "insect": ["beetle", "wasp", "moth", "locust"],
    "flower": ["tulip", "daisy", "lily", "orchid"],
    "instrument": ["flute", "harp", "trumpet", "cello"],
}
"""Rarer members: two or three tokens each."""

OVERLAPPING = [
    {"animal", "bird"},
    {"animal", "fish"},
    {"animal", "insect"},
    {"fruit", "tree"},
    {"tree", "flower"},
    {"tool", "instrument"},
]
"""Category names that could both be right: never target and distractor of one item."""


def overlapping(category: str) -> set[str]:
    """Categories, this one among them, that a member of `category` might also be called."""
    return set().union({category}, *(group for group in OVERLAPPING if category in group))

"""The sentences of docs/lab.md's first screen are typed: every decimal in them must be in a table of the page on its claim."""

from __future__ import annotations

import re

FIRST, LAST = "## What the lab says, claim by claim", "The numbers behind each sentence"
CLAIM = re.compile(r"\bC\d+\b")
DECIMAL = re.compile(r"(?<![\w.])([+\-−]?)(\d*\.\d+)(?![\w.])")


def unfounded(page: str) -> list[str]:
    """Decimals of the sentences that no table below holds on the same claim: there, a row or the heading above it names it.

    A sign that is typed has to be the table's; a number without one may have either ("shrinks by .16"). What this cannot
    see: a number that stands in another cell of the same claim's tables, and whole numbers.
    """
    _, _, rest = page.partition(FIRST)
    sentences, _, below = rest.partition(LAST)
    known = _by_claim(below)
    found = []
    for line in sentences.splitlines():
        claims = CLAIM.findall(line.split("|")[1]) if line.startswith("|") else []
        mine = set().union(*(known.get(claim, set()) for claim in claims))
        found += [sign + number for sign, number in DECIMAL.findall(line) if not _held(sign, number, mine)]
    return found


def _by_claim(text: str) -> dict[str, set[tuple[str, str]]]:
    """By claim, the signs and numbers of the tables' rows on it."""
    known: dict[str, set[tuple[str, str]]] = {}
    heading: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            heading = CLAIM.findall(line)
        elif line.startswith("|"):
            for claim in {*heading, *CLAIM.findall(line.split("|")[1])}:
                known.setdefault(claim, set()).update(DECIMAL.findall(line))
    return known


def _held(sign: str, number: str, known: set[tuple[str, str]]) -> bool:
    """Whether a number of the tables, rounded to this one's digits, is it."""
    digits = len(number.partition(".")[2])
    return any(
        abs(float(number) - float(other)) <= 0.5 * 10**-digits + 1e-9
        and (not sign or _is_minus(sign) == _is_minus(its))
        for its, other in known
    )


def _is_minus(sign: str) -> bool:
    return sign in ("-", "−")

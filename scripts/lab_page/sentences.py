"""The sentences of docs/lab.md's first screen are typed: every number in them must be in a table of the page."""

from __future__ import annotations

import re

FIRST, LAST = "## What the lab says, claim by claim", "The numbers behind each sentence"
DECIMAL = re.compile(r"(?<![\w.])[+\-−]?(\d*\.\d+)(?![\w.])")


def unfounded(page: str) -> list[str]:
    """Decimal numbers of the sentences that no line of a table below holds, whatever its sign and further digits."""
    _, _, rest = page.partition(FIRST)
    sentences, _, below = rest.partition(LAST)
    known = {number for line in below.splitlines() if line.startswith("|") for number in DECIMAL.findall(line)}
    return [number for number in DECIMAL.findall(sentences) if not any(_is(number, other) for other in known)]


def _is(number: str, other: str) -> bool:
    """Whether the other, rounded to the number's digits, is the number."""
    digits = len(number.partition(".")[2])
    return abs(float(number) - float(other)) <= 0.5 * 10**-digits + 1e-9

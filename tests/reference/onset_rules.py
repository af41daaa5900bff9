"""Onset rules of the protocol notes (A.3) in plain loops over lists, one sentence a function."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def baseline(step: Sequence[float], value: Sequence[float], levels: Sequence[float]) -> float:
    early = [v for s, v in zip(step, value, strict=True) if s <= 16]
    return max([*levels, *([sum(early) / len(early)] if early else [])])


def smoothed(value: Sequence[float]) -> list[float]:
    inner = [median(value[i - 1 : i + 2]) for i in range(1, len(value) - 1)]
    return [value[0], *inner, value[-1]]


def sustained(lower: Sequence[float], base: float) -> int | None:
    """min{i : lower_j > B for every j ≥ i}."""
    for i in range(len(lower)):
        if all(bound > base for bound in lower[i:]):
            return i
    return None


def three_in_a_row(lower: Sequence[float], base: float) -> int | None:
    """min{i : lower_j > B for j = i, i + 1, i + 2}; the last point where it alone of the last two is above."""
    for i in range(len(lower) - 2):
        if all(bound > base for bound in lower[i : i + 3]):
            return i
    return len(lower) - 1 if lower[-1] > base >= lower[-2] else None


def fraction(value: Sequence[float], error: Sequence[float], base: float, phi: float) -> int | None:
    """min{i : ã_i ≥ B + φ(A − B), as are 80 % of all j ≥ i}, if (A − B) / error ≥ 3 at the top."""
    smooth = smoothed(value)
    top = max(smooth)
    if top - base < 3 * error[smooth.index(top)]:
        return None
    level = base + phi * (top - base)
    for i in range(len(smooth)):
        later = [s >= level for s in smooth[i:]]
        if smooth[i] >= level and sum(later) >= 0.8 * len(later):
            return i
    return None

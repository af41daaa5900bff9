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


def share_error(share: float, n: float) -> float:
    """Half of Wilson's interval at one standard error, from its two ends."""
    centre, spread = share + 1 / (2 * n), (share * (1 - share) / n + 1 / (4 * n * n)) ** 0.5
    lower, upper = (centre - spread) / (1 + 1 / n), (centre + spread) / (1 + 1 / n)
    return (upper - lower) / 2


def counts_once(steps: Sequence[float], weights: Sequence[str]) -> list[bool]:
    """False where any later step has the same known weights."""
    points = list(zip(steps, weights, strict=True))
    return [not any(name and name == other and later > step for later, other in points) for step, name in points]


def recovery(curve: Sequence[float], error: Sequence[float], phi: float) -> int | None:
    """min{i after the floor : c̃_j ≥ F + φ(P − F) for every j from i to the peak}, if P − F ≥ .1 and three errors."""
    smooth = smoothed(curve)
    low = smooth.index(min(smooth))
    high = smooth.index(max(smooth[low:]), low)
    gap = smooth[high] - smooth[low]
    if gap < 0.1 or gap < 3 * (error[low] ** 2 + error[high] ** 2) ** 0.5:
        return None
    for i in range(low + 1, high + 1):
        if all(value >= smooth[low] + phi * gap for value in smooth[i : high + 1]):
            return i
    return None

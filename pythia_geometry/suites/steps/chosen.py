"""Which steps the user means: `all`, `log`, `last`, lists, ranges with stride, and combinations."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

from pythia_geometry.errors import PythiaGeometryError

_NUMBER = re.compile(r"[0-9]{1,15}")
_RANGE = re.compile(r"([0-9]{1,15})-([0-9]{1,15})(?::([0-9]{1,15}))?")


def parse_steps(text: str, available: Sequence[int], run: str, option: str = "--steps") -> list[int]:
    """Turns a selection such as `0,log,1000-10000:1000,last` into ascending steps.

    Args:
        text: The user's words, separated by commas. `all` is every step; `log` the steps nearest to
            powers of two, with the first and the last; `last` the last; `a-b` every step from a to b;
            `a-b:s` those a whole number of strides s after a; a number is itself.
        available: Every step of the run, ascending.
        run: The run's name, for messages.
        option: What the words stand after, for messages.

    Raises:
        PythiaGeometryError: If a word is not understood, a step does not exist, or nothing is left.
    """
    if not available:
        raise PythiaGeometryError(f"{run} has no checkpoints to choose from. See: pythia-geom steps {run}")
    chosen: set[int] = set()
    for word in (part.strip() for part in text.split(",")):
        chosen.update(_expand(word, available, run, option))
    return sorted(chosen)


def _expand(word: str, available: Sequence[int], run: str, option: str) -> list[int]:
    if word == "all":
        return list(available)
    if word == "log":
        return log_steps(available)
    if word == "last":
        return [available[-1]]
    if _NUMBER.fullmatch(word):
        return [_existing(int(word), available, run)]
    if match := _RANGE.fullmatch(word):
        start, stop, stride = int(match[1]), int(match[2]), int(match[3] or 0)
        return _in_range(f"{option} {word}", available, run, (start, stop, stride))
    raise PythiaGeometryError(
        f"{option} does not understand {word!r}. Expected all, log, last, a number, a range a-b or a-b:stride "
        f"or several joined by commas, such as {option} 0,log,1000-10000:1000"
    )


def _existing(step: int, available: Sequence[int], run: str) -> int:
    if step in set(available):
        return step
    raise PythiaGeometryError(
        f"Step {step} is not a checkpoint of {run}. Nearest: {_nearest(step, available)}. "
        f"All {len(available)}: pythia-geom steps {run}"
    )


def _nearest(step: int, available: Sequence[int]) -> str:
    """The neighbours on either side."""
    i = bisect_left(available, step)
    return ", ".join(str(s) for s in available[max(0, i - 1) : i + 1])


def _in_range(said: str, available: Sequence[int], run: str, bounds: tuple[int, int, int]) -> list[int]:
    start, stop, stride = bounds
    if ":" in said and stride == 0:
        raise PythiaGeometryError(f"{said}: the stride must be at least 1, such as {start}-{stop}:1000")
    inside = [s for s in available if start <= s <= stop and (stride == 0 or (s - start) % stride == 0)]
    if not inside:
        raise PythiaGeometryError(
            f"{said} selects none of the {len(available)} checkpoints of {run} "
            f"(they run from {available[0]} to {available[-1]}). See: pythia-geom steps {run}"
        )
    return inside


def log_steps(available: Sequence[int]) -> list[int]:
    """The first step, the last, and for each power of two the nearest step by ratio."""
    positive = [s for s in available if s > 0]
    chosen = {available[0], available[-1]}
    power = 1
    while positive and power <= available[-1]:
        near = min(positive, key=lambda s: max(s, power) / min(s, power))
        if max(near, power) / min(near, power) < 2**0.5:
            chosen.add(near)
        power *= 2
    return sorted(chosen)

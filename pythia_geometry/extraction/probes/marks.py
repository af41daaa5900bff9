"""Marks of a probe's row: which characters of the prompt a head would have to look at, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.json_files import JsonError, parse_json

Span = tuple[int, int]
Marks = Mapping[str, tuple[Span, ...]]

_EXPECTED = (
    'expected an object such as {"target": "Nancy"}, or {"target": [13, 18]} with the first character and the one '
    "after the last; see docs/heads.md"
)


def read_marks(given: Any, prompt: str, where: str) -> Marks:
    """The marks of one row.

    Args:
        given: By name a text that stands once in the prompt, a span [start, stop), or a list of these; in a CSV cell as
            JSON. None or an empty cell: no marks.
        prompt: The row's prompt.
        where: File and line, for messages.

    Raises:
        PythiaGeometryError: If it is none of these, lies outside the prompt, or a text stands there not exactly once.
    """
    if isinstance(given, str) and given.strip():
        try:
            given = parse_json(given, where)
        except JsonError as error:
            raise PythiaGeometryError(f"{where}: marks are not valid JSON; {_EXPECTED}") from error
    if given is None or given == "" or given != given:  # a table's NaN
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) and name for name in given):
        raise PythiaGeometryError(f"{where}: marks are {str(given)[:60]!r}; {_EXPECTED}")
    return {
        name: tuple(sorted({_span(one, prompt, f"{where}: mark {name!r}") for one in _several(places)}))
        for name, places in sorted(given.items())
        if places is not None  # a Parquet struct has every name in every row
    }


def _several(places: Any) -> list[Any]:
    """The places of a mark: one is a text or two numbers."""
    if isinstance(places, str) or not hasattr(places, "__iter__"):
        return [places]
    listed = list(places)
    return [listed] if len(listed) == 2 and not any(hasattr(one, "__iter__") for one in listed) else listed


def _span(place: Any, prompt: str, where: str) -> Span:
    if isinstance(place, str) and place.strip():
        text = place.strip()
        if (times := prompt.count(text)) != 1:
            raise PythiaGeometryError(
                f"{where}: {text!r} stands {times} times in the prompt {prompt[:80]!r}. Expected once; "
                "give the characters instead, such as [13, 18]"
            )
        start = prompt.index(text)
        return start, start + len(text)
    numbers = list(place) if hasattr(place, "__iter__") and not isinstance(place, str) else []
    if len(numbers) != 2 or not all(map(_is_whole, numbers)):
        raise PythiaGeometryError(f"{where} is {place!r}; {_EXPECTED}")
    start, stop = int(numbers[0]), int(numbers[1])
    if not 0 <= start < stop <= len(prompt):
        raise PythiaGeometryError(
            f"{where} is [{start}, {stop}], outside the prompt, which has {len(prompt)} characters: {prompt[:80]!r}"
        )
    if not prompt[start:stop].strip():
        raise PythiaGeometryError(f"{where} is [{start}, {stop}], which holds white space alone")
    return start, stop


def _is_whole(given: Any) -> bool:
    return hasattr(given, "__index__") and not isinstance(given, bool)

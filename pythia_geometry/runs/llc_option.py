"""`--llc`: settings of the local learning coefficient, the same at every step of a walk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.landscape.sgld import Sampling
from pythia_geometry.measures import LLC_SETTINGS, Measure, batches_of_chains

CHAINS = "chains"
"""What measures share that are read off chains."""


def read_llc(text: str) -> Mapping[str, Any]:
    """The settings that `key=value,key=value` gives, with the usual ones for the rest.

    Raises:
        PythiaGeometryError: If a key is unknown or given twice, or no chain can run so.

    Example:
        >>> read_llc("localisation=50,chains=4")["chains"]
        4
    """
    given: dict[str, Any] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        key, _, value = part.partition("=")
        if key not in LLC_SETTINGS:
            raise PythiaGeometryError(f"--llc {part!r}: expected key=value with one of: {', '.join(LLC_SETTINGS)}")
        if key in given:
            raise PythiaGeometryError(f"--llc gives {key} twice; expected it once")
        given[key] = _typed(key, value)
    settings = LLC_SETTINGS | given
    Sampling(**{key: value for key, value in settings.items() if key != "only"})
    return settings


def with_settings(measure: Measure, text: str) -> Measure:
    """A measure that is read off chains, with these settings and γ/nβ beside them; any other as it is."""
    if measure.shares != CHAINS:
        return measure
    settings = read_llc(text)
    return replace(measure, settings=settings, batches=batches_of_chains(settings))


def as_text(settings: Mapping[str, Any]) -> str:
    """What to type after `--llc` for these settings: those that differ from the usual ones."""
    differ = {key: value for key, value in settings.items() if value != LLC_SETTINGS[key]}
    return ",".join(
        f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in differ.items()
    )


def _typed(key: str, value: str) -> Any:
    kind = type(LLC_SETTINGS[key])
    try:
        if kind is bool:
            return {"true": True, "false": False}[value.lower()]
        return kind(value)
    except (ValueError, KeyError) as error:
        expected = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise PythiaGeometryError(f"--llc {key}={value}: expected {expected}") from error

"""Rows that were read with other inputs than those of the last walk: marked, never mixed unseen with newer ones.

A walk records of every question what it was read with, and the manifest holds what the last walk reads with. Where the
two differ (a repaired tokenizer, newer code) and the step was not walked again, its rows carry a reason. Rows of
format 1, whose inputs nobody recorded, are marked in the column `precision`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IDS, READING, CONFIGS, VERSIONS = "ids", "reading", "configs", "versions"
"""What a question was read with: hash of the probe's token ids; version of the code and attention kernel; config of
each step; version of each measure."""

NEWEST = "newest"
"""Key of the manifest: what the last walk reads with."""

UNKNOWN = "inputs unknown"


def version_key(measure: str) -> str:
    """Key of a question's record that holds the version of a measure."""
    return f"{measure} version"


def other_inputs(recorded: Mapping[str, str], newest: Mapping[str, Any], run: str, probe: str) -> str:
    """Why the rows of a question are not those that the last walk's inputs would give; empty where they are.

    Args:
        recorded: What the folder records of the question.
        newest: The manifest's entry.
        run: The run's name.
        probe: The probe's name.
    """
    again = "walk this step again"
    ids = newest.get(IDS, {}).get(run, {}).get(probe)
    if IDS in recorded and ids is not None and recorded[IDS] != ids:
        return f"read with another tokenizer: {again}"
    reading = newest.get(READING, {}).get(run)
    if READING in recorded and reading is not None and recorded[READING] != reading:
        return f"read by other code ({recorded[READING]}, now {reading}): {again}"
    return ""


def old_measures(recorded: Mapping[str, str], newest: Mapping[str, Any]) -> set[str]:
    """Measures of a question that were computed by an earlier version of their code."""
    versions: Mapping[str, str] = newest.get(VERSIONS, {})
    return {name for name, version in versions.items() if recorded.get(version_key(name), version) != version}


def is_unknown(recorded: Mapping[str, str]) -> bool:
    """Whether nobody recorded what a question was read with (format 1)."""
    return "capture" in recorded and "behaviour" in recorded and IDS not in recorded

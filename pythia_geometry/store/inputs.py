"""Rows that were read with other inputs than those of the last walk: marked, never mixed unseen with newer ones.

A walk records of every question what it was read with, and the manifest holds what the last walk reads with. Where the
two differ (a repaired tokenizer, newer code) and the step was not walked again, its rows carry a reason. Rows of
format 1, whose inputs nobody recorded, are marked in the column `precision`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

IDS, READING, CONFIGS, VERSIONS = "ids", "reading", "configs", "versions"
"""What a question was read with: hash of the probe's token ids; version of the code and attention kernel; config of
each step; version of each measure."""

NEWEST = "newest"
"""Key of the manifest: what the last walk reads with."""

UNKNOWN = "inputs unknown"
SHUFFLED = ":shuffled"


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


def marked(
    frames: Mapping[str, pd.DataFrame], records: Iterable[Mapping[str, Any]], newest: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """The tables with a reason on rows that other inputs gave than those of the last walk.

    Args:
        frames: The tables geometry, behaviour and answers.
        records: What the folder records of each checkpoint.
        newest: The manifest's entry.
    """
    marks = [mark for record in records if record["row"] for mark in _marks(record, newest)]
    return {name: _with_marks(frame, marks) if marks else frame for name, frame in frames.items()}


@dataclass(frozen=True)
class _Mark:
    """What is said of rows of one question: of all of them, or of some measures alone."""

    run: tuple[str, int, int]
    probe: str
    position: str
    reason: str = ""
    measures: frozenset[str] = frozenset()
    is_unknown: bool = False


def _marks(record: Mapping[str, Any], newest: Mapping[str, Any]) -> Iterator[_Mark]:
    row = record["row"]
    run = (row["model"], row["seed"], row["step"])
    name = row["model"] if row["seed"] == 0 else f"{row['model']}-seed{row['seed']}"
    for question, works in record["current"].items():
        probe, _, position = question.rpartition(" ")
        if is_unknown(works):
            yield _Mark(run, probe, position, is_unknown=True)
        if reason := other_inputs(works, newest, name, probe):
            yield _Mark(run, probe, position, reason)
        if old := old_measures(works, newest):
            yield _Mark(run, probe, position, "computed by an earlier version: walk this step again", frozenset(old))


def _with_marks(frame: pd.DataFrame, marks: Iterable[_Mark]) -> pd.DataFrame:
    frame = frame.copy()
    control = frame["probe"].str.endswith(SHUFFLED)
    probes = frame["probe"].str.removesuffix(SHUFFLED) + "/" + frame["task"] + control.map({True: SHUFFLED, False: ""})
    for mark in marks:
        model, seed, step = mark.run
        hit = (frame["model"] == model) & (frame["seed"] == seed) & (frame["step"] == step) & (probes == mark.probe)
        if "position" in frame:
            hit &= frame["position"] == mark.position
        if mark.measures:
            hit &= frame["measure"].isin(mark.measures) if "measure" in frame else False
        if mark.is_unknown:
            frame.loc[hit, "precision"] = frame.loc[hit, "precision"] + f", {UNKNOWN}"
        else:
            held = frame.loc[hit, "reason"]
            frame.loc[hit, "reason"] = held.where(held == "", held + "; ") + mark.reason
    return frame

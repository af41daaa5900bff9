"""Rows that were read with other inputs than those of the last walk: marked, never mixed unseen with newer ones.

A walk records of every question what it was read with, and the manifest holds what the last walk reads with. Where the
two differ (a repaired tokenizer, newer code) and the step was not walked again, its rows carry a reason. Rows of
format 1, whose inputs nobody recorded, are marked in the column `precision`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

IDS, READING, CONFIGS, VERSIONS = "ids", "reading", "configs", "versions"
"""What a question was read with: hash of the probe's token ids; version of the code and attention kernel; config of
each step; version of each measure."""

NEWEST = "newest"
"""Key of the manifest: what the last walk reads with."""

REPLACED = "replaced"
"""Key of the newest inputs: steps whose weights the suite has replaced since they were walked, and why by label."""

UNKNOWN = "inputs unknown"
POSITIONS = ("last", "mean")
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
    marks = _Marks()
    for record in records:
        if record["row"]:
            marks.add(record, newest)
    return {name: marks.on(frame) for name, frame in frames.items()}


Key = tuple[str, int, int, str, str]
"""Model, seed, step, probe and position."""


class _Marks:
    """What is said of the rows of which question."""

    def __init__(self) -> None:
        self.reasons: dict[Key, str] = {}
        self.of_measures: dict[tuple[Key, str], str] = {}
        self.unknown: set[Key] = set()

    def add(self, record: Mapping[str, Any], newest: Mapping[str, Any]) -> None:
        """Looks at one checkpoint's record."""
        row = record["row"]
        name = row["model"] if row["seed"] == 0 else f"{row['model']}-seed{row['seed']}"
        replaced = newest.get(REPLACED, {}).get(f"{name}@step{row['step']}", "")
        for question, works in record["current"].items():
            probe, _, position = question.rpartition(" ")
            key = (row["model"], row["seed"], row["step"], probe, position)
            if is_unknown(works):
                self.unknown.add(key)
            if reason := replaced or other_inputs(works, newest, name, probe):
                self.reasons[key] = reason
            for measure in old_measures(works, newest):
                self.of_measures[key, measure] = "computed by an earlier version: walk this step again"

    def on(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table with its marks; of tables without a position, those of any."""
        if frame.empty or not (self.reasons or self.of_measures or self.unknown):
            return frame
        keys = _keys(frame)
        places = [keys] if "position" in frame else [[(*key[:4], at) for key in keys] for at in POSITIONS]
        reason, precision = frame["reason"].tolist(), frame["precision"].tolist()
        measures = frame["measure"].tolist() if "measure" in frame else [""] * len(frame)
        for at in places:
            for i, key in enumerate(at):
                if said := self.reasons.get(key) or self.of_measures.get((key, measures[i])):
                    reason[i] = f"{reason[i]}; {said}" if reason[i] else said
                if key in self.unknown and UNKNOWN not in precision[i]:
                    precision[i] += f", {UNKNOWN}"
        marked = frame.assign(reason=reason, precision=precision)
        return marked.astype({"reason": frame["reason"].dtype, "precision": frame["precision"].dtype})


def _keys(frame: pd.DataFrame) -> list[Key]:
    """The question of each row."""
    base = frame["probe"].str.removesuffix(SHUFFLED) + "/" + frame["task"]
    names = base.where(~frame["probe"].str.endswith(SHUFFLED), base + SHUFFLED).tolist()
    run = (frame[column].tolist() for column in ("model", "seed", "step"))
    positions = frame["position"].tolist() if "position" in frame else [""] * len(frame)
    return list(zip(*run, names, positions, strict=True))

"""Reads probe items from JSONL, CSV, Parquet or a dataset on the Hub, and says which row is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.extraction.marks import Marks, read_marks

REQUIRED = ("prompt", "target")


@dataclass(frozen=True)
class Item:
    """One row of a probe set.

    Attributes:
        id: Unique in the set.
        task: Task the row belongs to.
        prompt: Text before the answer, without trailing space.
        target: The right continuation, with its leading space where the tokenizer wants one.
        distractors: Wrong continuations; empty where the answer is open.
        difficulty: The graded axis inside a family of tasks.
        source: Where the row comes from.
        marks: By name, the characters of the prompt that a head would have to look at, as spans [start, stop).
    """

    id: str
    task: str
    prompt: str
    target: str
    distractors: tuple[str, ...] = ()
    difficulty: float = float("nan")
    source: str = ""
    marks: Marks = field(default_factory=dict, hash=False)


def read_items(name: str) -> list[Item] | None:
    """The items of a file or dataset; None where the name is neither.

    Raises:
        PythiaGeometryError: If a row is malformed; the message names the file and the line or row.
    """
    path = _expanded(name)
    if _is_file(path):
        rows = _file_rows(path)
    elif path.suffix in (".jsonl", ".csv", ".parquet"):
        raise PythiaGeometryError(f"There is no probe file {name}")
    elif name.count("/") == 1 and not name.startswith((".", "/", "~")):
        rows = _dataset_rows(name)
    else:
        return None
    default_task = path.stem
    items = [_item(row, where, index, default_task) for index, (where, row) in enumerate(rows)]
    if not items:
        raise PythiaGeometryError(f"{name} holds no rows. Expected at least 2, each with prompt and target")
    _check_ids(items, name)
    return items


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # no such user
        return Path(name)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long a name, a NUL byte
        return False


def _file_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix in (".jsonl", ".json"):
        return _jsonl_rows(path)
    if path.suffix in (".csv", ".parquet"):
        return _table_rows(path)
    raise PythiaGeometryError(f"{path}: probe files end in .jsonl, .csv or .parquet")


def _jsonl_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise PythiaGeometryError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise PythiaGeometryError(f"{where}: not valid JSON ({error.msg} at column {error.colno})") from error
        if not isinstance(row, dict):
            raise PythiaGeometryError(f"{where}: expected an object with prompt and target, got {line[:40]!r}")
        yield where, row


def _table_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pandas as pd

    try:
        frame = pd.read_csv(path, keep_default_na=False, dtype=str) if path.suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:  # pandas and pyarrow parse errors are ValueErrors
        raise PythiaGeometryError(f"{path} could not be read as {path.suffix[1:]}: {error}") from error
    for number, row in enumerate(frame.to_dict(orient="records"), start=1):
        yield f"{path}, row {number}", {str(key): value for key, value in row.items()}


def _dataset_rows(name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of a dataset: its test split, else validation, else the first."""
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    try:
        splits = datasets.load_dataset(name)
    except (ConnectionError, HfHubHTTPError) as error:
        raise MachineError(f"Dataset {name!r} could not be fetched: {error}") from error
    except Exception as error:  # datasets raises many kinds for a missing or script-based dataset
        raise PythiaGeometryError(
            f"{name!r} is no shipped probe set, no file, and no dataset that loads: {error}. See: pythia-geom probes"
        ) from error
    split = next((s for s in ("test", "validation") if s in splits), next(iter(splits)))
    for number, row in enumerate(splits[split], start=1):
        yield f"{name} ({split}), row {number}", row


def _item(row: Mapping[str, Any], where: str, index: int, default_task: str) -> Item:
    for key in REQUIRED:
        if not isinstance(row.get(key), str) or not row[key]:
            columns = ", ".join(sorted(row))
            raise PythiaGeometryError(f"{where}: {key!r} must be a text that is not empty; columns: {columns}")
    return Item(
        id=str(row["id"]) if row.get("id") not in (None, "") and row["id"] == row["id"] else f"row {index + 1}",
        task=str(row.get("task") or default_task),
        prompt=row["prompt"],
        target=row["target"],
        distractors=_distractors(row, where),
        difficulty=_difficulty(row.get("difficulty"), where),
        source=str(row.get("source", "")),
        marks=read_marks(row.get("marks"), row["prompt"], where),
    )


def _distractors(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """A list of texts; in a CSV cell, a JSON list."""
    given = row.get("distractors")
    if isinstance(given, str) and given:
        try:
            given = json.loads(given)
        except json.JSONDecodeError as error:
            raise PythiaGeometryError(f'{where}: distractors must be a JSON list such as [" a", " b"]') from error
    given = () if given is None or (isinstance(given, str) and not given) else given
    is_list = hasattr(given, "__iter__") and not isinstance(given, (str, Mapping))
    if not is_list or not all(isinstance(d, str) and d for d in given):
        raise PythiaGeometryError(f"{where}: distractors must be a list of texts, got {given!r}")
    if row["target"] in given:
        raise PythiaGeometryError(f"{where}: the target {row['target']!r} is also a distractor")
    return tuple(given)


def _difficulty(given: object, where: str) -> float:
    if given is None or given == "":
        return math.nan
    try:
        return float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise PythiaGeometryError(f"{where}: difficulty must be a number, got {given!r}") from error


def _check_ids(items: list[Item], name: str) -> None:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise PythiaGeometryError(f"{name}: the id {item.id!r} stands twice; ids must be unique in a file")
        seen.add(item.id)

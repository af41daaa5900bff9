"""Reads probe items from JSONL, JSON, CSV, Parquet or a dataset on the Hub, and says which row is wrong."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.extraction.probes.marks import Marks, read_marks
from pythia_geometry.json_files import JsonError, json_rows, parse_json, read_text

REQUIRED = ("prompt", "target")
COLUMNS = (*REQUIRED, "id", "task", "distractors", "difficulty", "source", "marks")
MOST_CHARACTERS = 1_000_000
"""Of one text: several times the longest context there is."""

_FORMAT = "The format, with an example: docs/own-probes.md"
_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")


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


@dataclass(frozen=True)
class ProbeFile:
    """What a file or dataset holds.

    Attributes:
        items: Its rows.
        unread: Its columns that mean nothing here.
    """

    items: tuple[Item, ...]
    unread: tuple[str, ...] = ()


def read_probe_file(name: str) -> ProbeFile | None:
    """The items of a file or dataset; None where the name is neither.

    Raises:
        PythiaGeometryError: If a row is malformed; the message names the file and the line or row.
    """
    path = _expanded(name)
    if _is_file(path):
        rows = _file_rows(path)
    elif path.suffix in _SUFFIXES:
        raise PythiaGeometryError(f"There is no probe file {name}")
    elif name.count("/") == 1 and not name.startswith((".", "/", "~")):
        rows = _dataset_rows(name)
    else:
        return None
    items: list[Item] = []
    unread: dict[str, None] = {}
    for index, (where, row) in enumerate(rows):
        items.append(_item(row, where, index, path.stem))
        unread.update(dict.fromkeys(column for column in row if column not in COLUMNS))
    if not items:
        raise PythiaGeometryError(f"{name} holds no rows. Expected at least 2, each with prompt and target")
    _check_ids(items, name)
    return ProbeFile(tuple(items), tuple(unread))


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
        return _json_objects(path)
    if path.suffix in (".csv", ".parquet"):
        return _table_rows(path)
    raise PythiaGeometryError(f"{path}: probe files end in .jsonl, .json, .csv or .parquet")


def _json_objects(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for where, row in json_rows(path):
        if not isinstance(row, dict):
            raise PythiaGeometryError(f"{where}: expected an object with prompt and target, got {str(row)[:40]!r}")
        yield where, row


def _table_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pandas as pd

    try:
        if path.suffix == ".csv":
            frame = pd.read_csv(StringIO(read_text(path)), keep_default_na=False, dtype=str)
        else:
            frame = pd.read_parquet(path)
    except JsonError:
        raise
    except Exception as error:  # pandas and pyarrow raise many kinds for a damaged table
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
            columns = ", ".join(sorted(map(str, row)))
            raise PythiaGeometryError(
                f"{where}: {key!r} must be a text that is not empty; columns: {columns[:200]}. {_FORMAT}"
            )
    item = Item(
        id=str(row["id"]) if row.get("id") not in (None, "") and row["id"] == row["id"] else f"row {index + 1}",
        task=_name(row.get("task")) or default_task,
        prompt=row["prompt"],
        target=row["target"],
        distractors=_distractors(row, where),
        difficulty=_difficulty(row.get("difficulty"), where),
        source=_name(row.get("source")),
        marks=read_marks(row.get("marks"), row["prompt"], where),
    )
    if (longest := max(map(len, (item.prompt, item.target, *item.distractors)))) > MOST_CHARACTERS:
        raise PythiaGeometryError(f"{where}: a text of {longest:,} characters; no model reads so much at once")
    return item


def _name(given: Any) -> str:
    """A text that may be missing, as nothing or as a table's NaN."""
    return "" if given is None or given != given else str(given)


def _distractors(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """A list of texts; in a CSV cell, a JSON list or the list that pandas writes."""
    given = row.get("distractors")
    if isinstance(given, str):
        given = _list_in_a_cell(given, where) if given.strip() else ()
    given = () if given is None or (isinstance(given, float) and math.isnan(given)) else given
    is_list = hasattr(given, "__iter__") and not isinstance(given, (str, Mapping))
    if not is_list or not all(isinstance(d, str) and d for d in given):
        raise PythiaGeometryError(f"{where}: distractors must be a list of texts, got {given!r}")
    if row["target"] in given:
        raise PythiaGeometryError(f"{where}: the target {row['target']!r} is also a distractor")
    if twice := next((d for k, d in enumerate(given) if d in list(given)[:k]), None):
        raise PythiaGeometryError(
            f"{where}: the distractor {twice!r} is given twice, which would change the chance level"
        )
    return tuple(given)


def _list_in_a_cell(cell: str, where: str) -> Any:
    try:
        return parse_json(cell, where)
    except JsonError as error:
        wrong = PythiaGeometryError(f'{where}: distractors must be a JSON list such as [" a", " b"]')
        if re.search(r"""['"]\s*['"]""", cell[1:-1].replace("', '", "").replace('", "', "")):
            raise wrong from error  # a numpy array's text: Python would join its neighbours into one
    try:
        return ast.literal_eval(cell.strip())
    except Exception as error:  # it raises a kind for every way of being no list
        raise wrong from error


def _difficulty(given: object, where: str) -> float:
    if given is None or given == "":
        return math.nan
    try:
        number = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise PythiaGeometryError(f"{where}: difficulty must be a number, got {given!r}") from error
    if math.isinf(number):
        raise PythiaGeometryError(f"{where}: difficulty must be a number that is not infinite, got {given!r}")
    return number


def _check_ids(items: list[Item], name: str) -> None:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise PythiaGeometryError(f"{name}: the id {item.id!r} stands twice; ids must be unique in a file")
        seen.add(item.id)

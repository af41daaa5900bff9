"""Single items of lm-eval (`--log_samples`), in the schema of the `answers` table.

A file `samples_<task>_<time>.jsonl` holds one item a line and says neither model nor step: the results file of the same
time beside it does. With these rows `item_bootstrap` draws the items of a benchmark again, jointly over steps.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pythia_geometry.analysis.lm_eval.file import Row, about_run, load_results, probe_of
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.json_files import JsonError, parse_json
from pythia_geometry.store.tables import ANSWERS
from pythia_geometry.typed_path import typed_path

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d{2}-\d{2}T[\d.\-:]+)\.jsonl")
Item = Mapping[str, Any]


def read_items(path: str | Path, step: int | None = None) -> pd.DataFrame:
    """Items from all `samples_*.jsonl` of a folder, each with the run and shots of the results file beside it.

    Args:
        path: A folder of lm-eval's output, however deep.
        step: The training step, where the results do not name one.

    Returns:
        The `answers` table: `item` is lm-eval's doc_id, `choice` its `acc`, `exact` its `exact_match` (or `em`),
        `log_prob` the natural-log probability of the right answer and `margin` that minus the mean over the others,
        where responses are log-probabilities; NaN where an item does not say. `choices` has those of all answers, the
        right one first, or in the file's order where it is not told. `probe_sha256` hashes the items, so that
        steps with other items are told apart.

    Raises:
        PythiaGeometryError: If no file of items can be read. A file that cannot be, beside others that can, is
            skipped with a warning that names it.
    """
    path = typed_path(path)
    files = sorted(path.rglob("samples_*.jsonl"))
    if not files:
        raise PythiaGeometryError(f"{path} holds no samples_*.jsonl. Run lm-eval with --log_samples")
    rows: list[Row] = []
    skipped: list[PythiaGeometryError] = []
    for file in files:
        try:
            rows += _items(file, step)
        except PythiaGeometryError as problem:
            skipped.append(problem)
    if skipped and not rows:
        raise skipped[0]
    if skipped:
        warnings.warn(f"{len(skipped)} of {len(files)} files are skipped: {skipped[0]}", stacklevel=2)
    return pd.DataFrame(rows).reindex(columns=list(ANSWERS)).astype(ANSWERS)


def _items(file: Path, step: int | None) -> list[Row]:
    match = _NAME.fullmatch(file.name)
    beside = file.with_name(f"results_{match['time']}.json") if match else None
    if match is None or beside is None or not beside.is_file():
        raise PythiaGeometryError(f"{file}: no results file of the same time beside it says which model and step it is")
    data = load_results(beside)
    run = about_run(data, beside, step)
    items = _lines(file)
    about = {key: value for key, value in run.items() if key in ANSWERS}
    about |= {"probe": probe_of(data, match["task"], beside), "task": match["task"], "probe_sha256": _hash(items)}
    return [{**about, **_answer(item)} for item in items]


def _lines(file: Path) -> list[Item]:
    """The items, one for each doc; of several filters the first."""
    found: dict[object, Item] = {}
    try:
        for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines()):
            if line.strip():
                item = parse_json(line, str(file), allow_nan=True)
                if not isinstance(item, dict) or not isinstance(item.get("doc_id"), int):
                    raise ValueError(f"line {number + 1} is no item with a doc_id")
                found.setdefault(item["doc_id"], item)
    except (OSError, ValueError, JsonError) as error:
        raise PythiaGeometryError(f"{file} cannot be read: {error}. Expected items of lm-eval, one a line") from error
    return list(found.values())


def _hash(items: Sequence[Item]) -> str:
    """The items by number and text, not by what a model answered."""
    texts = sorted(
        (item["doc_id"], item.get("doc_hash") or json.dumps(item.get("doc"), sort_keys=True)) for item in items
    )
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def _answer(item: Item) -> Row:
    choices, is_told = _choices(item)
    exact = next((item[name] for name in ("exact_match", "em") if name in item), math.nan)
    row: Row = {"item": item["doc_id"], "id": str(item.get("doc_hash") or item["doc_id"])}
    row |= {"choice": _number(item.get("acc")), "exact": _number(exact), "choices": json.dumps(choices)}
    if not is_told:
        return row | {"log_prob": math.nan, "margin": math.nan}
    right, *others = choices
    return row | {"log_prob": right, "margin": right - sum(others) / len(others) if others else math.nan}


def _choices(item: Item) -> tuple[list[float], bool]:
    """Log-probabilities of the answers, and whether the first is known to be that of the right one."""
    answers = item.get("filtered_resps") or item.get("resps")
    given = [_log_prob(answer) for answer in answers] if isinstance(answers, list) else []
    right = 0 if len(given) == 1 else _right(item, len(given))
    if right is None or not all(map(math.isfinite, given)):
        return given, False
    return [given[right], *(value for at, value in enumerate(given) if at != right)], True


def _log_prob(answer: object) -> float:
    """`[−3.2, false]`, however deeply wrapped; NaN for generated text. An export of a walk may not know the second."""
    while isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, list) and len(answer) == 2 and str(answer[1]) in ("True", "False", "None"):
        return _number(answer[0])
    return math.nan


def _right(item: Item, n: int) -> int | None:
    """Index of the right choice, the first of several: `target` is a number, numbers, or the text of one choice.

    None where it is not told, as in tasks whose choices differ in their contexts (Winogrande).
    """
    target = str(item.get("target", "")).strip()
    if number := re.fullmatch(r"\[?(\d{1,3})(, \d{1,3})*\]?", target):
        return int(number[1]) if int(number[1]) < n else None
    asked = item.get("arguments")
    texts = [one.get("arg_1") if isinstance(one, Mapping) else None for one in _values(asked)]
    same = [at for at, text in enumerate(texts[:n]) if isinstance(text, str) and text.strip() == target]
    return same[0] if len(same) == 1 else None


def _values(given: object) -> list[object]:
    return list(given.values()) if isinstance(given, Mapping) else []


def _number(given: object) -> float:
    try:
        return float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan

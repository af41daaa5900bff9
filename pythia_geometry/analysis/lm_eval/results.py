"""Results of EleutherAI's lm-evaluation-harness as behaviour curves, in the format of 2023 and today's.

A 2023 file has `results[task]["acc"]` and one `config.num_fewshot`; today's has `results[task]["acc,none"]`, with
`n-shot`, `n-samples` and `versions` by task. `file` says what a file speaks of, `items` reads the items
that lie beside it.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pythia_geometry.analysis.curves.behaviour import tidy
from pythia_geometry.analysis.lm_eval.file import (
    Results,
    Row,
    about_run,
    load_results,
    probe_of,
    said,
)
from pythia_geometry.analysis.tables.reading import CURVE, NO_DIRECTION, is_known
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.typed_path import typed_path

METRICS = {"acc": "accuracy", "acc_norm": "accuracy_norm", "em": "exact_match"}
PERPLEXITIES = ("ppl", "perplexity")
"""exp(−mean log-probability of an item's target): its negative logarithm is `log_prob`."""
COUNTS = ("samples", "sample_len", "sample_count")
"""What today's files count beside the metrics."""

CHANCE = {
    r"lambada.*": 0.0,
    r"piqa|winogrande|wsc|copa|blimp.*": 0.5,
    r"arc_(easy|challenge)|sciq|logiqa|hellaswag|openbookqa|hendrycksTest-.*|mmlu(?!_pro).*": 0.25,
}
"""Share that guessing reaches, by task. Others have none, and their baseline is the early mean alone."""
MAJORITY = {"wsc": 0.635}


def read_results(path: str | Path, step: int | None = None) -> pd.DataFrame:
    """Behaviour from one results file, or from all in a folder.

    Args:
        path: A `.json` file, or a folder with any number below it. What is no results file in a folder, such as a stray
            settings file, is skipped with a warning that names it; `samples_*.jsonl` are `items`'.
        step: The training step, for results that do not name one (`revision=step512`, `config.model_revision`, or a
            folder `…/step512` or `…/checkpoint-512`).

    Returns:
        The `behaviour` table. `probe` is `lm-eval-v<version of the task>/<shots>-shot`, so that curves of two task
        versions or numbers of shots never join; a group has the shots of its tasks. `source` tells batch size and
        accelerate. A perplexity becomes `log_prob`. Metrics of unknown direction are kept with a reason.

    Raises:
        PythiaGeometryError: If no file is a results file that says its model, step and shots, a number is
            impossible, or two files hold the same number.
    """
    path = typed_path(path)
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise PythiaGeometryError(f"{path} holds no .json file. Expected results of lm-eval")
    return read_files(files, str(path), step)


def read_files(files: Sequence[Path], where: str, step: int | None = None) -> pd.DataFrame:
    """Behaviour from several results files; `read_results` says how. `where` names them in messages."""
    rows: list[Row] = []
    skipped: list[PythiaGeometryError] = []
    for file in files:
        try:
            rows += [row | {"file": str(file)} for row in _rows(file, step)]
        except PythiaGeometryError as problem:
            skipped.append(problem)
    if skipped and not rows:
        raise skipped[0]
    if skipped:
        told = "; ".join(map(str, skipped[:5])) + ("; …" if len(skipped) > 5 else "")
        warnings.warn(f"{where}: {len(skipped)} of {len(files)} files are skipped: {told}", stacklevel=3)
    if not rows:
        raise PythiaGeometryError(f"{where}: no results in {len(files)} files")
    frame = pd.DataFrame(rows)
    _refuse_twice(frame)
    return tidy(frame, where)


def _refuse_twice(frame: pd.DataFrame) -> None:
    keys = [*CURVE, "step"]
    if (twice := frame.duplicated(keys, keep=False)).any():
        first = frame[twice].iloc[0]
        same = frame[(frame[keys] == first[keys]).all(axis=1)]
        raise PythiaGeometryError(
            f"{' and '.join(same['file'])} both hold {first['task']} {first['metric']} of {first['model']} at step "
            f"{first['step']}. Keep one"
        )


def _rows(file: Path, step: int | None) -> Iterator[Row]:
    data = load_results(file)
    run = about_run(data, file, step)
    for task, results in data["results"].items():
        if not isinstance(results, Mapping):
            raise PythiaGeometryError(f"{file}: results of {task} are no object of metrics")
        if metrics := list(_metrics(task, results)):
            about = {**run, "probe": probe_of(data, task, file), "task": task, "n": _count(data, task, results)}
            yield from ({**about, **metric} for metric in metrics)


def _count(data: Results, task: str, results: Mapping[str, Any]) -> float:
    """Items that were scored; NaN where the file does not say."""
    counted = said(data, "n-samples", task, None)
    for given in (counted, results.get("sample_count"), results.get("sample_len")):
        number = given.get("effective") if isinstance(given, Mapping) else given
        if isinstance(number, int | float) and not isinstance(number, bool) and number >= 1:
            return float(number)
    return math.nan


def _metrics(task: str, results: Mapping[str, Any]) -> Iterator[Row]:
    for key, value in results.items():
        name, _, chosen = key.partition(",")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if name.endswith("_stderr") or not is_number or name in COUNTS:
            continue
        error = results.get(f"{name}_stderr" + (f",{chosen}" if chosen else ""))
        error = float(error) if isinstance(error, int | float) else math.nan  # "N/A" in today's files
        yield _metric(task, name, "" if chosen in ("", "none") else f":{chosen}", float(value), error)


def _metric(task: str, name: str, filtered: str, value: float, error: float) -> Row:
    if name in PERPLEXITIES:
        if not 0 < value < math.inf:
            return {"metric": f"log_prob{filtered}", "value": math.nan, "reason": f"lm-eval reports {name} {value}"}
        return {"metric": f"log_prob{filtered}", "value": -math.log(value), "error": error / value}
    metric = METRICS.get(name, name) + filtered
    row: Row = {"metric": metric, "value": value, "error": error}
    if not is_known(metric):
        return row | {"reason": NO_DIRECTION}
    if not math.isfinite(value):
        return row | {"reason": f"lm-eval reports {value}"}
    is_choice = metric in ("accuracy", "accuracy_norm")
    chance = next((c for pattern, c in CHANCE.items() if re.fullmatch(pattern, task)), math.nan) if is_choice else 0.0
    return row | {"chance": chance, "majority": MAJORITY.get(task, math.nan) if is_choice else math.nan}

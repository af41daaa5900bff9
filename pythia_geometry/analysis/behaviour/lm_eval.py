"""Results of EleutherAI's lm-evaluation-harness as behaviour curves, in the format of 2023 and today's.

A 2023 file has `results[task]["acc"]` and one `config.num_fewshot`; today's has `results[task]["acc,none"]`, with
`n-shot`, `n-samples` and `versions` by task. Neither the file's name nor its folder is believed: both have been wrong
in the published evaluations of Pythia.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pythia_geometry.analysis.behaviour.table import CURVE, is_known, tidy
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.json_files import JsonError, read_json
from pythia_geometry.suites.pythia import OLD_SIZES, parse_name
from pythia_geometry.suites.steps.names import parse_step

METRICS = {"acc": "accuracy", "acc_norm": "accuracy_norm", "em": "exact_match"}
PERPLEXITIES = ("ppl", "perplexity")
"""exp(−mean log-probability of an item's target): its negative logarithm is `log_prob`."""

CHANCE = {
    r"lambada.*": 0.0,
    r"piqa|winogrande|wsc|copa|blimp.*": 0.5,
    r"arc_(easy|challenge)|sciq|logiqa|hellaswag|openbookqa|hendrycksTest-.*|mmlu(?!_pro).*": 0.25,
}
"""Share that guessing reaches, by task. Others have none, and their baseline is the early mean alone."""
MAJORITY = {"wsc": 0.635}

_OLD_NAME = re.compile(r"(?:EleutherAI/)?pythia-(?P<v1>v1(?:\.1)?-)?(?P<size>[\d.]+[mb])(?:-bf16)?(?P<rest>.*)", re.I)

Row = dict[str, object]


def read_results(path: str | Path, step: int | None = None) -> pd.DataFrame:
    """Behaviour from one results file, or from all in a folder.

    Args:
        path: A `.json` file, or a folder with any number below it.
        step: The training step, for results that do not name one (`revision=step512`, or a folder `…/step512`).

    Returns:
        The `behaviour` table. `probe` is `lm-eval-v<version of the task>/<shots>-shot`, so that curves of two task
        versions or numbers of shots never join; `source` tells batch size and accelerate. A perplexity becomes
        `log_prob`. Metrics of unknown direction are kept with a reason.

    Raises:
        PythiaGeometryError: If a file is no results file, does not say its step or shots, or two files hold the
            same number.
    """
    path = Path(path).expanduser()
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise PythiaGeometryError(f"{path} holds no .json file. Expected results of lm-eval")
    return read_files(files, str(path), step)


def read_files(files: Sequence[Path], where: str, step: int | None = None) -> pd.DataFrame:
    """Behaviour from several results files; `read_results` says how. `where` names them in messages."""
    rows = [row | {"file": str(file)} for file in files for row in _rows(file, step)]
    if not rows:
        raise PythiaGeometryError(f"{where}: no results in {len(files)} files")
    frame = pd.DataFrame(rows)
    keys = [*CURVE, "step"]
    if (twice := frame.duplicated(keys, keep=False)).any():
        first = frame[twice].iloc[0]
        same = frame[(frame[keys] == first[keys]).all(axis=1)]
        raise PythiaGeometryError(
            f"{' and '.join(same['file'])} both hold {first['task']} {first['metric']} of {first['model']} at step "
            f"{first['step']}. Keep one"
        )
    return tidy(frame, where)


def _rows(file: Path, step: int | None) -> Iterator[Row]:
    data = _load(file)
    arguments = _model_arguments(data)
    run = _run(arguments, file, step)
    source = _source(data["config"], arguments)
    for task, results in data["results"].items():
        if not isinstance(results, Mapping):
            raise PythiaGeometryError(f"{file}: results of {task} are no object of metrics")
        about = {
            **run,
            "probe": f"lm-eval-v{_said(data, 'versions', task, '?')}/{_shots(data, task, file)}-shot",
            "task": task,
            "n": _said(data, "n-samples", task, {}).get("effective", math.nan),
            "source": source,
        }
        yield from ({**about, **metric} for metric in _metrics(task, results))


def _said(data: Mapping[str, Any], part: str, task: str, default: Any) -> Any:
    """What a part of the file says of a task; parts come and go with the harness's versions."""
    by_task = data.get(part)
    said = by_task.get(task) if isinstance(by_task, Mapping) else None
    return default if said is None else said


def _load(file: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = read_json(file, allow_nan=True)
    except JsonError as error:
        raise PythiaGeometryError(f"{file} cannot be read: {error}. Expected results of lm-eval") from error
    for part in ("results", "config"):
        if not isinstance(data, dict) or not isinstance(data.get(part), dict):
            raise PythiaGeometryError(f"{file} is no results file of lm-eval: it has no object `{part}`")
    return data


def _model_arguments(data: Mapping[str, Any]) -> dict[str, str]:
    given = data["config"].get("model_args")
    if not isinstance(given, Mapping):
        given = dict(part.split("=", 1) for part in str(given).split(",") if "=" in part)
    return {"pretrained": str(data.get("model_name", ""))} | {key: str(value) for key, value in given.items()}


def _run(arguments: Mapping[str, str], file: Path, step: int | None) -> Row:
    """Suite, model, seed, step and precision."""
    name = arguments["pretrained"].rstrip("/")
    folder, _, last = name.rpartition("/")
    pythia = parse_name(todays_name(name))
    if pythia is not None:
        suite, model, seed = "pythia", pythia.model, pythia.seed
    elif parse_step(last):
        suite, model, seed = "local", folder.rpartition("/")[2], 0
    else:
        suite, model, seed = ("hub" if name.count("/") == 1 else "local"), last, 0
    if not model:
        raise PythiaGeometryError(f"{file} does not name its model: model_args has no pretrained=…")
    if step is None:
        label = _label(arguments.get("revision", ""), last, file)
        step = pythia.step_of(label) if pythia else label
    return {"suite": suite, "model": model, "seed": seed, "step": step, "precision": arguments.get("dtype", "")}


def _label(revision: str, folder: str, file: Path) -> int:
    """The number in the name of the branch or folder that was evaluated."""
    label = parse_step(revision) or parse_step(folder)
    if label is None:
        raise PythiaGeometryError(
            f"{file} does not say which step it evaluated: model_args has neither revision=step<N> nor a folder "
            "step<N>. Pass step=…"
        )
    return label.step


def todays_name(name: str) -> str:
    """A Pythia name of 2023 as it is on the Hub today; any other as it is.

    `pythia-v1.1-1b-bf16` is `pythia-1b`. `pythia-350m` is `pythia-410m-v0`: the sizes were renamed in January 2023,
    before the models of today existed.
    """
    match = _OLD_NAME.fullmatch(name)
    if match is None:
        return name
    size = match["size"].lower()
    is_v0 = size in OLD_SIZES and not match["v1"] and not match["rest"].endswith("-v0")
    return f"pythia-{OLD_SIZES.get(size, size)}{match['rest']}{'-v0' if is_v0 else ''}"


def _shots(data: Mapping[str, Any], task: str, file: Path) -> int:
    by_task = (_said(data, "n-shot", task, None), _said(data, "configs", task, {}).get("num_fewshot"))
    for given in (*by_task, data["config"].get("num_fewshot")):
        if isinstance(given, int):
            return given
    raise PythiaGeometryError(f"{file} does not say how many shots {task} had (n-shot, or config.num_fewshot)")


def _source(config: Mapping[str, Any], arguments: Mapping[str, str]) -> str:
    accelerate = "accelerate" if arguments.get("use_accelerate") == "True" else "no accelerate"
    return f"lm-eval, batch {config.get('batch_size')}, {accelerate}"


def _metrics(task: str, results: Mapping[str, Any]) -> Iterator[Row]:
    for key, value in results.items():
        name, _, chosen = key.partition(",")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if name.endswith("_stderr") or not is_number or name in ("samples", "sample_len"):
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
        return row | {"reason": "it is not known which way this metric is better"}
    if not math.isfinite(value):
        return row | {"reason": f"lm-eval reports {value}"}
    is_choice = metric in ("accuracy", "accuracy_norm")
    chance = next((c for pattern, c in CHANCE.items() if re.fullmatch(pattern, task)), math.nan) if is_choice else 0.0
    return row | {"chance": chance, "majority": MAJORITY.get(task, math.nan) if is_choice else math.nan}

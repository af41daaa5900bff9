"""One results file of lm-eval: is it one, which training run does it speak of, and how many shots had a task?

Neither the file's name nor its folder is believed: both have been wrong in the published evaluations of Pythia. The
format has changed with the harness: parts are asked for and done without.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.json_files import JsonError, read_json
from pythia_geometry.suites.pythia import OLD_SIZES, parse_name
from pythia_geometry.suites.steps.names import parse_step

_OLD_NAME = re.compile(r"(?:EleutherAI/)?pythia-(?P<v1>v1(?:\.1)?-)?(?P<size>[\d.]+[mb])(?:-bf16)?(?P<rest>.*)", re.I)

Row = dict[str, object]
Results = Mapping[str, Any]


def load_results(file: Path) -> Results:
    """The content of a results file.

    Raises:
        PythiaGeometryError: If it cannot be read, or is something else.
    """
    try:
        data = read_json(file, allow_nan=True)
    except JsonError as error:
        raise PythiaGeometryError(f"{file} cannot be read: {error}. Expected results of lm-eval") from error
    for part in ("results", "config"):
        if not isinstance(data, dict) or not isinstance(data.get(part), dict):
            raise PythiaGeometryError(f"{file} is no results file of lm-eval: it has no object `{part}`")
    found: Results = data
    return found


def said(data: Results, part: str, task: str, default: Any) -> Any:
    """What a part of the file says of a task; parts come and go with the harness's versions."""
    by_task = data.get(part)
    given = by_task.get(task) if isinstance(by_task, Mapping) else None
    return default if given is None else given


def about_run(data: Results, file: Path, step: int | None) -> Row:
    """Suite, model, seed, step, precision and source.

    Raises:
        PythiaGeometryError: If the file does not say which model or which step was evaluated.
    """
    given = _model_arguments(data)
    name = given["pretrained"].rstrip("/")
    folder, _, last = name.rpartition("/")
    try:
        pythia = parse_name(todays_name(name))
    except PythiaGeometryError as problem:
        raise PythiaGeometryError(f"{file}: {problem}") from problem
    if pythia is not None:
        suite, model, seed = "pythia", pythia.model, pythia.seed
    elif _step_in(last) is not None:
        suite, model, seed = "local", folder.rpartition("/")[2], 0
    else:
        suite, model, seed = ("hub" if name.count("/") == 1 else "local"), last, 0
    if not model:
        raise PythiaGeometryError(f"{file} does not name its model: model_args has no pretrained=…")
    if step is None:
        label = _label(given, last, file)
        step = pythia.step_of(label) if pythia else label
    run = {"suite": suite, "model": model, "seed": seed, "step": step}
    return run | {"precision": given.get("dtype", ""), "source": _source(data["config"], given)}


def _model_arguments(data: Results) -> dict[str, str]:
    config = data["config"]
    given = config.get("model_args")
    if not isinstance(given, Mapping):
        given = dict(part.split("=", 1) for part in str(given).split(",") if "=" in part)
    # An evaluated object has no model_args; what it was stands beside them.
    beside = {"pretrained": data.get("model_name"), "revision": config.get("model_revision")}
    beside["dtype"] = config.get("model_dtype")
    found = {str(key).strip(): _bare(value) for key, value in (beside | dict(given)).items() if value is not None}
    found["dtype"] = found.get("dtype", "").removeprefix("torch.")
    return {"pretrained": ""} | found


def _bare(value: object) -> str:
    """An argument without the quotes that a shell or a config left around it."""
    return str(value).strip().strip("'\"").strip()


def _label(given: Mapping[str, str], folder: str, file: Path) -> int:
    """The number in the name of the branch or folder that was evaluated."""
    label = _step_in(given.get("revision", ""))
    label = _step_in(folder) if label is None else label
    if label is None:
        raise PythiaGeometryError(
            f"{file} does not say which step it evaluated: model_args has neither revision=step<N> nor a folder "
            "step<N> or checkpoint-<N>. Pass step=…"
        )
    return label


def _step_in(name: str) -> int | None:
    label = parse_step(name)
    return label.step if label else None


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


def _source(config: Mapping[str, Any], arguments: Mapping[str, str]) -> str:
    accelerate = "accelerate" if arguments.get("use_accelerate") == "True" else "no accelerate"
    return f"lm-eval, batch {config.get('batch_size')}, {accelerate}"


def probe_of(data: Results, task: str, file: Path) -> str:
    """`lm-eval-v<version of the task>/<shots>-shot`, so that curves of two task versions or shots never join.

    Raises:
        PythiaGeometryError: If the file does not say how many shots the task had.
    """
    return f"lm-eval-v{said(data, 'versions', task, '?')}/{_shots(data, task, file)}-shot"


def _shots(data: Results, task: str, file: Path) -> str:
    """Shots of a task; of a group those of its tasks, `mixed` where they differ."""
    if (own := _own_shots(data, task)) is not None:
        return str(own)
    parts = {_own_shots(data, part) for part in _tasks_of(data, task)} - {None}
    if parts:
        return str(parts.pop()) if len(parts) == 1 else "mixed"
    if (shared := _whole(data["config"].get("num_fewshot"))) is not None:
        return str(shared)
    raise PythiaGeometryError(f"{file} does not say how many shots {task} had (n-shot, or config.num_fewshot)")


def _own_shots(data: Results, task: str) -> int | None:
    settings = said(data, "configs", task, {})
    beside = settings.get("num_fewshot") if isinstance(settings, Mapping) else None
    shots = (_whole(given) for given in (said(data, "n-shot", task, None), beside))
    return next((given for given in shots if given is not None), None)


def _whole(given: object) -> int | None:
    """A whole number that may be written as text."""
    if isinstance(given, bool) or not isinstance(given, int | str):
        return None
    return int(given) if re.fullmatch(r"\d{1,6}", str(given).strip()) else None


def _tasks_of(data: Results, group: str) -> Iterator[str]:
    """The tasks below a group, however deep."""
    seen, todo = {group}, [group]
    while todo:
        parts = said(data, "group_subtasks", todo.pop(), [])
        for part in parts if isinstance(parts, list) else []:
            if part not in seen:
                seen.add(part)
                todo.append(part)
                yield str(part)

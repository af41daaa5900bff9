"""Tasks of EleutherAI's lm-evaluation-harness as frozen items. The one file that imports it (extra `lm-eval`).

The harness builds contexts, examples and continuations by its own templates, samplers and seeds; it never sees a model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import groupby
from typing import Any

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.extraction.probes.benchmark_items import (
    LIKELIHOOD,
    MULTIPLE_CHOICE,
    PREFIX,
    BenchmarkFacts,
    BenchmarkItem,
    Frozen,
    HarnessOptions,
    benchmark_item,
)
from pythia_geometry.typed_path import typed_path

FEWSHOT_SEED = 1234
"""What the harness's own command draws examples with."""

_INSTEAD = "A frozen set needs neither: --probes RUN/probes/NAME.jsonl of a run that walked it"
_PLACES = ("dataset_path", "dataset_name", "dataset_kwargs")  # of the data, which is hashed itself


def is_installed() -> bool:
    """Whether the harness is there; nothing is imported."""
    return find_spec("lm_eval") is not None


def build_tasks(name: str, options: HarnessOptions) -> list[Frozen]:
    """The tasks that a name of the harness means, each with its items.

    Args:
        name: A task, or a group or tag, which is expanded.
        options: Examples, limit and definitions of the user's own.

    Raises:
        PythiaGeometryError: If the harness is not installed, does not know the name, or the task generates text.
        MachineError: If its dataset cannot be had.
    """
    manager = _manager(options.include, defaults=not _is_defined_in(options.include, name))
    if name not in manager.all_tasks:
        close = get_close_matches(name, manager.all_tasks, n=3)
        hint = f"Did you mean {', '.join(PREFIX + one for one in close)}?" if close else "See: lm_eval ls tasks"
        raise PythiaGeometryError(f"lm-eval {version('lm_eval')} has no task or group {name!r}. {hint}")
    set_name = f"{PREFIX}{name}" + ("" if options.fewshot is None else f"@{options.fewshot}-shot")
    return [_frozen(set_name, task, options) for task in _load(manager, name)]


def _is_defined_in(include: str, name: str) -> bool:
    """Whether the user's own folder defines a task, so that the harness's 14,000 need not be indexed."""
    return include != "" and name in _manager(include, defaults=False).all_subtasks


@lru_cache(maxsize=4)
def _manager(include: str, defaults: bool) -> Any:
    """An index of tasks; that of the harness's own takes seconds to read."""
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise PythiaGeometryError(
            f"--probes {PREFIX}… needs the lm-evaluation-harness, and it cannot be imported ({error}). Type: pip "
            f"install 'pythia-geometry[lm-eval]'. {_INSTEAD}"
        ) from error
    folder = str(typed_path(include)) if include else None
    return TaskManager(include_path=folder, include_defaults=defaults)


def _load(manager: Any, name: str) -> list[Any]:
    """The task objects; building them fetches their datasets."""
    _refuse_kind(name, _declared_kind(manager, name))
    try:
        return list(manager.load([name])["tasks"].values())
    except PythiaGeometryError:
        raise
    except Exception as error:  # datasets, its filesystems and the harness raise many kinds
        first = str(error).strip().split("\n")[0]
        raise MachineError(
            f"The dataset of lm-eval's {name} cannot be had: {type(error).__name__}: {first}. It must be in the cache "
            f"of datasets, or the network must reach it (neither --offline nor HF_HUB_OFFLINE). {_INSTEAD}"
        ) from error


def _declared_kind(manager: Any, name: str) -> str:
    """The output type that a task's file declares, before any dataset is fetched; empty where it is no single file."""
    from lm_eval.tasks._yaml_loader import load_yaml

    file = getattr(manager.task_index.get(name), "yaml_path", None)
    declared = load_yaml(file, resolve_func=False) if file else {}
    return str(declared.get("output_type", "")) if isinstance(declared, Mapping) else ""


def _refuse_kind(name: str, kind: str) -> None:
    if kind in ("", MULTIPLE_CHOICE, LIKELIHOOD):
        return
    what = "generates text" if kind == "generate_until" else f"is of the kind {kind!r}"
    raise PythiaGeometryError(
        f"lm-eval's task {name} {what}, and a walk scores given answers only ({MULTIPLE_CHOICE}, {LIKELIHOOD}). "
        "Look for a form of it with choices: lm_eval ls tasks"
    )


def _frozen(set_name: str, task: Any, options: HarnessOptions) -> Frozen:
    name, kind = str(task.config.task), str(task.OUTPUT_TYPE)
    _refuse_kind(name, kind)
    _set_shots(task, options.fewshot)
    task.build_all_requests(limit=options.limit or None, rank=0, world_size=1)
    asked = [(doc_id, list(same)) for doc_id, same in groupby(task.instances, key=lambda one: one.doc_id)]
    items = tuple(_item(task, name, kind, doc_id, requests) for doc_id, requests in asked)
    if len(items) < 2:
        raise PythiaGeometryError(
            f"lm-eval's task {name} gave {len(items)} item; a walk needs at least 2. Raise --limit"
        )
    facts = BenchmarkFacts(
        task=name,
        kind=kind,
        metrics=tuple(map(str, task.aggregation())),
        version=str(task.VERSION),
        shots=int(task.config.num_fewshot or 0),
        harness=version("lm_eval"),
        config_sha256=_hash(_definition(task)),
        data_sha256=_hash([requests[0].doc for _, requests in asked]),
        own_scoring=callable(task.config.process_results),
    )
    return Frozen(set_name, facts, items)


def _set_shots(task: Any, fewshot: int | None) -> None:
    """As the harness's own command does: a task that says 0 itself stays at 0."""
    own = task.config.num_fewshot
    if fewshot is not None and own != 0:
        task.set_config(key="num_fewshot", value=fewshot)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=FEWSHOT_SEED)


def _item(task: Any, name: str, kind: str, doc_id: int, requests: Sequence[Any]) -> BenchmarkItem:
    pairs = [(str(one.args[0]), str(one.args[1])) for one in requests]
    if kind == LIKELIHOOD:
        return benchmark_item(name, doc_id, pairs[:1], (0,), [_length(pairs[0][1])])
    doc = requests[0].doc
    choices = [str(choice) for choice in task.doc_to_choice(doc)]
    given = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    gold = tuple(_right(given, choices))
    if not gold:
        raise PythiaGeometryError(
            f"lm-eval's task {name}: document {doc_id} says no right choice ({given!r} of {len(choices)}): its labels "
            "are hidden. Choose a task whose answers are public"
        )
    return benchmark_item(name, doc_id, pairs[: len(choices)], gold, [_length(choice) for choice in choices])


def _right(given: Any, choices: Sequence[str]) -> Iterator[int]:
    """Indices of the right choices, from an index, the choice's text, or a list of those."""
    for one in given if isinstance(given, (list, tuple)) else [given]:
        if isinstance(one, str) and one in choices:
            yield choices.index(one)
        elif not isinstance(one, str) and 0 <= int(one) < len(choices):
            yield int(one)


def _length(text: str) -> tuple[int, int]:
    return len(text), len(text.encode())


def _definition(task: Any) -> dict[str, Any]:
    """The task's definition without what names places on this machine."""
    config = {key: value for key, value in task.dump_config().items() if key not in _PLACES}
    metadata = config.get("metadata")
    if isinstance(metadata, Mapping):
        config["metadata"] = {key: value for key, value in metadata.items() if key != "config_source"}
    return config


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True, default=str).encode()).hexdigest()

"""A benchmark's items as lm-eval builds them, and the file that freezes them.

A frozen task walks without the harness and without its dataset: one JSON line of facts, then one line an item.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.probe_files import Item
from pythia_geometry.json_files import JsonError, json_rows
from pythia_geometry.typed_path import typed_path

PREFIX = "lm-eval:"
"""Before the name of a task or group of the harness, in `--probes`."""

MULTIPLE_CHOICE, LIKELIHOOD = "multiple_choice", "loglikelihood"
_HEADER = "lm_eval_task"


@dataclass(frozen=True)
class HarnessOptions:
    """How the harness is asked to build tasks.

    Attributes:
        fewshot: Examples before each question; None for what the task says itself.
        limit: At most so many items a task, the first ones; 0 for all.
        include: Folder of task definitions of the user's own; empty for none.
    """

    fewshot: int | None = None
    limit: int = 0
    include: str = ""

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            PythiaGeometryError: If one is negative, or the folder is not there.
        """
        if (self.fewshot or 0) < 0 or self.limit < 0:
            raise PythiaGeometryError("--fewshot and --limit must be 0 or more")
        if self.include and not typed_path(self.include).is_dir():
            raise PythiaGeometryError(
                f"--include {self.include} is no folder. Expected task definitions of lm-eval (.yaml)"
            )


@dataclass(frozen=True)
class BenchmarkItem(Item):
    """One document of a task, and what the harness would ask a model of it.

    `prompt`, `target` and `distractors` are the first right choice and the others, for whoever reads items only.

    Attributes:
        doc_id: The document's number in the harness.
        choices: Context and continuation of each choice, in the harness's order.
        gold: Indices of the right choices.
        lengths: Characters and bytes of each choice's text, which normalised accuracies divide by.
    """

    doc_id: int = 0
    choices: tuple[tuple[str, str], ...] = ()
    gold: tuple[int, ...] = (0,)
    lengths: tuple[tuple[int, int], ...] = ()

    @property
    def order(self) -> tuple[int, ...]:
        """Indices of the choices, the first right one first: the order of `answers.choices`."""
        first = self.gold[0]
        return (first, *(k for k in range(len(self.choices)) if k != first))


def benchmark_item(
    task: str,
    doc_id: int,
    choices: Sequence[tuple[str, str]],
    gold: Sequence[int],
    lengths: Sequence[tuple[int, int]] = (),
) -> BenchmarkItem:
    """An item from what the harness asks."""
    right, others = gold[0], [text for k, (_, text) in enumerate(choices) if k != gold[0]]
    return BenchmarkItem(
        id=str(doc_id),
        task=task,
        prompt=choices[right][0],
        target=choices[right][1],
        distractors=tuple(others),
        doc_id=doc_id,
        choices=tuple((context, text) for context, text in choices),
        gold=tuple(gold),
        lengths=tuple((n, m) for n, m in lengths),
    )


@dataclass(frozen=True)
class BenchmarkFacts:
    """Where a task's items come from and how they are scored: all of it is part of the probe's identity.

    Attributes:
        task: The harness's name.
        kind: Its `output_type`.
        metrics: Its metrics, by the harness's names.
        version: Of the task.
        shots: Examples before each question.
        harness: Version of lm-eval.
        config_sha256: Of the task's definition, without paths.
        data_sha256: Of the documents that were read.
        own_scoring: Whether the task scores by code of its own, which is not run here.
    """

    task: str
    kind: str
    metrics: tuple[str, ...]
    version: str
    shots: int
    harness: str
    config_sha256: str
    data_sha256: str
    own_scoring: bool = False


@dataclass(frozen=True)
class Frozen:
    """A task as a frozen file holds it."""

    set_name: str
    facts: BenchmarkFacts
    items: tuple[BenchmarkItem, ...]


def frozen_name(frozen: Frozen) -> str:
    """A file name: letters of the task's name, its shots, and what the content hashes to."""
    plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in frozen.facts.task)
    return f"{plain[:80]}.{frozen.facts.shots}-shot.{_content_sha256(frozen)[:12]}.jsonl"


def frozen_text(frozen: Frozen) -> str:
    """The content of a frozen file."""
    header = {"set": frozen.set_name, "facts": asdict(frozen.facts), "sha256": _content_sha256(frozen)}
    lines = [{_HEADER: header}, *map(_plain, frozen.items)]
    return "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines)


def is_frozen(path: Path) -> bool:
    """Whether a file begins as a frozen one does."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(_HEADER) + 4).startswith(f'{{"{_HEADER}"'.encode())
    except (OSError, ValueError):
        return False


def read_frozen(path: Path) -> Frozen:
    """The task in a frozen file.

    Raises:
        PythiaGeometryError: If it is not what was written.
    """
    cure = "Freeze it again: walk with --probes lm-eval:NAME on a machine that has lm-eval"
    try:
        (_, first), *rows = json_rows(path)
        header = first[_HEADER]
        facts = header["facts"]
        found = Frozen(
            str(header["set"]),
            BenchmarkFacts(**{**facts, "metrics": tuple(facts["metrics"])}),
            tuple(_item(facts["task"], row) for _, row in rows),
        )
    except (JsonError, KeyError, TypeError, IndexError, ValueError) as error:
        raise PythiaGeometryError(f"{path} is no frozen task of lm-eval: {error}. {cure}") from error
    if not found.items or header.get("sha256") != _content_sha256(found):
        raise PythiaGeometryError(f"{path} was changed after it was written: its sha256 is another. {cure}")
    return found


_OWN = tuple(field.name for field in fields(BenchmarkItem) if field.name not in {f.name for f in fields(Item)})


def _plain(item: BenchmarkItem) -> dict[str, Any]:
    """What an item is made from again."""
    return {name: getattr(item, name) for name in _OWN}


def _item(task: str, row: Mapping[str, Any]) -> BenchmarkItem:
    return benchmark_item(task, row["doc_id"], [(c, t) for c, t in row["choices"]], row["gold"], row["lengths"])


def _content_sha256(frozen: Frozen) -> str:
    content = [frozen.set_name, asdict(frozen.facts), [_plain(item) for item in frozen.items]]
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()

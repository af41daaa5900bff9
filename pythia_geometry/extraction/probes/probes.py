"""Probe sets: prompts with targets, grouped into tasks of fixed size.

A *probe set* is a file (`syntax`); a *probe* is one task of it (`syntax/agreement_2`), the unit that is
measured. `syntax:shuffled` is its control: the tokens of every prompt permuted, all but the last. A task of it is
called `syntax/agreement_2:shuffled`; `syntax:shuffled/agreement_2`, as tables join their columns, is read as the same.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.benchmark_items import (
    PREFIX,
    BenchmarkFacts,
    BenchmarkItem,
    Frozen,
    HarnessOptions,
    is_frozen,
    read_frozen,
)
from pythia_geometry.extraction.probes.probe_checks import ProbeWarning, warnings_of
from pythia_geometry.extraction.probes.probe_files import Item, ProbeFile, read_probe_file
from pythia_geometry.json_files import read_json
from pythia_geometry.shipped import data_folder
from pythia_geometry.typed_path import typed_path

SHUFFLED = ":shuffled"
CORE, ALL = "core", "all"
ALGORITHMIC = "algorithmic"


@dataclass(frozen=True)
class Probe:
    """One task of a probe set.

    Attributes:
        set_name: The set, with `:shuffled` where it is the control.
        task: The task.
        items: Its rows, in the file's order.
        warnings: What is probably a mistake in them; of the sets that ship, nothing.
        facts: Of a task of lm-eval, where it comes from and how it is scored; its items are `BenchmarkItem`s.
    """

    set_name: str
    task: str
    items: tuple[Item, ...]
    warnings: tuple[ProbeWarning, ...] = field(default=(), compare=False)
    facts: BenchmarkFacts | None = None

    @property
    def name(self) -> str:
        """How the user names it: `syntax/agreement_2`, or `syntax/agreement_2:shuffled`."""
        base = self.set_name.removesuffix(SHUFFLED)
        return f"{base}/{self.task}" + (SHUFFLED if self.is_shuffled else "")

    @property
    def is_shuffled(self) -> bool:
        """Whether this is the token-shuffled control."""
        return self.set_name.endswith(SHUFFLED)

    @cached_property
    def sha256(self) -> str:
        """Identity of the rows and of the shuffling, without the marks: activations and answers do not read them."""
        rows = [{k: v for k, v in asdict(item).items() if k != "marks"} for item in self.items]
        facts = [asdict(self.facts)] if self.facts else []
        text = json.dumps([self.is_shuffled, rows, *facts], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def marks_sha256(self) -> str:
        """Identity of the marks, which only attention measures read."""
        text = json.dumps([dict(item.marks) for item in self.items], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def clusters(self) -> NDArray[np.int64] | None:
        """Number of each row's cluster, from 0: rows of one `source`, such as a template. None where there is no such.

        One source for all rows names the set and tells nothing apart; as many sources as rows are rows of their own.
        """
        names, numbers = np.unique([item.source for item in self.items], return_inverse=True)
        return numbers if 1 < len(names) < len(self.items) else None

    @property
    def n_clusters(self) -> int:
        """Clusters that errors of the geometry are over; rows where there are none."""
        return len(self.items) if self.clusters is None else int(self.clusters.max()) + 1

    @property
    def chance(self) -> float:
        """Accuracy of guessing: 1/(1 + distractors), averaged over items; 0 without distractors.

        Of a task with several right choices, their share.
        """
        if self.facts:
            return sum(_guessed(item) for item in self.items) / len(self.items)
        return sum(1 / (1 + len(i.distractors)) if i.distractors else 0.0 for i in self.items) / len(self.items)

    @property
    def majority(self) -> float:
        """Share of the most frequent target: what always giving one answer scores."""
        return max(Counter(item.target for item in self.items).values()) / len(self.items)


def load_probes(names: Sequence[str], options: HarnessOptions | None = None) -> list[Probe]:
    """The probes that a selection means, in order, each once.

    Args:
        names: `core`, `all`, a set, `set/task`, each with an optional `:shuffled`; or a file (JSONL, JSON, CSV,
            Parquet), the name of a dataset on the Hub, or `lm-eval:` and a task of the harness, with or without it.
        options: How tasks of lm-eval are built.

    Raises:
        PythiaGeometryError: If a name is unknown or a file malformed.
    """
    found: dict[tuple[str, str], Probe] = {}
    for name in names:
        for probe in _named(name.strip(), options or HarnessOptions()):
            held = found.setdefault((probe.set_name, probe.task), probe)
            if (held.sha256, held.marks_sha256) != (probe.sha256, probe.marks_sha256):
                raise PythiaGeometryError(
                    f"Two different probes are called {probe.name}, one of them from {name!r}. Rename the file or "
                    "its task: results are told apart by these names"
                )
    if not found:
        raise PythiaGeometryError("No probes are selected. See what there is: pythia-geom probes")
    return list(found.values())


def shipped_sets() -> list[str]:
    """Names of the probe sets that ship, the algorithmic one last."""
    names = sorted(path.stem for path in _folder().glob("*.jsonl"))
    return sorted(names, key=lambda name: (name == ALGORITHMIC, name))


def language_sets() -> list[str]:
    """The shipped sets for language models: what `all` means."""
    return [name for name in shipped_sets() if name != ALGORITHMIC]


def _folder() -> Path:
    return data_folder() / "probes"


def _named(name: str, options: HarnessOptions) -> Iterable[Probe]:
    if not name:
        raise PythiaGeometryError("--probes has an empty name. Expected core, all, or names: pythia-geom probes")
    set_name, is_table_order, task = name.partition(f"{SHUFFLED}/")
    name = f"{set_name}/{task}{SHUFFLED}" if is_table_order else name
    base, shuffled = name.removesuffix(SHUFFLED), name.endswith(SHUFFLED)
    if base == CORE:
        return [p for task in read_json(_folder() / "core.json")["core"] for p in _from_shipped(task, shuffled)]
    if base == ALL:
        return [p for set_name in language_sets() for p in _from_shipped(set_name, shuffled)]
    if base.partition("/")[0] in shipped_sets():
        return _from_shipped(base, shuffled)
    if base.startswith(PREFIX):
        from pythia_geometry.extraction.probes.lm_eval_tasks import build_tasks

        return [_benchmark(frozen, shuffled) for frozen in build_tasks(base.removeprefix(PREFIX), options)]
    if is_frozen(typed_path(base)):
        return [_benchmark(read_frozen(typed_path(base)), shuffled)]
    read = read_probe_file(base)
    if read is None:
        raise PythiaGeometryError(_unknown(base))
    own = typed_path(base)
    return _checked(_grouped(own.stem if own.exists() else base, read, shuffled), read)


def _from_shipped(name: str, shuffled: bool) -> list[Probe]:
    set_name, slash, task = name.partition("/")
    probes = _grouped(set_name, read_probe_file(str(_folder() / f"{set_name}.jsonl")) or ProbeFile(()), shuffled)
    if not slash:
        return probes
    chosen = [probe for probe in probes if probe.task == task]
    if not chosen:
        tasks = ", ".join(probe.task for probe in probes)
        raise PythiaGeometryError(f"Probe set {set_name!r} has no task {task!r}. Its tasks: {tasks}")
    return chosen


def _unknown(name: str) -> str:
    known = [CORE, ALL, *shipped_sets()]
    close = get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    return (
        f"Unknown probe {name!r}. {hint}Expected {', '.join(known)}, set/task, a file ending in .jsonl, .json, .csv "
        "or .parquet, a dataset as organisation/name, or lm-eval:TASK. See: pythia-geom probes"
    )


def _checked(probes: Sequence[Probe], read: ProbeFile) -> list[Probe]:
    """A user's own probes, with what is probably wrong in them."""
    return [replace(probe, warnings=warnings_of(probe.items, read.unread)) for probe in probes]


def _benchmark(frozen: Frozen, shuffled: bool) -> Probe:
    """A task of lm-eval; its items are taken as they are."""
    probe = Probe(frozen.set_name, frozen.facts.task, frozen.items, facts=frozen.facts)
    if not shuffled:
        return probe
    companion = companion_of(probe)
    if companion is None:
        raise PythiaGeometryError(
            f"{frozen.facts.task} of lm-eval has empty contexts: nothing stands before its choices that could be "
            "shuffled, so it has no :shuffled companion"
        )
    return companion


def companion_of(probe: Probe) -> Probe | None:
    """The token-shuffled control of a probe; None of a task of lm-eval whose contexts are all empty."""
    benchmark = [item for item in probe.items if isinstance(item, BenchmarkItem)]
    if benchmark and not any(context for item in benchmark for context, _ in item.choices):
        return None
    return replace(probe, set_name=probe.set_name + SHUFFLED)


def frozen_of(probe: Probe) -> Frozen | None:
    """What a file would freeze of a task of lm-eval; None of any other probe."""
    if probe.facts is None:
        return None
    items = tuple(item for item in probe.items if isinstance(item, BenchmarkItem))
    return Frozen(probe.set_name.removesuffix(SHUFFLED), probe.facts, items)


def _guessed(item: Item) -> float:
    """Share of the choices that are right; 0 where there is one continuation only."""
    right = len(item.gold) if isinstance(item, BenchmarkItem) else 1
    return right / (1 + len(item.distractors)) if item.distractors else 0.0


def _grouped(set_name: str, read: ProbeFile, shuffled: bool) -> list[Probe]:
    tasks: dict[str, list[Item]] = {}
    for item in read.items:
        tasks.setdefault(item.task, []).append(item)
    probes = [Probe(set_name + (SHUFFLED if shuffled else ""), t, tuple(rows)) for t, rows in tasks.items()]
    for probe in probes:
        if len(probe.items) < 2:
            raise PythiaGeometryError(
                f"Probe {probe.name} has {len(probe.items)} row. Geometry needs at least 2 rows a task, and "
                "100 or more to mean anything"
            )
    return probes

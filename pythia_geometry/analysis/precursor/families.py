"""Which tasks count as one: levels of a task are a family, and the precursor test permutes families.

Declared in `data/probes/families.toml` for the sets that ship, in a column `family` in anyone's own tables; a task that
is declared nowhere is a family of its own. Tasks of lm-eval are known by a part of their names, whatever group they
were asked by; the tasks of any other group of the harness are a family too.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pythia_geometry.analysis.precursor.screening import BehaviourRun, Screening
from pythia_geometry.analysis.tables.step_curves import StepCurves
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.shipped import data_folder

HARDEST, ALL = "hardest", "all"


@dataclass(frozen=True)
class Chosen:
    """The tasks that are tested.

    Attributes:
        runs: Their behaviour, tasks of a family together, the easiest first.
        families: The family of each task [T].
        undeclared: Tasks whose family is declared nowhere.
    """

    runs: tuple[BehaviourRun, ...]
    families: tuple[str, ...]
    undeclared: tuple[str, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """probe/task of each."""
        return self.runs[0].tasks if self.runs else ()

    @property
    def n_families(self) -> int:
        """Families."""
        return len(set(self.families))


BENCHMARK = "lm-eval"
"""How probes of the harness begin, and the section of `families.toml` that declares them."""


@cache
def declared() -> Mapping[str, tuple[str, int]]:
    """By probe/task: its family, and its place in it from the easiest."""
    return {
        f"{probe}/{task}": (f"{probe}/{name}", place)
        for probe, families in _file().items()
        if probe != BENCHMARK
        for name, tasks in families.items()
        for place, task in enumerate(tasks)
    }


@cache
def _file() -> Mapping[str, Mapping[str, Sequence[str]]]:
    text = (data_folder() / "probes" / "families.toml").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, Sequence[str]]] = tomllib.loads(text)
    return found


def _of_benchmark(key: str) -> tuple[str, int] | None:
    """Family and place of a task of lm-eval, as probe/task; None of any other task, and of one that stands alone."""
    probe, _, task = key.rpartition("/")
    if not probe.startswith(BENCHMARK):
        return None
    for name, parts in _file()[BENCHMARK].items():
        for place, part in enumerate(parts):
            if part in task:
                return f"{BENCHMARK}/{name}", place
    asked_by = probe.removeprefix(f"{BENCHMARK}:").partition("@")[0]
    is_group = probe.startswith(f"{BENCHMARK}:") and asked_by != task
    return (probe, 0) if is_group else None


def families_of(tasks: Sequence[str], own: Mapping[str, str] | None = None) -> dict[str, tuple[str, int]]:
    """By task: its family and its place in it; a table's own column goes before what ships."""
    known, given = declared(), own or {}
    return {
        task: (given[task], place) if task in given else known.get(task) or _of_benchmark(task) or (task, 0)
        for place, task in enumerate(tasks)
    }


def own_families(behaviour: pd.DataFrame) -> dict[str, str]:
    """By task, the family that a table states itself in a column `family`.

    Raises:
        PythiaGeometryError: If a task has two.
    """
    if "family" not in behaviour:
        return {}
    key = behaviour["task"].astype(str)
    if "probe" in behaviour:
        probe = behaviour["probe"].astype(str).str.removesuffix(":shuffled")
        key = (probe + "/").where(probe != "", "") + key
    named = pd.DataFrame({"task": key, "family": behaviour["family"]}).dropna().astype(str).drop_duplicates()
    if (twice := named.loc[named["task"].duplicated(), "task"]).size:
        raise PythiaGeometryError(f"behaviour table: column 'family' names two families for task {twice.iloc[0]}")
    return dict(zip(named["task"], named["family"], strict=True))


def choose_tasks(screening: Screening, which: str = HARDEST, own: Mapping[str, str] | None = None) -> Chosen:
    """Of the tasks that emerged in every run, those to test. Geometry is not looked at.

    Args:
        screening: From `screen_tasks`.
        which: `hardest` (of each family the hardest: the last that is declared, and of members without an order the one
            whose behaviour is halfway last), `all` (families are then permuted whole), or names with commas.
        own: From `own_families`.

    Raises:
        PythiaGeometryError: If a name is no task that emerged.
    """
    of = families_of(screening.tasks, own)
    if which == HARDEST:
        best: dict[str, str] = {}
        late = dict(zip(screening.tasks, _mean_midpoints(screening), strict=True))
        for task in sorted(screening.tasks, key=lambda task: (of[task][1], late[task])):
            best[of[task][0]] = task
        kept = set(best.values())
    elif which == ALL:
        kept = set(screening.tasks)
    else:
        kept = _named(which, screening)
    order = sorted(kept, key=lambda task: (of[task][0], of[task][1]))
    places = [screening.tasks.index(task) for task in order]
    known = {**declared(), **(own or {})}
    undeclared = tuple(task for task in order if task not in known and _of_benchmark(task) is None)
    runs = tuple(_only(run, places) for run in screening.runs) if order else ()
    return Chosen(runs, tuple(of[task][0] for task in order), undeclared)


def _mean_midpoints(screening: Screening) -> list[float]:
    """log10(step) at which each task is halfway, the mean over runs."""
    return [float(x) for x in np.mean([run.midpoints for run in screening.runs], axis=0)] if screening.runs else []


def _named(which: str, screening: Screening) -> set[str]:
    kept = set()
    for name in filter(None, map(str.strip, which.split(","))):
        found = [task for task in screening.tasks if name in (task, task.rpartition("/")[2])]
        if not found:
            known = ", ".join(screening.tasks[:8]) or "none"
            raise PythiaGeometryError(f"--tasks {name}: no task of that name emerged in every run. Emerged: {known}")
        kept.update(found)
    return kept


def _only(run: BehaviourRun, places: Sequence[int]) -> BehaviourRun:
    rows = np.asarray(places, dtype=int)
    return replace(
        run,
        tasks=tuple(run.tasks[place] for place in places),
        accuracy=_rows_of(run.accuracy, rows),
        error=run.error[rows],
        continuous=None if run.continuous is None else _rows_of(run.continuous, rows),
        baseline=run.baseline[rows],
        midpoints=run.midpoints[rows],
    )


def _rows_of(curves: StepCurves, rows: NDArray[np.int64]) -> StepCurves:
    return StepCurves(curves.steps, curves.values[rows], curves.what)

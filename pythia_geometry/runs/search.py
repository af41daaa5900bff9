"""An onset in few checkpoints: the interval in which a behaviour comes halfway is halved until it is one of the grid's.

It assumes that the behaviour comes halfway once. Rows and run folder are the walk's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pythia_geometry.analysis.curves.probability import probability
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import Plan, RunPlan
from pythia_geometry.runs.progress import Progress, Silent
from pythia_geometry.runs.request import FILES
from pythia_geometry.store.tables import Tables

ASSUMPTION = (
    "Assumes that the probability of the right answer comes halfway, between its first and its last level, once: steps "
    "that were not walked are taken to be on the side of their neighbours. A rise that falls back, or one that is over "
    "by the last step, is not seen; a walk over all steps sees it."
)
"""What a bisection takes for granted; every screen that shows one says it."""

BISECT = "bisect"

ERRORS = 2.0
"""By how many standard errors the last level must stand above the first."""

COLUMNS = ["model", "seed", "probe", "task", "after", "by", "first", "half", "last", "walked", "steps", "reason"]


def fewest(steps: int) -> int:
    """Checkpoints that one task needs: both ends and the middles; tasks that emerge apart need more."""
    return min(steps, 2 + max(0, steps - 2).bit_length())


class Point(NamedTuple):
    """The probability of the right answer at a walked step."""

    step: int
    value: float
    error: float


class Bracket(NamedTuple):
    """Where a task came halfway; steps are None where it did not, or is not known to."""

    after: int | None
    by: int | None
    half: float
    reason: str


@dataclass
class _Search:
    """The steps of one run that were walked, and what of its tasks they say."""

    run: RunPlan
    tried: set[int] = field(default_factory=set)
    points: Mapping[tuple[str, str], Sequence[Point]] = field(default_factory=dict)

    def wanted(self) -> set[int]:
        """The steps to walk next; empty where every task's interval is one of the grid's."""
        known = {point.step for points in self.points.values() for point in points}
        alive = [c.step for c in self.run.usable if c.step in known or c.step not in self.tried]
        ends = {*alive[:1], *alive[-1:]} - self.tried
        return ends or {step for task in self.points if (step := self._middle(task, alive)) is not None}

    def _middle(self, task: tuple[str, str], alive: Sequence[int]) -> int | None:
        found = bracket(self.points[task])
        if found.after is None or found.by is None:
            return None
        between = [step for step in alive if found.after < step < found.by and step not in self.tried]
        return between[len(between) // 2] if between else None

    def part(self) -> RunPlan:
        """The run's plan with the walked steps and those to walk alone."""
        return replace(self.run, checkpoints=tuple(c for c in self.run.checkpoints if c.step in self.tried))


def bisect(plan: Plan, out: str | Path, progress: Progress | None = None) -> tuple[Tables, pd.DataFrame]:
    """Walks the first and the last step, then again and again the middle of each task's interval.

    About 2 + log2(steps) checkpoints for one task; tasks that emerge at one time share them. Steps that the run folder
    holds already are used too. How it misleads: see `ASSUMPTION`.

    Args:
        plan: All steps that may be walked.
        out: The run folder.
        progress: Told of every step.

    Returns:
        All tables of the run folder; and one row a run and task: after and by (the onset is in (after, by]; <NA> where
        there is none), first, half and last (probability of the right answer), walked (checkpoints of the run that were
        read), steps (that there are), reason (why there is no onset, or what speaks against the assumption).

    Raises:
        PythiaGeometryError: If answers are not scored.
    """
    if plan.request.fetch != FILES:
        raise PythiaGeometryError("--search bisect reads answers, and --fetch ranges leaves them out. Leave out one")
    told = _Once(progress or Silent())
    searches = [_Search(run) for run in plan.runs]
    tables: Tables | None = None
    while tables is None or any(search.wanted() for search in searches):
        for search in searches:
            search.tried |= search.wanted()
        tables = walk(replace(plan, runs=tuple(search.part() for search in searches)), out, told)
        for search in searches:
            search.points = points_of(tables.answers, search.run)
    return tables, pd.DataFrame([row for search in searches for row in _rows(search)], columns=COLUMNS)


def points_of(answers: pd.DataFrame, run: RunPlan) -> dict[tuple[str, str], list[Point]]:
    """By probe and task, what the answers of a run say at each step."""
    suite, asked = run.suite, {(e.probe.set_name, e.probe.task) for e in run.probes}
    mine = answers[(answers["model"] == suite.model) & (answers["seed"] == suite.seed) & (answers["reason"] == "")]
    steps = {checkpoint.step for checkpoint in run.usable}
    found: dict[tuple[str, str], list[Point]] = {task: [] for task in sorted(asked)}
    if len(mine):
        curve = probability(mine).dropna(subset=["value"]).sort_values("step")
        for row in curve.to_dict("records"):
            task = (str(row["probe"]), str(row["task"]))
            if task in asked and row["step"] in steps:
                found[task].append(Point(int(row["step"]), float(row["value"]), float(row["error"])))
    return found


def bracket(points: Sequence[Point]) -> Bracket:
    """The last interval between walked steps in which a task came halfway; and what speaks against the assumption."""
    if len(points) < 2:
        return Bracket(None, None, float("nan"), f"known at {len(points)} steps; an onset needs 2")
    first, last = points[0], points[-1]
    half = (first.value + last.value) / 2
    if last.value - first.value <= ERRORS * float(np.hypot(first.error, last.error)):
        return Bracket(None, None, half, "no onset: the last step is not above the first by two errors")
    below = [i for i, point in enumerate(points) if point.value < half]
    after, by = points[below[-1]], points[below[-1] + 1]
    early = [point.step for point in points[: below[-1]] if point.value >= half]
    against = f"halfway at step {early[0]} too, and below again later: not one rise" if early else ""
    return Bracket(after.step, by.step, half, against)


def _rows(search: _Search) -> list[list[Any]]:
    suite, rows = search.run.suite, []
    for (probe, task), points in search.points.items():
        found = bracket(points)
        levels = [points[0].value, found.half, points[-1].value] if points else [float("nan")] * 3
        steps = [found.after if found.after is not None else pd.NA, found.by if found.by is not None else pd.NA]
        counts = [len(search.tried), len(search.run.usable)]
        rows.append([suite.model, suite.seed, probe, task, *steps, *levels, *counts, found.reason])
    return rows


class _Once(Silent):
    """Tells of each checkpoint once, however often the walk comes by."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.told = progress, set[str]()
        self.stage = progress.stage  # type: ignore[method-assign]
        self.damaged = progress.damaged  # type: ignore[method-assign]
        self.lost = progress.lost  # type: ignore[method-assign]

    def finished(self, checkpoint: str, detail: str) -> None:
        if checkpoint not in self.told:
            self.told.add(checkpoint)
            self.progress.finished(checkpoint, detail)

"""Does geometry lead behaviour, task by task? Each model on its own, both conventions, Holm over all of them.

Order matters: tasks are screened and chosen and power is computed on behaviour alone; only then is geometry looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from pythia_geometry.analysis.precursor.families import HARDEST
from pythia_geometry.analysis.precursor.finding import UNTESTABLE, Finding, StudyRun, examine, judge
from pythia_geometry.analysis.precursor.multiplicity import holm
from pythia_geometry.analysis.precursor.power import DRAWS, Power, behaviours_of, power
from pythia_geometry.analysis.precursor.screening import BehaviourRun
from pythia_geometry.analysis.precursor.task_matched_lag import LayerScan, MatchedRun, scan_layers
from pythia_geometry.analysis.precursor.tidy_tables import (
    GEOMETRY,
    SHUFFLED,
    Question,
    by_run,
    geometry_rows,
    last_quarter,
    log_geometry,
    mark_unmeasured,
)
from pythia_geometry.analysis.tables.copies import refuse_copies
from pythia_geometry.analysis.tables.reading import check_columns
from pythia_geometry.analysis.tables.step_curves import StepCurves
from pythia_geometry.errors import PythiaGeometryError

Key = TypeVar("Key")
CONVENTIONS = ("rankme_centred", "rankme")
"""Both are always asked: the first is ours, the second the paper's."""
NEAR_CEILING = 0.9  # of what rows and width allow; isotropic noise reads .80 to .96 of it


@dataclass(frozen=True)
class Verdict:
    """What may be said of one model and one measure.

    Attributes:
        model: The model.
        measure: The geometry measure; its logarithm is used.
        label: One of `finding.WORDS`, with `, in this run` where it is descriptive.
        reasons: Why this label, in words.
        power: Computed before geometry was looked at, with every screened task.
        finding: Legs, companion and sensitivities; None with fewer than five families, or less than a decade of steps.
        p_adjusted: The finding's p after Holm's correction over measures and models; NaN without a finding.
    """

    model: str
    measure: str
    label: str
    reasons: tuple[str, ...]
    power: Power
    finding: Finding | None = None
    p_adjusted: float = float("nan")


def precursors(
    geometry: pd.DataFrame,
    behaviour: pd.DataFrame,
    question: Question | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    tasks: str = HARDEST,
    measures: Sequence[str] = (),
) -> tuple[Verdict, ...]:
    """Tests whether each task's geometry leads that task's behaviour, in every model of the tables.

    The geometry is declared beforehand: the mean of ln RankMe over the last quarter of the blocks, centred and
    uncentred. Seeds of one model are tested together, with one permutation of families for all; models are not pooled.

    How it misleads: see `task_matched_lag`, `compare_shuffled` and `explaining_bend`. The words are for tasks like
    these, probed at this position, and for the training runs of this recipe: not for a capability in general.

    Args:
        geometry: Tidy rows: model, seed, step, task, layer, measure, value (probe, position, reason).
        behaviour: Tidy rows: model, seed, step, task, metric, value, chance, n or error (family).
        question: Position and continuous metric; its measure is not read.
        draws: Made-up geometries a lead for the power.
        seed: Of draws, permutations and bootstraps.
        tasks: As for `choose_tasks`.
        measures: Geometry measures; of the two conventions those that the table has where empty.

    Returns:
        A verdict for each model and measure, in the order of the table's models.

    Raises:
        PythiaGeometryError: Naming the column, where a table cannot be used.
    """
    question = question or Question()
    if {"measure", "layer", "task"} <= set(geometry):
        behaviour = mark_unmeasured(behaviour, geometry, measures or CONVENTIONS)
    of_model = powers(behaviour, question, draws, seed, tasks)  # before geometry is looked at
    able = {m: found for m, found in of_model.items() if found.can_be_asked}
    names = _measures(geometry, measures) if able else tuple(measures) or CONVENTIONS[:1]
    findings = {
        (m, measure): examine(
            study_runs(geometry, found.chosen.runs, _asked(question, measure)), found.chosen.families, seed
        )
        for m, found in able.items()
        for measure in names
    }
    p = adjusted({key: found.p for key, found in findings.items()})
    return tuple(
        _verdict(m, measure, found, findings.get((m, measure)), p.get((m, measure), float("nan")))
        for m, found in of_model.items()
        for measure in names
    )


def powers(
    behaviour: pd.DataFrame, question: Question | None = None, draws: int = DRAWS, seed: int = 0, tasks: str = HARDEST
) -> dict[str, Power]:
    """Power of each model of a behaviour table, by model."""
    if "model" not in behaviour or behaviour.empty:
        return {"": power(behaviour, question, draws, seed, tasks)}  # which says what is missing
    return {
        str(model): power(rows, question, draws, seed, tasks) for model, rows in behaviour.groupby("model", sort=True)
    }


def _verdict(model: str, measure: str, found: Power, shown: Finding | None, p_adjusted: float) -> Verdict:
    if shown is None:
        return Verdict(model, measure, UNTESTABLE, (found.reason,), found)
    label, reasons = judge(shown, p_adjusted, found.decisive)
    return Verdict(model, measure, label, reasons, found, shown, p_adjusted)


def _measures(geometry: pd.DataFrame, asked: Sequence[str]) -> tuple[str, ...]:
    check_columns(geometry, GEOMETRY, "geometry")
    known = set(geometry["measure"].astype(str))
    chosen = tuple(asked) or tuple(m for m in CONVENTIONS if m in known)
    if missing := [m for m in chosen or CONVENTIONS if m not in known]:
        raise PythiaGeometryError(
            f"geometry table: no {missing[0]!r} in column 'measure'. It holds {', '.join(sorted(known))}. "
            f"Walk it: --measures {','.join(chosen or CONVENTIONS)}"
        )
    return chosen


def _asked(question: Question, measure: str) -> Question:
    return Question(measure, question.position, question.continuous)


def adjusted(p: Mapping[Key, float]) -> dict[Key, float]:
    """Holm-adjusted p for several measures or models, each a test of its own."""
    return dict(zip(p, holm(list(p.values())).tolist(), strict=True)) if p else {}


def study_runs(geometry: pd.DataFrame, runs: Sequence[BehaviourRun], question: Question) -> list[StudyRun]:
    """Geometry of the tested tasks beside their behaviour; of shuffled prompts too where all tasks have it."""
    rows = by_run(geometry_rows(geometry, question))
    _refuse_without(rows, runs, question)
    own = run_geometry(rows, runs)
    both = [np.append(curves.values, run.accuracy.values) for run, curves in zip(runs, own, strict=True)]
    refuse_copies(zip((run.name for run in runs), both, strict=True), "numbers")
    shuffled = run_geometry(rows, runs, SHUFFLED) if _has_companion(rows, runs) else [None] * len(runs)
    return [
        StudyRun(g, s, behaviours_of(run, question.continuous), tasks_at_ceiling(rows[run.name], run.tasks))
        for g, s, run in zip(own, shuffled, runs, strict=True)
    ]


def _refuse_without(rows: Mapping[str, pd.DataFrame], runs: Sequence[BehaviourRun], question: Question) -> None:
    """A run without the measure, or without a block that the other runs have, is named; it is not read elsewhere.

    Raises:
        PythiaGeometryError: Naming run and block.
    """
    blocks = {}
    for run in runs:
        if run.name not in rows:
            raise PythiaGeometryError(
                f"geometry table: columns 'model' and 'seed' hold no {run.name}, which the behaviour table has, "
                f"with {question.measure}. Walk it: --measures {question.measure}"
            )
        mine = rows[run.name]
        own = mine[mine["key"].isin(run.tasks) & mine["value"].notna()]
        blocks[run.name] = set(last_quarter(own)["layer"].astype(str)) if len(own) else set()
    wanted = max(blocks.values(), key=lambda names: sorted(names, key=lambda name: (len(name), name))[-1:])
    for name, held in blocks.items():
        if missing := wanted - held:
            raise PythiaGeometryError(
                f"geometry table: {name} has no {question.measure} of its own prompts in {', '.join(sorted(missing))}, "
                "which other runs have. Walk it again, or leave the run out"
            )


def tasks_at_ceiling(rows: pd.DataFrame, tasks: Sequence[str]) -> int:
    """How many tasks' geometry comes, after its floor, to nine tenths of the column `ceiling` in a last block.

    How it misleads: without that column it is 0, whatever is true.
    """
    if "ceiling" not in rows:
        return 0
    used = last_quarter(rows[rows["key"].isin(tasks) & (rows["step"] >= 1)]).dropna(subset=["value"])
    found = set()
    for (key, _), curve in used.sort_values("step").groupby(["key", "layer"]):
        after = curve.iloc[int(curve["value"].to_numpy().argmin()) :]
        if (after["value"] >= NEAR_CEILING * after["ceiling"]).any():
            found.add(key)
    return len(found)


def layer_scan(
    geometry: pd.DataFrame, behaviour_runs: Sequence[BehaviourRun], question: Question | None = None, seed: int = 0
) -> LayerScan:
    """The accuracy leg at every layer, its p corrected for all layers (Westfall–Young). Secondary, timing only.

    Args:
        geometry: Tidy geometry rows.
        behaviour_runs: Of the tasks that are tested.
        question: Names measure and position.
        seed: Of the permutations.

    Raises:
        PythiaGeometryError: If there is nothing to permute, or a layer is missing in a run.
    """
    rows = geometry_rows(geometry, question or Question())
    by_layer = {}
    for layer in rows.sort_values("layer_index" if "layer_index" in rows else "layer")["layer"].unique():
        if rows.loc[rows["layer"] == layer, "value"].isna().all():  # the embedding of a shared last token
            continue
        runs = by_run(rows[rows["layer"] == layer])
        curves = run_geometry(runs, behaviour_runs, all_layers=True)
        by_layer[str(layer)] = [MatchedRun(g, run.accuracy) for g, run in zip(curves, behaviour_runs, strict=True)]
    return scan_layers(by_layer, seed)


def run_geometry(
    rows: Mapping[str, pd.DataFrame], runs: Sequence[BehaviourRun], ending: str = "", all_layers: bool = False
) -> list[StepCurves]:
    """Ln of the measure for the tested tasks of each run, over the last quarter of blocks.

    Raises:
        PythiaGeometryError: If a run or a task has no geometry.
    """
    curves = []
    for run in runs:
        if run.name not in rows:
            raise PythiaGeometryError(
                f"geometry table: columns 'model' and 'seed' hold no {run.name}, which the behaviour table has"
            )
        chosen = rows[run.name] if all_layers else last_quarter(rows[run.name])
        keys = [task + ending for task in run.tasks]
        curves.append(log_geometry(chosen[chosen["key"].isin(keys)], keys, f"{run.name}, geometry"))
    return curves


def _has_companion(rows: Mapping[str, pd.DataFrame], runs: Sequence[BehaviourRun]) -> bool:
    """Whether every run has a value of every tested task's shuffled prompts."""
    known = {run.name: rows[run.name][rows[run.name]["value"].notna()] for run in runs}
    return all({task + SHUFFLED for task in run.tasks} <= set(known[run.name]["key"]) for run in runs)

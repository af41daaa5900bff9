"""Does geometry lead behaviour, task by task? The verdict, from both legs, the companion and the power.

Order matters: tasks are screened and power is computed on behaviour alone; only then is geometry looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pythia_geometry.analysis.precursor.multiplicity import holm
from pythia_geometry.analysis.precursor.power import DRAWS, Power, power
from pythia_geometry.analysis.precursor.screening import ACCURACY, MIN_TASKS, BehaviourRun
from pythia_geometry.analysis.precursor.task_matched_lag import (
    COUPLED,
    LAGS_BEHIND,
    LEADS,
    NOTHING,
    LayerScan,
    Leg,
    MatchedRun,
    scan_layers,
    task_matched_lag,
)
from pythia_geometry.analysis.precursor.tidy_tables import (
    SHUFFLED,
    Question,
    by_run,
    geometry_rows,
    last_quarter,
    log_geometry,
)
from pythia_geometry.analysis.step_curves import StepCurves
from pythia_geometry.errors import PythiaGeometryError

UNTESTABLE = "untestable"
LABELS = (LEADS, COUPLED, LAGS_BEHIND, NOTHING, UNTESTABLE)
Legs = Mapping[str, Leg]


@dataclass(frozen=True)
class Verdict:
    """What may be said.

    Attributes:
        label: precursor; coupled, not leading; lagging; no task-specific coupling; untestable.
        reasons: Why this label, in words.
        power: Computed before geometry was looked at, with every screened task.
        legs: By metric (accuracy, and the continuous one where there is one); empty with fewer than five tasks.
        companion: The same legs with the geometry of the token-shuffled prompts; empty where it was not measured.
    """

    label: str
    reasons: tuple[str, ...]
    power: Power
    legs: Legs
    companion: Legs


def precursors(
    geometry: pd.DataFrame,
    behaviour: pd.DataFrame,
    question: Question | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Verdict:
    """Tests whether each task's geometry leads that task's behaviour (statistics.md A.7).

    The geometry is declared beforehand: the mean of ln RankMe (centred) over the last quarter of the blocks. All models
    and seeds in the tables are tested together, with one permutation of tasks for all.

    Args:
        geometry: Tidy rows: model, seed, step, task, layer, measure, value (probe, position, reason).
        behaviour: Tidy rows: model, seed, step, task, metric, value, chance, n or error.
        question: Another measure, position or continuous metric; correct several verdicts with `adjusted`.
        draws: Made-up geometries a lead for the power.
        seed: Of draws, permutations and bootstraps.

    Returns:
        The verdict. `precursor` needs five emerged tasks, power ≥ .5 at a lead of half a decade, both legs, and a
        companion of token-shuffled prompts in which the lead is gone.

    Raises:
        PythiaGeometryError: Naming the column, where a table cannot be used.
    """
    question = question or Question()
    found = power(behaviour, question, draws, seed)
    if len(found.screening.tasks) < MIN_TASKS:
        return Verdict(UNTESTABLE, (found.reason,), found, {}, {})
    rows = by_run(geometry_rows(geometry, question))
    runs = found.screening.runs
    legs = _legs(runs, run_geometry(rows, runs), question, seed)
    shuffled = run_geometry(rows, runs, SHUFFLED) if _has_companion(rows, runs) else []
    companion = _legs(runs, shuffled, question, seed) if shuffled else {}
    label, reasons = judge(legs, companion, found)
    return Verdict(label, reasons, found, legs, companion)


def judge(legs: Legs, companion: Legs, found: Power) -> tuple[str, tuple[str, ...]]:
    """The label of A.7 and its reasons. Both legs must agree on a claim; missing evidence is never a claim.

    Low power makes every label but `lagging` untestable: neither "no precursor" nor a lucky find is worth quoting.
    """
    labels = {leg.label for leg in legs.values()}
    if not found.is_testable and labels != {LAGS_BEHIND}:
        return UNTESTABLE, (found.reason,)
    if labels == {LEADS}:
        return _claimed(legs, companion)
    said = tuple(f"{metric}: {leg.label}" for metric, leg in legs.items())
    if NOTHING in labels:
        return NOTHING, said
    return (LAGS_BEHIND if labels == {LAGS_BEHIND} else COUPLED), said


def _claimed(legs: Legs, companion: Legs) -> tuple[str, tuple[str, ...]]:
    if len(legs) < 2:
        return UNTESTABLE, (
            "accuracy leads, but no continuous metric was measured: a metric of several right tokens looks the same",
        )
    if not companion:
        return UNTESTABLE, (
            "both legs lead, but the token-shuffled companion is missing: walk again with --probes NAME,NAME:shuffled",
        )
    if any(leg.label == LEADS for leg in companion.values()):
        return NOTHING, ("the token-shuffled prompts lead too: the prompt sets differ, not what is learnt from them",)
    return LEADS, ("both legs lead, and the token-shuffled prompts do not",)


def adjusted(p_specific: Mapping[str, float]) -> dict[str, float]:
    """Holm-adjusted p of specificity for several measures or models, each a test of its own."""
    return dict(zip(p_specific, holm(list(p_specific.values())).tolist(), strict=True))


def layer_scan(
    geometry: pd.DataFrame, behaviour_runs: Sequence[BehaviourRun], question: Question | None = None, seed: int = 0
) -> LayerScan:
    """The accuracy leg at every layer, its p corrected for all layers (Westfall–Young). Secondary, timing only.

    Args:
        geometry: Tidy geometry rows.
        behaviour_runs: From `screen_tasks`.
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
    return all({task + SHUFFLED for task in run.tasks} <= set(rows[run.name]["key"]) for run in runs)


def _legs(runs: Sequence[BehaviourRun], geometry: Sequence[StepCurves], question: Question, seed: int) -> Legs:
    legs = {ACCURACY: _leg([run.accuracy for run in runs], geometry, seed)}
    continuous = [run.continuous for run in runs if run.continuous is not None]
    if len(continuous) == len(runs):
        legs[question.continuous] = _leg(continuous, geometry, seed)
    return legs


def _leg(behaviour: Sequence[StepCurves], geometry: Sequence[StepCurves], seed: int) -> Leg:
    return task_matched_lag([MatchedRun(g, b) for g, b in zip(geometry, behaviour, strict=True)], seed)

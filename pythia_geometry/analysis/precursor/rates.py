"""Precursor rates as they are usually quoted, and what makes them worth quoting: controls and placebos beside them.

A rate is the share of (run, task) pairs in which a rule says that geometry leads. The headline is the excess over the
same rate with geometry that belongs to other prompts, with the p of a joint permutation of tasks. Placebos put a
behaviour in geometry's place on the user's own curves: a rule that fires on those says nothing.
All of it is timing only; the claim is the primary test's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events.rules import Mask
from pythia_geometry.analysis.precursor.multiplicity import benjamini_hochberg
from pythia_geometry.analysis.precursor.screening import BehaviourRun
from pythia_geometry.analysis.precursor.task_matched_lag import TIE, task_orders
from pythia_geometry.analysis.precursor.tidy_tables import Question, by_run, geometry_rows, last_quarter, log_geometry
from pythia_geometry.analysis.precursor.usual_tests import (
    CCF_CHANGES,
    GRANGER_CHANGES,
    GRANGER_LEVELS,
    HALVES,
    ONSET,
    ccf_calls,
    ccf_scores,
    granger_calls,
    onset_calls,
    own_rank_p,
)
from pythia_geometry.analysis.precursor.verdict import run_geometry
from pythia_geometry.analysis.tables.step_curves import Array, StepCurves

RULES = (ONSET, CCF_CHANGES, HALVES, GRANGER_CHANGES, GRANGER_LEVELS)
"""The paper's two first: onset order and sign of the cross-correlation lag."""
PLACEBOS = (
    "one global curve",
    "another task, same run",
    "another task, another run",
    "same task, another run",
)
Q = 0.10

Calls = Mapping[str, Mask]


@dataclass(frozen=True)
class Family:
    """One run's tested behaviours, their own geometry, and the geometry of every other prompt set of that run.

    Attributes:
        behaviour: T tasks.
        own: Their geometry [T, n].
        controls: Geometry of prompt sets that are not tested [K, n]; None where there is none.
    """

    behaviour: BehaviourRun
    own: StepCurves
    controls: StepCurves | None


def families(geometry: pd.DataFrame, runs: Sequence[BehaviourRun], question: Question | None = None) -> list[Family]:
    """Own and control geometry of each run; controls are all other tasks and all shuffled prompts with the same steps.

    Raises:
        PythiaGeometryError: As `run_geometry`.
    """
    rows = by_run(geometry_rows(geometry, question or Question()))
    own = run_geometry(rows, runs)
    shared = set.intersection(*(set(rows[run.name]["key"]) for run in runs)) - set(runs[0].tasks)
    keys = sorted(shared)
    found = []
    for run, curves in zip(runs, own, strict=True):
        chosen = last_quarter(rows[run.name])
        controls = log_geometry(chosen[chosen["key"].isin(keys)], keys, f"{run.name}, controls") if keys else None
        found.append(Family(run, curves, controls))
    return found


def precursor_rates(of: Sequence[Family], seed: int = 0) -> pd.DataFrame:
    """Rates of each rule for own geometry, controls and placebos.

    Args:
        of: The runs.
        seed: Of the permutations.

    Returns:
        One row a rule: own, controls (other tested tasks' geometry and untested prompt sets'), excess = own − controls,
        p (share of joint permutations of tasks with as high a rate), n_own, n_controls, and a column a placebo;
        NaN where there is nothing to compare, such as another run.
    """
    own = [_calls(f.own, f.behaviour) for f in of]
    extra = [_calls(f.controls, f.behaviour) for f in of if f.controls is not None]
    placebos = {name: _placebo(name, of) for name in PLACEBOS}
    orders = task_orders(len(of[0].behaviour.tasks), np.random.default_rng(seed))
    rows = []
    for rule in RULES:
        total = np.sum([calls[rule] for calls in own], axis=0, dtype=float)  # [Tg, Tb], over runs
        tasks = np.arange(len(total))
        counts = total[orders, tasks].sum(axis=1)
        others = [*(_off_diagonal(c[rule]) for c in own), *(c[rule].ravel() for c in extra)]
        pooled = np.concatenate(others)
        rate, control = counts[0] / len(tasks) / len(of), float(pooled.mean())
        row = {"rule": rule, "own": rate, "controls": control, "excess": rate - control}
        row |= {
            "p": float((counts >= counts[0] - TIE).mean()),
            "n_own": len(tasks) * len(of),
            "n_controls": len(pooled),
        }
        rows.append(row | {name: calls.get(rule, np.nan) for name, calls in placebos.items()})
    return pd.DataFrame(rows)


def task_ranks(of: Sequence[Family]) -> pd.DataFrame:
    """Rank of each task's own geometry among its controls, by how well its changes foretell the behaviour's.

    The score is the highest correlation of differences at a lead of 0 to 1 decade, summed over runs. With K controls p
    cannot be less than 1/(K + 1), and for one task rarely falls under .1 whatever the truth.

    Returns:
        One row a task: task, score, n_controls, p, p_bh (Benjamini–Hochberg; q = .10 labels a task).
    """
    scores = np.sum([ccf_scores(_stacked(f), f.behaviour.accuracy) for f in of], axis=0)  # [T + K, T]
    n = len(of[0].behaviour.tasks)
    tasks = np.arange(n)
    p = [own_rank_p(scores[t, [t]], np.delete(scores[:, [t]], t, axis=0))[0] for t in tasks]
    found = {"task": of[0].behaviour.tasks, "score": scores[tasks, tasks] / len(of), "n_controls": len(scores) - 1}
    return pd.DataFrame(found | {"p": p, "p_bh": benjamini_hochberg(p)})


def _calls(geometry: StepCurves, run: BehaviourRun) -> Calls:
    onsets = onset_calls(geometry, run.accuracy, run.error, run.baseline)
    return onsets | ccf_calls(geometry, run.accuracy) | granger_calls(geometry, run.accuracy)


def _stacked(f: Family) -> StepCurves:
    """Own and control geometry on the steps that both have."""
    if f.controls is None:
        return f.own
    steps = np.intersect1d(f.own.steps, f.controls.steps)
    parts = [c.values[:, np.isin(c.steps, steps)] for c in (f.own, f.controls)]
    return StepCurves(steps, np.concatenate(parts), f.own.what)


def _placebo(name: str, of: Sequence[Family]) -> dict[str, float]:
    """Rate of every rule with a behaviour in geometry's place."""
    if name == PLACEBOS[0]:
        found = [(_calls(_global_curve(f.behaviour), f.behaviour), slice(None)) for f in of]
        masks = [{rule: calls[rule].ravel() for rule in RULES} for calls, _ in found]
    else:
        same_run, same_task = "same run" in name, "same task" in name
        masks = []
        for source in of:
            for f in of:
                if (source is f) == same_run:
                    calls = _calls(_unit(source.behaviour.accuracy), f.behaviour)
                    masks.append({r: np.diag(calls[r]) if same_task else _off_diagonal(calls[r]) for r in RULES})
    return {rule: float(np.concatenate([m[rule] for m in masks]).mean()) for rule in RULES} if masks else {}


def _global_curve(run: BehaviourRun) -> StepCurves:
    """The mean of the continuous metric over tasks, of accuracy where there is none: one event for all."""
    curves = run.continuous or run.accuracy
    return _unit(StepCurves(curves.steps, curves.values.mean(axis=0, keepdims=True), "placebo"))


def _unit(curves: StepCurves) -> StepCurves:
    """Each curve from 0 to 1, so that the least recovery of .1 is a tenth of its own range."""
    low, high = curves.values.min(axis=1, keepdims=True), curves.values.max(axis=1, keepdims=True)
    return StepCurves(curves.steps, (curves.values - low) / np.where(high > low, high - low, 1.0), "placebo")


def _off_diagonal(calls: Array | Mask) -> Mask:
    return np.asarray(calls[~np.eye(len(calls), dtype=bool)], dtype=bool)

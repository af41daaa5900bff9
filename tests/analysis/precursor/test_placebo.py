"""The placebo of the protocol notes (A.9): one global curve, LAMBADA's −log perplexity, as "geometry" of every task.

It has nothing of any task in it. The paper's onset rule calls it a precursor of nearly everything; ours must refuse it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.lm_eval.published import read_published
from pythia_geometry.analysis.precursor.rates import Family, precursor_rates
from pythia_geometry.analysis.precursor.screening import Screening, screen_tasks
from pythia_geometry.analysis.precursor.task_matched_lag import LEADS, MatchedRun, task_matched_lag
from pythia_geometry.analysis.precursor.tidy_tables import log_geometry
from pythia_geometry.analysis.precursor.usual_tests import CCF_CHANGES, ONSET
from pythia_geometry.analysis.tables.step_curves import StepCurves
from tests.analysis.behaviour_tables import needs_published

# The metric that A.2 reads for each task.
TASKS = {
    "lambada_openai": "accuracy", "sciq": "accuracy", "arc_easy": "accuracy", "piqa": "accuracy",
    "winogrande": "accuracy", "arc_challenge": "accuracy_norm",
}  # fmt: skip


def published() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracies of the main tasks, and LAMBADA's −log perplexity, zero-shot."""
    table = read_published(needs_published())
    table = table[(table["probe"] == "lm-eval-v0/0-shot") & (table["reason"].fillna("") == "")]
    kept = [(table["task"] == task) & (table["metric"] == metric) for task, metric in TASKS.items()]
    accuracy = table[np.logical_or.reduce(kept)].assign(metric="accuracy")
    return accuracy, table[(table["task"] == "lambada_openai") & (table["metric"] == "log_prob")]


def placebo(screening: Screening, curve: pd.DataFrame) -> list[Family]:
    """The same global curve for every task of each run."""
    found = []
    for run in screening.runs:
        rows = curve[curve["model"] == run.name]
        copies = [rows.assign(key=task, layer="none", value=np.exp(rows["value"].astype(float))) for task in run.tasks]
        found.append(Family(run, log_geometry(pd.concat(copies), run.tasks, run.name), None))
    return found


@pytest.fixture(scope="module")
def by_model() -> dict[str, list[Family]]:
    accuracy, curve = published()
    return {
        model: placebo(screen_tasks(rows), curve[curve["model"] == model]) for model, rows in accuracy.groupby("model")
    }


def test_the_paper_rule_calls_it_a_precursor_nearly_everywhere(by_model: dict[str, list[Family]]) -> None:
    leads = dict.fromkeys((ONSET, CCF_CHANGES), 0.0)
    pairs = 0
    for families in by_model.values():
        rates = precursor_rates(families).set_index("rule")
        pairs += int(rates.loc[ONSET, "n_own"])
        for rule in leads:
            leads[rule] += rates.loc[rule, "own"] * rates.loc[rule, "n_own"]
    assert len(by_model) == 5 and pairs >= 20
    assert leads[ONSET] / pairs >= 0.9
    assert leads[CCF_CHANGES] / pairs >= 0.6


def test_the_task_matched_lag_refuses_it(by_model: dict[str, list[Family]]) -> None:
    for families in by_model.values():
        (family,) = families
        leg = task_matched_lag([MatchedRun(family.own, family.behaviour.accuracy)])
        assert leg.label != LEADS
        assert leg.p_specific == 1  # every permutation of equal curves is as good


def test_another_tasks_accuracy_is_refused_too(by_model: dict[str, list[Family]]) -> None:
    (family,) = by_model["pythia-2.8b"]
    accuracy = family.behaviour.accuracy
    moved = StepCurves(accuracy.steps, np.roll(accuracy.values, 1, axis=0) + 1, "placebo")
    assert task_matched_lag([MatchedRun(moved, accuracy)]).label != LEADS

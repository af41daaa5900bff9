"""Could these tasks show a lead at all? Asked of the user's own behaviour curves before geometry is looked at.

Real behaviour, made-up geometry: geometry that recovers L decades before each task's own midpoint, the earlier of
accuracy's and log-probability's, is drawn on the run's own steps (worlds.py), and the primary test is run on it. Where
it would be found in less than half of the draws at L = .5, a negative result means nothing: `untestable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events.rules import share_error
from pythia_geometry.analysis.precursor.screening import MIN_TASKS, BehaviourRun, Screening, screen_tasks
from pythia_geometry.analysis.precursor.task_matched_lag import LEADS, MatchedRun, task_matched_lag
from pythia_geometry.analysis.precursor.tidy_tables import Question
from pythia_geometry.analysis.step_curves import Array, StepCurves
from pythia_geometry.analysis.worlds.designs import Design
from pythia_geometry.analysis.worlds.made_up import World, draw_geometry, world

DECISIVE = 0.5  # decades of lead at which power decides
MIN_POWER = 0.5
SIMULATED = (0.0, 0.3, DECISIVE)
DRAWS = 100
COLUMNS = ["lead", "accuracy", "continuous", "both", "se"]


@dataclass(frozen=True)
class Power:
    """What the test would find on these behaviour curves.

    Attributes:
        rates: One row a true lead in decades (0: none): share of draws in which the accuracy leg,
            the continuous leg, and both say that geometry leads, and the largest standard error of the three.
            Without a continuous metric its columns are NaN.
        screening: Every task, and those that can be tested.
        draws: Made-up geometries a row.
        seed: Of the draws.
    """

    rates: pd.DataFrame
    screening: Screening
    draws: int
    seed: int

    @property
    def decisive(self) -> float:
        """Power at a lead of .5 decade: both legs, or accuracy alone where there is no other; NaN if not simulated."""
        row = self.rates[self.rates["lead"] == DECISIVE]
        if row.empty:
            return float("nan")
        return float(row["both" if self.screening.has_both_legs else "accuracy"].iloc[0])

    @property
    def is_testable(self) -> bool:
        """Whether a negative result would mean something."""
        return self.decisive >= MIN_POWER

    @property
    def reason(self) -> str:
        """Why not, in words; empty where it would."""
        if len(self.screening.tasks) < MIN_TASKS:
            return f"{len(self.screening.tasks)} tasks emerged in every run; the test needs {MIN_TASKS}"
        if not self.is_testable:
            return f"power at a lead of {DECISIVE:g} decade is {self.decisive:.2f}, less than {MIN_POWER:g}"
        return ""


def power(behaviour: pd.DataFrame, question: Question | None = None, draws: int = DRAWS, seed: int = 0) -> Power:
    """Power of the precursor test on one's own behaviour curves, and its false-positive rate.

    How it misleads: it is power against geometry of the generator's kind (recovery widths .15 to .35 decade, noise
    .03 in ln RankMe), leading the earlier of the two metrics' midpoints by the same L in every task up to a jitter
    of .1. Messier geometry has less. Where log-probability rises long before accuracy, the accuracy leg alone says
    "lead" also at L = 0, and rightly so: only `both` is the claim.

    Args:
        behaviour: Tidy behaviour rows, as of `screen_tasks`.
        question: Names the continuous metric; its geometry measure is not read.
        draws: Made-up geometries a lead.
        seed: Of the draws.

    Returns:
        Rates at leads 0, .3 and .5; without rows where fewer than five tasks emerged.

    Raises:
        PythiaGeometryError: As `screen_tasks`.
    """
    screening = screen_tasks(behaviour, question)
    rows = []
    if len(screening.tasks) >= MIN_TASKS:
        rows = [_row(lead, screening.runs, draws, seed) for lead in SIMULATED]
    return Power(pd.DataFrame(rows, columns=COLUMNS), screening, draws, seed)


def _row(lead: float, runs: Sequence[BehaviourRun], draws: int, seed: int) -> dict[str, float]:
    truth = world(f"LEAD {lead:g}" if lead else "SYNC")
    found = np.array([_one(truth, runs, np.random.default_rng([seed, round(100 * lead), k])) for k in range(draws)])
    share = found.mean(axis=0)
    accuracy, continuous, both = share if len(share) == 3 else (share[0], np.nan, np.nan)
    se = float(share_error(share, np.array(float(draws))).max())
    return {"lead": lead, "accuracy": accuracy, "continuous": continuous, "both": both, "se": se}


def _one(truth: World, runs: Sequence[BehaviourRun], rng: np.random.Generator) -> list[bool]:
    """Whether each leg, and both, call a lead for one draw of geometry."""
    geometry = [_geometry(truth, run, rng) for run in runs]
    seed = int(rng.integers(2**31))
    legs = [[run.accuracy for run in runs]]
    if all(run.continuous is not None for run in runs):
        legs.append([run.continuous for run in runs if run.continuous is not None])
    leads = [
        task_matched_lag([MatchedRun(g, b) for g, b in zip(geometry, behaviours, strict=True)], seed).label == LEADS
        for behaviours in legs
    ]
    return [*leads, all(leads)] if len(leads) == 2 else leads


def _geometry(truth: World, run: BehaviourRun, rng: np.random.Generator) -> StepCurves:
    steps, mid = run.accuracy.steps, run.earlier_midpoints
    values: Array = draw_geometry(truth, Design(steps, len(mid), midpoints=mid), mid, rng)
    return StepCurves(steps, values, "made-up geometry")

"""Could these tasks show a lead at all? Asked of the user's own behaviour curves before geometry is looked at.

Real behaviour, made-up geometry: geometry that recovers L decades before each task's own midpoint, the earlier of
accuracy's and log-probability's, is drawn on the run's own steps, with shuffled prompts of which it keeps nothing, and
the whole question is asked of it. Where both legs would lead in less than half of the draws at half a decade, a
negative result means nothing: `untestable`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events.rules import share_error
from pythia_geometry.analysis.precursor.families import HARDEST, Chosen, choose_tasks, own_families
from pythia_geometry.analysis.precursor.finding import LEADS, LEADS_HERE, StudyRun, examine, judge
from pythia_geometry.analysis.precursor.screening import ACCURACY, MIN_TASKS, BehaviourRun, Screening, screen_tasks
from pythia_geometry.analysis.precursor.task_matched_lag import LEVEL
from pythia_geometry.analysis.precursor.tidy_tables import Question
from pythia_geometry.analysis.tables.step_curves import MIN_OVERLAP, Array, StepCurves
from pythia_geometry.analysis.worlds.designs import Design
from pythia_geometry.analysis.worlds.made_up import WORLDS, World, draw_geometry, draw_shared, world
from pythia_geometry.errors import PythiaGeometryError

DECISIVE = 0.5  # decades of lead at which power decides
MIN_POWER = 0.5
SIMULATED = (0.0, 0.3, DECISIVE)
DRAWS = 100
CONTINUOUS = "continuous"
COLUMNS = ["lead", "accuracy", "continuous", "both", "word", "se"]


@dataclass(frozen=True)
class Power:
    """What the test would find on these behaviour curves.

    Attributes:
        rates: One row a true lead in decades (0: none): share of draws in which the accuracy leg, the continuous leg,
            and both lead at 5 %; `word`: in which the verdict would be `precursor`, or `leads, in this run` with fewer
            than three runs; and the largest standard error of these. Without a continuous metric its columns are NaN.
        screening: Every task, and those that emerged.
        chosen: The tasks that are tested.
        draws: Made-up geometries a row.
        seed: Of the draws.
    """

    rates: pd.DataFrame
    screening: Screening
    chosen: Chosen
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
    def decades(self) -> float:
        """Decades of steps that a run's metrics cover together, in the run that covers least; 0 without tasks."""
        curves = [behaviours_of(run).values() for run in self.chosen.runs]
        return min((min(c.x[-1] for c in of) - max(c.x[0] for c in of) for of in curves), default=0.0)

    @property
    def can_be_asked(self) -> bool:
        """Whether there are families and steps enough to ask at all."""
        return self.chosen.n_families >= MIN_TASKS and self.decades >= MIN_OVERLAP

    @property
    def is_testable(self) -> bool:
        """Whether a negative result would mean something."""
        return self.decisive >= MIN_POWER

    @property
    def reason(self) -> str:
        """Why not, in words; empty where it would."""
        if self.chosen.n_families < MIN_TASKS:
            n, n_tasks = self.chosen.n_families, len(self.screening.tasks)
            of = f"{n} tasks" if n == n_tasks else f"{n} families of tasks ({n_tasks} tasks)"
            return f"{of} emerged in every run; the test needs {MIN_TASKS}"
        if self.decades < MIN_OVERLAP:
            return f"training is seen over {self.decades:.2f} decades of steps; the test needs {MIN_OVERLAP:g}"
        if not self.is_testable:
            return f"power at a lead of {DECISIVE:g} decade is {self.decisive:.2f}, less than {MIN_POWER:g}"
        return ""


def power(
    behaviour: pd.DataFrame,
    question: Question | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    tasks: str = HARDEST,
    moves: float = 1.0,
) -> Power:
    """Power of the precursor test on the behaviour curves of one model, and its false-positive rate.

    How it misleads: it takes geometry to move in every task of every run. Where it moved in half of them only, the test
    sees a lead far less often: ask again with `moves`, once geometry was looked at. And it is power against geometry of
    the generator's kind (recovery widths .15 to .35 decade, noise .03 in ln RankMe), leading the earlier of the two
    metrics' midpoints by the same L in every task up to a jitter of .1, in runs that differ by noise alone. Messier
    geometry has less. Where log-probability rises long before accuracy, the accuracy leg alone says "lead" also at
    L = 0, and rightly so: only `both` and `word` are the claim.

    Args:
        behaviour: Tidy behaviour rows of one model, as of `screen_tasks`.
        question: Names the continuous metric; its geometry measure is not read.
        draws: Made-up geometries a lead.
        seed: Of the draws.
        tasks: As for `choose_tasks`.
        moves: Share of tasks × runs, drawn at random, whose geometry rises; that of the others never does.

    Returns:
        Rates at leads 0, .3 and .5; without rows where fewer than five families emerged, or less than a decade of steps
        is seen.

    Raises:
        PythiaGeometryError: As `screen_tasks`; if `draws` is below 1, or `moves` no share from 0 to 1.
    """
    if draws < 1:
        raise PythiaGeometryError(f"power of {draws} draws: expected 1 or more")
    if not 0 <= moves <= 1:
        raise PythiaGeometryError(f"moves {moves:g}: expected the share of tasks × runs whose geometry rises, 0 to 1")
    screening = screen_tasks(behaviour, question)
    chosen = choose_tasks(screening, tasks, own_families(behaviour))
    found = Power(pd.DataFrame(columns=COLUMNS), screening, chosen, draws, seed)
    if not found.can_be_asked:
        return found
    rows = [_row(lead, chosen, draws, seed, moves) for lead in SIMULATED]
    return replace(found, rates=pd.DataFrame(rows, columns=COLUMNS))


@dataclass
class _Tally:
    """What each draw said: legs, both, the word."""

    accuracy: list[bool] = field(default_factory=list)
    continuous: list[bool] = field(default_factory=list)
    word: list[bool] = field(default_factory=list)


def _row(lead: float, chosen: Chosen, draws: int, seed: int, moves: float) -> dict[str, float]:
    truth, tally = world(f"LEAD {lead:g}" if lead else "SYNC"), _Tally()
    for number in range(draws):
        _one(truth, chosen, np.random.default_rng([seed, round(100 * lead), number]), tally, moves)
    accuracy, word = np.mean(tally.accuracy), np.mean(tally.word)
    continuous, both = (
        (np.mean(tally.continuous), np.mean(np.logical_and(tally.accuracy, tally.continuous)))
        if tally.continuous
        else (np.nan, np.nan)
    )
    shares = np.array([accuracy, continuous, both, word])
    se = float(np.nanmax(share_error(shares, np.array(float(draws)))))
    return dict(zip(COLUMNS, (lead, *map(float, shares), se), strict=True))


def _one(truth: World, chosen: Chosen, rng: np.random.Generator, tally: _Tally, moves: float) -> None:
    """Asks one draw of geometry."""
    runs = [_study_run(truth, run, rng, moves) for run in chosen.runs]
    found = examine(runs, chosen.families, int(rng.integers(2**31)), in_short=True)
    legs = list(found.legs.values())
    tally.accuracy.append(legs[0].p <= LEVEL)
    if len(legs) > 1:
        tally.continuous.append(legs[1].p <= LEVEL)
    tally.word.append(judge(found, found.p, float("nan"))[0] in (LEADS, LEADS_HERE))


def _study_run(truth: World, run: BehaviourRun, rng: np.random.Generator, moves: float) -> StudyRun:
    own, shuffled = (_geometry(of, run, rng) for of in (truth, WORLDS["EARLY"]))
    if moves < 1:
        still = rng.random(len(own.values)) >= moves
        flat = draw_shared(Design(own.steps, len(still), midpoints=run.earlier_midpoints), len(still), rng)
        own = replace(own, values=np.where(still[:, None], flat, own.values))
    return StudyRun(own, shuffled, behaviours_of(run))


def behaviours_of(run: BehaviourRun, continuous: str = CONTINUOUS) -> dict[str, StepCurves]:
    """Behaviour by metric, accuracy first."""
    legs = {ACCURACY: run.accuracy}
    return legs if run.continuous is None else legs | {continuous: run.continuous}


def _geometry(truth: World, run: BehaviourRun, rng: np.random.Generator) -> StepCurves:
    steps, mid = run.accuracy.steps, run.earlier_midpoints
    values: Array = draw_geometry(truth, Design(steps, len(mid), midpoints=mid), mid, rng)
    return StepCurves(steps, values, "made-up geometry")

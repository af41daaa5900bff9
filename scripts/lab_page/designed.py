"""The designed runs (randomised release, planted leads): from their tables to the rows of docs/lab.md."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.lab_reference import Reference, is_planted, read_reference
from pythia_geometry.analysis.precursor.event_study import (
    GEOMETRY,
    EventStudy,
    Following,
    ReleasedRun,
    follows_release,
    released_runs,
    share_done,
    share_rising,
    share_rising_by_chance,
    study_runs,
)
from pythia_geometry.analysis.precursor.power import power
from pythia_geometry.analysis.precursor.task_matched_lag import DELTA
from pythia_geometry.analysis.precursor.tidy_tables import Question
from pythia_geometry.analysis.precursor.verdict import Verdict, precursors

STAGGERED = "staggered"
DRAWS_AS_MOVED, NEARLY_ALL = 100, 0.95
UNCENTRED, CENTRED = "rankme", "rankme_centred"
CONVENTIONS = {UNCENTRED: "uncentred", CENTRED: "centred"}
ARMS = {
    "-staggered-lead0.5-weight2-part0.3-own-apart0.3": "planted lead of .5, own prompts alone, apart from the start, to an end",
    "-staggered-lead0-weight2-part0.3-own-apart0.3": "planted lead of 0, own prompts alone, apart from the start, to an end",
    "-staggered-lead0.5-weight2-part0.3-own": "planted lead of .5, own prompts alone, to an end",
    "-staggered-lead0.5-weight4": "planted lead of .5, pushed four times as hard",
    "-staggered-decades1-lead0.5-own": "planted lead of .5, own prompts alone, later openings",
    "-staggered-lead0.5-own": "planted lead of .5, own prompts alone",
    "-staggered-lead0.5": "planted lead of .5",
    "-staggered-lead0-bend8": "planted lead of 0 and bend of 8 tokens",
    "-staggered-lead0": "planted lead of 0",
    "-staggered-lead-0.5": "planted lag of .5",
    "-staggered-bend8": "planted bend of 8 tokens",
    "-staggered": "randomised release",
    "": "all levels from step 0",
}


@dataclass(frozen=True, eq=False)
class Arm:
    """The runs of one model of the staggered shelf."""

    model: str
    reference: Reference

    @property
    def scale(self) -> str:
        return self.model.partition("-")[0]

    @property
    def name(self) -> str:
        return f"{self.scale}, " + next(name for part, name in ARMS.items() if part in self.model)

    @property
    def made(self) -> list[dict]:
        return [made for made in self.reference.made.values() if made["model"] == self.model]

    @property
    def is_released(self) -> bool:
        return all(made["training"]["release"] == STAGGERED for made in self.made)

    @property
    def is_planted(self) -> bool:
        return any(is_planted(made["training"]) for made in self.made)

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        return table[table["model"] == self.model]

    def steps(self, what: str) -> pd.DataFrame:
        """model, seed, task, and the step of `released` or `loss_opens`."""
        rows = [
            {"model": self.model, "seed": made["training"]["seed"], "task": task, "released": step}
            for made in self.made
            for task, step in made[what].items()
        ]
        return pd.DataFrame(rows)

    @property
    def behaviour(self) -> pd.DataFrame:
        """Where release was assigned level by level, a level is exchangeable by itself: a family of its own."""
        rows = self.rows(self.reference.behaviour)
        return rows.assign(family=rows["task"]) if self.is_released else rows

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One a convention."""
        return precursors(self.rows(self.reference.geometry), self.behaviour)

    @cached_property
    def runs(self) -> list[ReleasedRun]:
        tables = self.rows(self.reference.geometry), self.behaviour
        return released_runs(*tables, self.steps("released"), Question())

    @cached_property
    def uncentred_runs(self) -> list[ReleasedRun]:
        tables = self.rows(self.reference.geometry), self.behaviour
        return released_runs(*tables, self.steps("released"), Question(UNCENTRED))

    @cached_property
    def follows(self) -> dict[str, Following]:
        """Whether geometry moves after release, and each behaviour after its loss has opened: it cannot before."""
        tables = self.rows(self.reference.geometry), self.behaviour
        opened = released_runs(*tables, self.steps("loss_opens"), Question())
        behaviours = [name for name in opened[0].curves if name != GEOMETRY]
        return {
            f"{GEOMETRY}, centred": self.study.follows[GEOMETRY],
            f"{GEOMETRY}, uncentred": follows_release(self.uncentred_runs, GEOMETRY),
            **{name: follows_release(opened, name) for name in behaviours},
        }

    def moved(self, measure: str) -> dict[str, object]:
        """How often geometry rises at all after its release, how often it would by chance, and the power that leaves.

        Dashes where nothing was released, and for the last two where it rises in nearly all levels.
        """
        name = f"{CONVENTIONS[measure]} RankMe rises in"
        if not self.is_released:
            return {name: "–", f"{name}, by chance": "–", f"power at 0.5 then, {CONVENTIONS[measure]}": "–"}
        runs = self.runs if measure == CENTRED else self.uncentred_runs
        share, chance, left = share_rising(runs), "–", float("nan")
        if share < NEARLY_ALL:
            chance = f"{share_rising_by_chance(runs):.0%}"
            left = power(self.behaviour, draws=DRAWS_AS_MOVED, moves=share).decisive
        return {name: f"{share:.0%}", f"{name}, by chance": chance, f"power at 0.5 then, {CONVENTIONS[measure]}": left}

    @cached_property
    def study(self) -> EventStudy:
        return study_runs(self.runs)

    @cached_property
    def done_at_opening(self) -> np.ndarray:
        """Share of geometry's way that is done when each level's loss opens [runs × levels]."""
        opens = self.steps("loss_opens").set_index(["seed", "task"])["released"]
        seeds = sorted({made["training"]["seed"] for made in self.made})
        found = []
        for seed, run in zip(seeds, self.runs, strict=True):
            when = np.array([opens[seed, task.rpartition("/")[2]] for task in run.tasks], dtype=float)
            found.append(share_done(run, GEOMETRY, when))
        return np.array(found)


def arms(folder: Path) -> list[Arm]:
    """Arms with two runs or more, in the order of the list above; none where the shelf is empty."""
    if not list(folder.glob("*.json")):
        return []
    reference = read_reference(folder)
    models = sorted({made["model"] for made in reference.made.values()}, key=lambda m: (m.partition("-")[0], m))
    found = [Arm(model, reference) for model in models]
    return [arm for arm in found if len(arm.made) > 1]


def power_rows(found: list[Arm]) -> pd.DataFrame:
    """What each arm could have shown, from its behaviour alone."""
    rows = []
    for arm in found:
        power = arm.verdicts[0].power
        halfway = [run.midpoints for run in power.chosen.runs]
        spread = float(np.mean([np.std(middle) for middle in halfway])) if halfway else np.nan
        rates = power.rates.set_index("lead")["both"]
        rows.append(
            {
                "arm": arm.name, "runs": len(arm.made), "loss, last 100 steps": losses(arm), "levels that emerged in every run": len(power.screening.tasks), "of them tested": len(power.chosen.tasks),
                "spread of halfway steps, decades": spread,
                **{f"power at {lead:g}": float(rates.get(lead, np.nan)) for lead in (0.3, 0.5)},
                **arm.moved(CENTRED), **arm.moved(UNCENTRED),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def losses(arm: Arm) -> str:
    """The range over runs."""
    found = [made["loss"] for made in arm.made if "loss" in made]
    return f"{min(found):.3f}–{max(found):.3f}" if found else "not recorded"


def matched_rows(found: list[Arm]) -> pd.DataFrame:
    """The task-matched lag of each arm, in both conventions, companion beside it."""
    rows = []
    for arm in found:
        for verdict in arm.verdicts:
            row: dict[str, object] = {"arm": arm.name, "RankMe": CONVENTIONS[verdict.measure]}
            legs = verdict.finding.legs.items() if verdict.finding else ()
            for metric, leg in legs:
                row[f"{metric}: p"] = f"{leg.p_specific:.3f}"
                row[f"{metric}: lag (90 % interval)"] = f"{leg.lag:+.2f} ({leg.lower:+.2f} … {leg.upper:+.2f})"
            row[f"runs alone, both lags over {DELTA:.2f}"] = alone(verdict)
            companion = verdict.finding.companion if verdict.finding else None
            row["companion: p, kept"] = f"{companion.p:.3f}, {companion.kept:.2f}" if companion else "–"
            bend = verdict.finding.bend if verdict.finding else np.nan
            row["bend that ends the lead"] = "–" if np.isnan(bend) else f"{bend:g}"
            rows.append(row | {"verdict": verdict.label, "why": "; ".join(verdict.reasons)})
    return pd.DataFrame(rows)


def alone(verdict: Verdict) -> str:
    """In how many of the runs, each by itself, geometry is earlier on every metric."""
    if verdict.finding is None:
        return "–"
    lags = np.array([leg.run_lags for leg in verdict.finding.legs.values()])
    return f"{int((lags > DELTA).all(axis=0).sum())} of {lags.shape[1]}"


def event_rows(found: list[Arm]) -> pd.DataFrame:
    """After release: when geometry and behaviour move, and which is earlier."""
    rows = []
    for arm in (a for a in found if a.is_released):
        clocks = arm.study.clocks
        for lead in arm.study.leads.itertuples():
            mine = clocks[clocks["share"] == lead.share]
            after = mine.pivot(index=["run", "task"], columns="curve", values="after")
            after = after.dropna(subset=[GEOMETRY, lead.behaviour]).median()  # of the cells that the lead is of
            rows.append(
                {
                    "arm": arm.name, "share of the way": lead.share, "behaviour": lead.behaviour,
                    "geometry after release, median steps": "–" if lead.n == 0 else f"{after[GEOMETRY]:,.0f}",
                    "behaviour after release": "–" if lead.n == 0 else f"{after[lead.behaviour]:,.0f}",
                    "lead of geometry, decades": f"{lead.lead:+.2f} ({lead.low:+.2f} … {lead.high:+.2f})",
                    "runs × levels": f"{lead.n} of {lead.n + lead.without}",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def follows_rows(found: list[Arm]) -> pd.DataFrame:
    """Did what we assigned move what we measure? And was a plant in place before its loss opened?"""
    rows = []
    for arm in (a for a in found if a.is_released):
        row: dict[str, object] = {"arm": arm.name}
        for curve, one in arm.follows.items():
            row[f"{curve}: mean effect, p"] = f"{one.effect:+.2f}, {'<0.001' if one.p < 0.001 else f'{one.p:.3f}'}"
        done = arm.done_at_opening[np.isfinite(arm.done_at_opening)]
        row["geometry's way done when the loss opens, median"] = f"{np.median(done):.2f}" if len(done) else "–"
        # Of all: a level whose geometry never rose was not moved by its plant either.
        row["levels × runs with half of it done"] = f"{int((done >= 0.5).sum())} of {arm.done_at_opening.size}"
        row["whose geometry rises at all (centred)"] = len(done)
        rows.append(row)
    return pd.DataFrame(rows)

"""What a planted lead adds: the lags of runs that have one minus those of the same seeds without it (decision 0013)."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pandas as pd

from lab_page.designed import CENTRED, Arm
from pythia_geometry.analysis.claims.moves import half_width
from pythia_geometry.analysis.precursor.verdict import precursors
from pythia_geometry.lab.settings import Training


def rows(found: list[Arm]) -> pd.DataFrame:
    """One row a planted lead or lag, its lead of nought beside it, and behaviour; centred RankMe, which is pushed.

    What is late by itself (accuracy) is so in both and drops out. How it misleads: each run's lag is that of its own
    levels that emerged in every run of its arm, so the two need not be of the same levels; and with few pairs
    Student's t takes their differences to be normal.
    """
    told = []
    for arm, control in permutations(found, 2):
        if not _differ_in_lead(arm, control):
            continue
        seeds = sorted(set(_seeds(arm)) & set(_seeds(control)))
        with_lead, without = _lags(arm, seeds), _lags(control, seeds)
        for metric, gained in (with_lead - without).dropna().items():
            if len(gained) < 2:  # one of the two could not be asked
                continue
            mean, half = float(gained.mean()), half_width(gained.to_numpy())
            told.append(
                {
                    "arm": arm.name, "the same seeds": control.name, "pairs": len(gained), "behaviour": metric,
                    "lag with": f"{with_lead.loc[gained.index, metric].mean():+.2f}",
                    "lag without": f"{without.loc[gained.index, metric].mean():+.2f}",
                    "difference, pair by pair": ", ".join(f"{one:+.2f}" for one in gained),
                    "mean (90 % interval over pairs)": f"{mean:+.2f} ({mean - half:+.2f} … {mean + half:+.2f})",
                }
            )  # fmt: skip
    return pd.DataFrame(told).sort_values(["arm", "behaviour"]) if told else pd.DataFrame()


def _differ_in_lead(arm: Arm, control: Arm) -> bool:
    """Whether the second is the first with a lead of nought, over two seeds or more."""
    ours, theirs = (Training(**one.made[0]["training"]) for one in (arm, control))
    if not ours.plant_lead or theirs.plant_lead != 0:
        return False
    same = replace(ours, plant_lead=0.0, seed=theirs.seed, tasks=tuple(ours.tasks)) == replace(
        theirs, tasks=tuple(theirs.tasks)
    )
    return same and len(set(_seeds(arm)) & set(_seeds(control))) > 1


def _seeds(arm: Arm) -> list[int]:
    return [made["training"]["seed"] for made in arm.made]


def _lags(arm: Arm, seeds: list[int]) -> pd.DataFrame:
    """Each of these runs' own lag [run × behaviour], by the end of the run's name; empty where they cannot be asked."""
    tables = [table[table["seed"].isin(seeds)] for table in (arm.rows(arm.reference.geometry), arm.behaviour)]
    verdict = precursors(*tables, measures=(CENTRED,))[0]
    if verdict.finding is None:
        return pd.DataFrame()
    ends = [run.name.removeprefix(arm.model) for run in verdict.power.chosen.runs]
    return pd.DataFrame({metric: leg.run_lags for metric, leg in verdict.finding.legs.items()}, index=ends)

"""What the precursor test found, as tables: one row a task, a lead, a leg. Screens, JSON and pages show these rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from pythia_geometry.analysis.precursor.power import Power
from pythia_geometry.analysis.precursor.task_matched_lag import LayerScan, Leg
from pythia_geometry.analysis.precursor.verdict import Verdict

OWN, SHUFFLED_PROMPTS = "own", "shuffled"
LEG_COLUMNS = ["prompts", "metric", "says", *Leg.__dataclass_fields__]


def power_table(found: Power) -> pd.DataFrame:
    """One row a lead: rates of both legs, their standard error; draws, tasks, seed and whether a verdict may follow."""
    about: dict[str, Any] = {
        "draws": found.draws,
        "n_tasks": len(found.screening.tasks),
        "seed": found.seed,
        "reason": found.reason,
    }
    rates = found.rates if len(found.rates) else pd.DataFrame([{}], columns=found.rates.columns, dtype=float)
    return rates.assign(**about)


def verdict_table(verdict: Verdict) -> pd.DataFrame:
    """One row: verdict, reasons, runs and tasks it speaks of, power at half a decade."""
    screening = verdict.power.screening
    row = {"verdict": verdict.label, "reasons": "; ".join(verdict.reasons), "power": verdict.power.decisive}
    row |= {"runs": ", ".join(run.name for run in screening.runs), "n_runs": len(screening.runs)}
    return pd.DataFrame([row | {"n_tasks": len(screening.tasks), "tasks": ", ".join(screening.tasks)}])


def leg_table(verdict: Verdict) -> pd.DataFrame:
    """One row a leg: own prompts, then shuffled ones."""
    rows = [
        {"prompts": prompts, "metric": metric, "says": leg.label} | asdict(leg)
        for prompts, legs in ((OWN, verdict.legs), (SHUFFLED_PROMPTS, verdict.companion))
        for metric, leg in legs.items()
    ]
    return pd.DataFrame(rows, columns=LEG_COLUMNS)


def layer_table(scan: LayerScan) -> pd.DataFrame:
    """One row a layer: lag and adjusted p of the accuracy leg."""
    return pd.DataFrame({"layer": scan.layers, "lag": scan.lag, "p_adjusted": scan.p_adjusted})

"""What the precursor test found, as tables: one row a verdict, a task, a lead, a leg. Screens and JSON show these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from pythia_geometry.analysis.precursor.families import families_of
from pythia_geometry.analysis.precursor.finding import MIN_RUNS, Finding
from pythia_geometry.analysis.precursor.power import Power
from pythia_geometry.analysis.precursor.task_matched_lag import LayerScan, Leg
from pythia_geometry.analysis.precursor.verdict import Verdict

VERDICT_COLUMNS = [
    "model", "measure", "verdict", "reasons", "p", "p_holm", "lag", "lower", "upper", "runs_lower", "p_sign", "n_runs",
    "n_families", "n_tasks", "families_declared", "power", "power_word", "bend", "own_strength", "at_ceiling",
    "companion_p", "kept", "kept_low", "kept_high", "estimand", "runs", "tasks",
]  # fmt: skip
LEG_COLUMNS = ["model", "measure", "metric", "says", *Leg.__dataclass_fields__]


def power_table(model: str, found: Power) -> pd.DataFrame:
    """One row a lead: rates of legs and word, their standard error; draws, tasks, seed, and why nothing may follow."""
    about: dict[str, Any] = {"model": model, "draws": found.draws, "n_tasks": len(found.chosen.tasks)}
    about |= {"n_families": found.chosen.n_families, "n_runs": len(found.chosen.runs)}
    about |= {"seed": found.seed, "reason": found.reason}
    rates = found.rates if len(found.rates) else pd.DataFrame([{}], columns=found.rates.columns, dtype=float)
    return rates.assign(**about)


def task_table(found: Power) -> pd.DataFrame:
    """Every screened task: its curve's baseline, top and halfway step, what became of it, and whether it is tested."""
    table = found.screening.table
    own = dict(zip(found.chosen.tasks, found.chosen.families, strict=True))
    known = families_of([str(task) for task in table["task"].unique()])
    family = {task: own.get(task, name) for task, (name, _) in known.items()}
    return table.assign(family=table["task"].map(family), tested=table["task"].isin(found.chosen.tasks))


def verdict_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a model and measure: the verdict, why, its p, lag and interval, runs and tasks, power, sensitivities."""
    return pd.DataFrame([_verdict_row(v) for v in verdicts], columns=VERDICT_COLUMNS)


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    chosen, rates = verdict.power.chosen, verdict.power.rates
    row: dict[str, Any] = {"model": verdict.model, "measure": verdict.measure, "verdict": verdict.label}
    row |= {"reasons": "; ".join(verdict.reasons), "p_holm": verdict.p_adjusted, "power": verdict.power.decisive}
    row |= {"n_runs": len(chosen.runs), "n_families": chosen.n_families, "n_tasks": len(chosen.tasks)}
    row |= {"families_declared": len(chosen.tasks) - len(chosen.undeclared), "estimand": estimand(verdict)}
    row |= {"runs": ", ".join(run.name for run in chosen.runs), "tasks": ", ".join(chosen.tasks)}
    row["power_word"] = float(rates["word"].iloc[-1]) if len(rates) else float("nan")
    return row | (_found(verdict.finding) if verdict.finding else {})


def _found(finding: Finding) -> dict[str, Any]:
    leg, other = finding.decisive, finding.companion
    row: dict[str, Any] = {"p": finding.p, "lag": leg.lag, "lower": leg.lower, "upper": leg.upper}
    row |= {"runs_lower": leg.runs_lower, "p_sign": leg.p_sign, "bend": finding.bend}
    row |= {"own_strength": finding.own_strength, "at_ceiling": finding.at_ceiling}
    if other:
        row |= {"companion_p": other.p, "kept": other.kept, "kept_low": other.kept_low, "kept_high": other.kept_high}
    return row


def estimand(verdict: Verdict) -> str:
    """What the verdict is about, in one sentence."""
    chosen, found = verdict.power.chosen, verdict.finding
    metrics = " and ".join(found.legs) if found else "behaviour"
    n = len(chosen.runs)
    of = f"{n} run{'s' * (n != 1)} of {verdict.model or 'one model'}"
    single = "" if n >= MIN_RUNS else " (descriptive)"
    families = f"{len(chosen.tasks)} tasks in {chosen.n_families} families"
    return (
        f"decades by which ln {verdict.measure} of the last blocks moves, in its own range, before {metrics} of the "
        f"same task: mean over {families} and {of}{single}"
    )


def leg_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a model, measure and metric."""
    rows = [
        {"model": v.model, "measure": v.measure, "metric": metric, "says": leg.label}
        | asdict(leg)
        | {"run_lags": ", ".join(f"{lag:+.2f}" for lag in leg.run_lags)}
        for v in verdicts
        if v.finding
        for metric, leg in v.finding.legs.items()
    ]
    return pd.DataFrame(rows, columns=LEG_COLUMNS)


def layer_table(scan: LayerScan) -> pd.DataFrame:
    """One row a layer: lag and adjusted p of the accuracy leg."""
    return pd.DataFrame({"layer": scan.layers, "lag": scan.lag, "p_adjusted": scan.p_adjusted})

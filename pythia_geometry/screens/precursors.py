"""What the precursor commands show: screened tasks, power, the verdict, rates beside controls, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pythia_geometry.analysis.calibration.rates import LAG, PRIMARY, SECONDARY
from pythia_geometry.analysis.precursor.power import Power
from pythia_geometry.analysis.precursor.rates import PLACEBOS, Q
from pythia_geometry.analysis.precursor.screening import EMERGED
from pythia_geometry.analysis.precursor.task_matched_lag import DELTA, LayerScan, Leg
from pythia_geometry.analysis.precursor.verdict import Verdict

MAX_TASKS = 40
NOTHING_TO_SHOW = "–"


def show_power(console: Console, power: Power, continuous: str) -> None:
    """All screened tasks, and what the test would find on those that emerged."""
    table = _table("Tasks", "run", "task", "baseline", "top", "halfway at step", "outcome")
    for row in power.screening.table.head(MAX_TASKS).itertuples():
        halfway = _whole(row.halfway_step) if row.outcome == EMERGED else NOTHING_TO_SHOW
        table.add_row(
            str(row.run), escape(str(row.task)), _share(row.baseline), _share(row.top), halfway, str(row.outcome)
        )
    console.print(table)
    if len(power.screening.table) > MAX_TASKS:
        console.print(f"… and {len(power.screening.table) - MAX_TASKS} more tasks")
    if power.reason:
        console.print(f"[bold]untestable[/] with these tasks: {power.reason}", highlight=False)
    if power.rates.empty:
        return
    rates = _table("Power", "lead over both metrics, decades", "accuracy leg", f"{continuous} leg", "both")
    for row in power.rates.itertuples():
        shares = (_share(row.accuracy), _share(row.continuous), _share(row.both))
        rates.add_row(f"{row.lead:g}", *shares)
    console.print(rates)
    _note(
        console,
        f"{power.draws} made-up geometries a row on your own behaviour curves, {len(power.screening.tasks)} tasks, "
        f"seed {power.seed}; standard error at most {power.rates['se'].max():.2f}. No geometry was read.",
    )


def show_verdict(console: Console, verdict: Verdict) -> None:
    """The label, its reasons, and both legs beside the companion's."""
    table = _table("Task-matched lag", "leg", "p specific", "lag, decades", "5 % bound", "95 % bound", "tasks", "says")
    for what, legs in (("", verdict.legs), (", shuffled prompts", verdict.companion)):
        for metric, leg in legs.items():
            table.add_row(metric + what, *_leg(leg))
    if verdict.legs:
        console.print(table)
    console.print(f"[bold]{verdict.label}[/]: {escape('; '.join(verdict.reasons))}", highlight=False)
    least = min((leg.n_permutations for leg in verdict.legs.values()), default=0)
    _note(
        console,
        f"A precursor needs p ≤ .05 and a 5 % bound over {DELTA:g} decade on both legs, and none on shuffled prompts. "
        + (f"The least p these permutations can give is {1 / least:.2g}. " if least else "")
        + "Precedence is not a cause.",
    )


def show_rates(console: Console, rates: pd.DataFrame, ranks: pd.DataFrame) -> None:
    """Rates as they are usually quoted, with controls and placebos; timing only."""
    shown = [name for name in PLACEBOS if rates[name].notna().any()]
    table = _table(
        "Precursor rates (timing only)", "rule", "own", "controls", "excess", "p", *(f"placebo: {n}" for n in shown)
    )
    for row in rates.to_dict("records"):
        cells = (_percent(row["own"]), _percent(row["controls"]), f"{100 * row['excess']:+.0f}", f"{row['p']:.3f}")
        table.add_row(escape(str(row["rule"])), *cells, *(_percent(row[name]) for name in shown))
    console.print(table)
    named = ranks.loc[ranks["p_bh"] <= Q, "task"]
    _note(
        console,
        f"Per cent of {rates['n_own'].iloc[0]} pairs (controls: {rates['n_controls'].iloc[0]}). The headline is the "
        "excess; a placebo puts a behaviour where geometry should be. Tasks whose own geometry outranks its "
        f"{ranks['n_controls'].iloc[0]} controls at q = {Q:g}: {', '.join(named) or 'none'}.",
    )


def show_layers(console: Console, scan: LayerScan) -> None:
    """The accuracy leg by layer, corrected for all layers."""
    table = _table("By layer (accuracy leg, timing only)", "layer", "lag, decades", "adjusted p")
    for layer, lag, p in zip(scan.layers, scan.lag, scan.p_adjusted, strict=True):
        table.add_row(layer, f"{lag:+.2f}", f"{p:.3f}")
    console.print(table)


def show_calibration(console: Console, table: pd.DataFrame) -> None:
    """By grid: per cent of made-up runs, or of their tasks, in which each test says that geometry leads."""
    for grid, rows in table.groupby("grid", sort=False):
        worlds = list(dict.fromkeys(rows["world"]))
        counts = rows[rows["test"] == PRIMARY[0]]["runs"]
        for title, tests in (("primary test", (*PRIMARY, LAG)), ("usual tests", SECONDARY)):
            shown = _table(f"{grid} steps, {title}: per cent called a lead", "world", *tests)
            wide = rows.pivot(index="world", columns="test", values="rate").loc[worlds]
            error = rows.pivot(index="world", columns="test", values="se").loc[worlds]
            for name in worlds:
                shown.add_row(name, *(_rate(test, wide.at[name, test], error.at[name, test]) for test in tests))
            console.print(shown)
        _note(console, f"{counts.min()} made-up runs a world; ± one standard error over runs.")


def _rate(test: str, rate: Any, error: Any) -> str:
    return f"{rate:+.2f} ± {error:.2f}" if test == LAG else f"{100 * rate:.1f} ± {100 * error:.1f}"


def _leg(leg: Leg) -> Sequence[str]:
    bounds = (f"{leg.lag:+.2f}", f"{leg.lower:+.2f}", f"{leg.upper:+.2f}")
    return (f"{leg.p_specific:.4f}", *bounds, str(leg.n_tasks), leg.label)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if not number or column in ("task", "outcome", "says") else "right")
    return table


def _note(console: Console, text: str) -> None:
    console.print(text, style="dim", highlight=False, markup=False)


def _share(value: Any) -> str:
    return NOTHING_TO_SHOW if pd.isna(value) else f"{value:.2f}"


def _percent(value: float) -> str:
    return NOTHING_TO_SHOW if pd.isna(value) else f"{100 * value:.0f}"


def _whole(value: Any) -> str:
    return NOTHING_TO_SHOW if pd.isna(value) else f"{value:,.0f}"

"""What the precursor commands show, from their tables: tasks, power, the verdict, rates beside controls, calibration.

Nothing is computed here: every number is a cell of a table that is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pythia_geometry.analysis.calibration.rates import LAG, PRIMARY, SECONDARY
from pythia_geometry.analysis.precursor.answer import SHUFFLED_PROMPTS
from pythia_geometry.analysis.precursor.rates import PLACEBOS, Q
from pythia_geometry.analysis.precursor.screening import EMERGED
from pythia_geometry.analysis.precursor.task_matched_lag import DELTA
from pythia_geometry.screens.console import open_console

Tables = Mapping[str, pd.DataFrame]
MAX_TASKS = 40
NOTHING_TO_SHOW = "–"


def show_power(tables: Tables) -> None:
    """All screened tasks, and what the test would find on those that emerged."""
    _tasks_and_power(open_console(), tables["power-tasks"], tables["power"])


def show_precursors(tables: Tables) -> None:
    """Tasks, power, the verdict, both legs beside the companion's, rates beside controls, layers."""
    console = open_console()
    _tasks_and_power(console, tables["precursors-tasks"], tables["precursors-power"])
    _verdict(console, tables["precursors"], tables["precursors-legs"])
    if "precursors-rates" in tables:
        _rates(console, tables["precursors-rates"], tables["precursors-ranks"])
        _layers(console, tables["precursors-layers"])


def show_calibration(tables: Tables, console: Console | None = None) -> None:
    """By grid: per cent of made-up runs, or of their tasks, in which each test says that geometry leads."""
    console = console or open_console()
    for grid, rows in tables["calibrate"].groupby("grid", sort=False):
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


def _tasks_and_power(console: Console, tasks: pd.DataFrame, power: pd.DataFrame) -> None:
    table = _table("Tasks", "run", "task", "baseline", "top", "halfway at step", "outcome")
    for row in tasks.head(MAX_TASKS).itertuples():
        halfway = _whole(row.halfway_step) if row.outcome == EMERGED else NOTHING_TO_SHOW
        table.add_row(
            str(row.run), escape(str(row.task)), _share(row.baseline), _share(row.top), halfway, str(row.outcome)
        )
    console.print(table)
    if len(tasks) > MAX_TASKS:
        console.print(f"… and {len(tasks) - MAX_TASKS} more tasks")
    about = power.iloc[0]
    if about["reason"]:
        console.print(f"[bold]untestable[/] with these tasks: {about['reason']}", highlight=False)
    if pd.isna(about["lead"]):
        return
    rates = _table("Power", "lead over both metrics, decades", "accuracy leg", "continuous leg", "both")
    for row in power.itertuples():
        rates.add_row(f"{row.lead:g}", _share(row.accuracy), _share(row.continuous), _share(row.both))
    console.print(rates)
    _note(
        console,
        f"{about['draws']} made-up geometries a row on your own behaviour curves, {about['n_tasks']} tasks, "
        f"seed {about['seed']}; standard error at most {power['se'].max():.2f}. No geometry was read.",
    )


def _verdict(console: Console, verdict: pd.DataFrame, legs: pd.DataFrame) -> None:
    table = _table("Task-matched lag", "leg", "p specific", "lag, decades", "5 % bound", "95 % bound", "tasks", "says")
    for row in legs.itertuples():
        bounds = (f"{row.lag:+.2f}", f"{row.lower:+.2f}", f"{row.upper:+.2f}")
        what = f"{row.metric}{', shuffled prompts' if row.prompts == SHUFFLED_PROMPTS else ''}"
        table.add_row(what, f"{row.p_specific:.4f}", *bounds, str(row.n_tasks), str(row.says))
    if len(legs):
        console.print(table)
    for row in verdict.itertuples():
        console.print(f"[bold]{row.verdict}[/]: {escape(str(row.reasons))}", highlight=False)
    least = legs["n_permutations"].min()
    _note(
        console,
        f"A precursor needs p ≤ .05 and a 5 % bound over {DELTA:g} decade on both legs, and none on shuffled prompts. "
        + (f"The least p these permutations can give is {1 / least:.2g}. " if len(legs) else "")
        + "Precedence is not a cause.",
    )


def _rates(console: Console, rates: pd.DataFrame, ranks: pd.DataFrame) -> None:
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


def _layers(console: Console, layers: pd.DataFrame) -> None:
    table = _table("By layer (accuracy leg, timing only)", "layer", "lag, decades", "adjusted p")
    for row in layers.itertuples():
        table.add_row(str(row.layer), f"{row.lag:+.2f}", f"{row.p_adjusted:.3f}")
    console.print(table)


def _rate(test: str, rate: Any, error: Any) -> str:
    return f"{rate:+.2f} ± {error:.2f}" if test == LAG else f"{100 * rate:.1f} ± {100 * error:.1f}"


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

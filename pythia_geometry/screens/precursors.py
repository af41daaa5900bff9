"""What the precursor commands show, from their tables: tasks, power, the verdict, rates beside controls, calibration.

Nothing is computed here: every number is a cell of a table that is kept.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pythia_geometry.analysis.calibration.rates import LAG, PRIMARY, SECONDARY
from pythia_geometry.analysis.precursor.bend import BEND_LINE, EXPONENTS
from pythia_geometry.analysis.precursor.finding import LEADS_HERE, MIN_RUNS
from pythia_geometry.analysis.precursor.rates import PLACEBOS, Q
from pythia_geometry.analysis.precursor.screening import EMERGED
from pythia_geometry.analysis.precursor.task_matched_lag import DELTA
from pythia_geometry.screens.console import open_console

Tables = Mapping[str, pd.DataFrame]
MAX_TASKS = 40
NOTHING_TO_SHOW = "–"
MOST = EXPONENTS[-1]


def show_power(tables: Tables) -> None:
    """All screened tasks, and what the test would find on those that emerged."""
    _tasks_and_power(open_console(), tables["power-tasks"], tables["power"])


def show_precursors(tables: Tables) -> None:
    """Tasks, power, every verdict with its legs, rates beside controls, layers."""
    console = open_console()
    _tasks_and_power(console, tables["precursors-tasks"], tables["precursors-power"])
    _legs(console, tables["precursors-legs"])
    if "precursors-rates" in tables:
        for (model, measure), rates in tables["precursors-rates"].groupby(["model", "measure"], sort=False):
            ranks, layers = (_same(tables[f"precursors-{name}"], model, measure) for name in ("ranks", "layers"))
            _rates(console, rates, ranks)
            _layers(console, layers)
    _verdicts(console, tables["precursors"])


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
    table = _table("Tasks", "run", "task", "family", "baseline", "top", "halfway at step", "outcome", "tested")
    for row in tasks.head(MAX_TASKS).itertuples():
        halfway = _whole(row.halfway_step) if row.outcome == EMERGED else NOTHING_TO_SHOW
        named = (str(row.run), escape(str(row.task)), _word(row.family))
        numbers = (_share(row.baseline), _share(row.top), halfway)
        table.add_row(*named, *numbers, str(row.outcome), "yes" if row.tested else "")
    console.print(table)
    if len(tasks) > MAX_TASKS:
        console.print(f"… and {len(tasks) - MAX_TASKS} more tasks")
    for model, rows in power.groupby("model", sort=False):
        _power(console, str(model), rows)


def _power(console: Console, model: str, power: pd.DataFrame) -> None:
    about = power.iloc[0]
    if about["reason"]:
        console.print(f"[bold]untestable[/] with these tasks: {about['reason']}", highlight=False)
    if pd.isna(about["lead"]):
        return
    word = "precursor" if about["n_runs"] >= MIN_RUNS else LEADS_HERE
    rates = _table(f"Power, {model}", "lead over both metrics, decades", "accuracy leg", "continuous leg", "both", word)
    for row in power.itertuples():
        rates.add_row(f"{row.lead:g}", _share(row.accuracy), _share(row.continuous), _share(row.both), _share(row.word))
    console.print(rates)
    _note(
        console,
        f"{about['draws']} made-up geometries a row on your own behaviour curves, {about['n_tasks']} tasks in "
        f"{about['n_families']} families, {about['n_runs']} runs, seed {about['seed']}; standard error at most "
        f"{power['se'].max():.2f}. No geometry was read.",
    )


def _legs(console: Console, legs: pd.DataFrame) -> None:
    columns = ("metric", "p specific", "lag, decades", "5 % bound", "95 % bound", "5 % bound over runs", "says")
    table = _table("Task-matched lag", "model, measure", *columns)
    for row in legs.itertuples():
        bounds = (f"{row.lag:+.2f}", f"{row.lower:+.2f}", f"{row.upper:+.2f}", _signed(row.runs_lower))
        table.add_row(f"{row.model}, {row.measure}", str(row.metric), f"{row.p_specific:.4f}", *bounds, str(row.says))
    if len(legs):
        console.print(table)
        _note(
            console,
            f"A leg leads if all is at 5 %: p, the lag over {DELTA:g} decade, and over runs. The least p these "
            f"permutations can give is {1 / legs['n_permutations'].min():.2g}.",
        )


def _verdicts(console: Console, verdicts: pd.DataFrame) -> None:
    """One sentence a verdict, what it is about, and the figures behind it."""
    for row in verdicts.to_dict("records"):
        said = f"[bold]{escape(row['model'])}, {row['measure']}: {row['verdict']}[/]. {escape(row['reasons'])}."
        console.print(said, highlight=False)
        if not pd.isna(row["p"]):
            _note(console, f"  About: {row['estimand']}.")
            _note(console, f"  {_figures(row)}.")
    _note(
        console,
        "A precursor is earlier in its own range, in three runs or more, on both metrics, not in shuffled prompts, and "
        f"no bend under r^{BEND_LINE:g} explains it. Families that are declared nowhere count task by task. "
        "Precedence is not a cause.",
    )


def _figures(row: Mapping[Hashable, Any]) -> str:
    bend = row["bend"]
    companion = (
        "no shuffled prompts"
        if pd.isna(row["companion_p"])
        else f"shuffled prompts: paired p {row['companion_p']:.3f}, keep {row['kept']:.2f} "
        f"({row['kept_low']:+.2f} to {row['kept_high']:+.2f})"
    )
    ends = NOTHING_TO_SHOW if pd.isna(bend) else f"none up to {MOST:g}" if bend > MOST else f"{bend:g}"
    return (
        f"p {row['p']:.3f}, Holm {row['p_holm']:.3f}; lag {row['lag']:+.2f} "
        f"({row['lower']:+.2f} to {row['upper']:+.2f}); {row['n_runs']} runs, {row['n_families']} families; "
        f"{companion}; bend that ends the lead: {ends}; power at half a decade {_share(row['power'])}, of the word "
        f"{_share(row['power_word'])}"
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


def _word(value: Any) -> str:
    return NOTHING_TO_SHOW if pd.isna(value) else escape(str(value))


def _signed(value: Any) -> str:
    return NOTHING_TO_SHOW if pd.isna(value) else f"{value:+.2f}"


def _same(table: pd.DataFrame, model: Any, measure: Any) -> pd.DataFrame:
    is_same: pd.Series[bool] = (table["model"] == model) & (table["measure"] == measure)
    return table.loc[is_same]


def _whole(value: Any) -> str:
    return NOTHING_TO_SHOW if pd.isna(value) else f"{value:,.0f}"

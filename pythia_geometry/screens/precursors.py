"""What `power` and `precursors` show, from their tables: tasks, power, the verdict, rates beside controls.

Nothing is computed here: every number is a cell of a table that is kept.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pythia_geometry.analysis.precursor.bend import BEND_LINE, EXPONENTS
from pythia_geometry.analysis.precursor.finding import (
    COUPLED,
    EARLIER,
    IN_THIS_RUN,
    LAGS,
    LEADS,
    LEADS_HERE,
    MIN_RUNS,
    NO_LEAD,
    UNDECIDED,
    UNTESTABLE,
)
from pythia_geometry.analysis.precursor.power import DECISIVE
from pythia_geometry.analysis.precursor.rates import PLACEBOS, Q
from pythia_geometry.analysis.precursor.screening import EMERGED
from pythia_geometry.analysis.precursor.task_matched_lag import DELTA
from pythia_geometry.screens.console import open_console

Tables = Mapping[str, pd.DataFrame]
MAX_TASKS = 40
NOTHING_TO_SHOW = "–"
MOST = EXPONENTS[-1]
GOOD_POWER = 0.8  # from here on a lead that is not found was probably not there


PLAIN = {
    LEADS: "geometry moves before behaviour, task by task, run after run",
    LEADS_HERE: "geometry moves before behaviour in this run; of other runs nothing is known",
    EARLIER: "geometry is earlier within its own range, but a bent scale or a ceiling would look the same",
    COUPLED: "each task's geometry moves with its own behaviour, not half a decade before it",
    LAGS: "geometry moves after behaviour",
    NO_LEAD: "geometry does not come half a decade before behaviour; these tasks would have shown it",
    UNDECIDED: "neither a lead nor its absence is shown",
    UNTESTABLE: "these tasks could not show a lead, so nothing follows",
}
"""Each word as a newcomer reads it."""


def show_power(tables: Tables) -> None:
    """All screened tasks, what the test would find on those that emerged, and one sentence a model."""
    console = open_console()
    _tasks_and_power(console, tables["power-tasks"], tables["power"])
    for model, rows in tables["power"].groupby("model", sort=False):
        console.print(f"In short, {escape(str(model))}: {_could_show(rows)}.", highlight=False)


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
        f"{about['n_families']} families, {_count(about['n_runs'], 'run')}, seed {about['seed']}; standard error at "
        f"most {power['se'].max():.2f}. No geometry was read.",
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
    """Each verdict, what it is about and the figures behind it; at the end one plain sentence a model."""
    for row in verdicts.to_dict("records"):
        said = f"[bold]{escape(row['model'])}, {row['measure']}: {row['verdict']}[/]. {escape(row['reasons'])}."
        console.print(said, highlight=False)
        if not pd.isna(row["p"]):
            _note(console, f"  About: {row['estimand']}.")
            _note(console, f"  {_figures(row)}.")
    _words_explained(console)
    for model, rows in verdicts.groupby("model", sort=False):
        words = rows.groupby("verdict", sort=False)["measure"].agg(" and ".join)
        said = "; ".join(f"{_plain(word)} ({measures})" for word, measures in words.items())
        console.print(f"In short, {escape(str(model))}: {said}.", highlight=False)


def _plain(word: Any) -> str:
    here = str(word).endswith(IN_THIS_RUN) and word != LEADS_HERE
    return PLAIN[str(word).removesuffix(IN_THIS_RUN) if here else str(word)] + IN_THIS_RUN * here


def _could_show(rows: pd.DataFrame) -> str:
    about, at = rows.iloc[0], rows[rows["lead"] == DECISIVE]
    if at.empty:
        return f"these tasks cannot be tested ({about['reason']})"
    row = at.iloc[0]
    found = row["accuracy"] if pd.isna(row["both"]) else row["both"]
    of = f"would be found in {100 * found:.0f} of 100 such studies"
    if about["reason"]:
        return (
            f"these tasks could not show a lead: one of half a decade of steps (×3.2) {of}; more tasks that rise at "
            "different times, more checkpoints or more seeds are needed"
        )
    means = "so that not finding one means something" if found >= GOOD_POWER else "so that a miss is a weak answer"
    return f"a lead of half a decade of steps (×3.2) {of}, {means}"


def _words_explained(console: Console) -> None:
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
        f"({row['lower']:+.2f} to {row['upper']:+.2f}); {_count(row['n_runs'], 'run')}, {row['n_families']} families; "
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


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if not number or column in ("task", "outcome", "says") else "right")
    return table


def _note(console: Console, text: str) -> None:
    console.print(text, style="dim", highlight=False, markup=False)


def _count(n: Any, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


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

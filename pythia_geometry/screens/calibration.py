"""What `calibrate` shows: rates of words world by world, power, rules of claims, and single tests.

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
from pythia_geometry.analysis.calibration.summaries import excess, grids_of, power_summary, runs_of, words_summary
from pythia_geometry.screens.console import open_console

Tables = Mapping[str, pd.DataFrame]


def show_calibration(tables: Tables, console: Console | None = None) -> None:
    """Words of verdicts, power, rules of claims, then single tests, in per cent of made-up runs."""
    console = console or open_console()
    _singles(console, tables["calibrate"])
    _rules(console, tables["calibrate-rules"])
    _words(console, tables["calibrate-words"])


def _words(console: Console, words: pd.DataFrame) -> None:
    for grid in grids_of(words):
        draws = words.loc[words["grid"] == grid, "draws"]
        _frame(console, f"{grid}: per cent of studies, {runs_of(words, grid)} runs", words_summary(words, grid))
        _note(console, f"{draws.min()} studies a cell, ± one standard error. Word: precursor; of one run, leads.")
    _frame(console, "Power, per cent: both legs / word", power_summary(words))
    over = excess(words)
    end = f"Over 5 % by two standard errors where no lead exists: {'; '.join(over)}." if over else (
        "Where no lead exists, and it can be told, neither both legs nor the word pass 5 % by two standard "
        "errors in any world."
    )  # fmt: skip
    console.print(end, highlight=False)


def _rules(console: Console, rules: pd.DataFrame) -> None:
    lines = [
        {"rule": rule, "truth": f"{truth}: {rows['what'].iloc[0]}", "runs": runs, "says, per cent": _said(rows)}
        for (rule, truth, runs), rows in rules.groupby(["rule", "truth", "runs"], sort=False)
    ]
    if lines:
        _frame(console, "Rules of claims", pd.DataFrame(lines))


def _said(rows: pd.DataFrame) -> str:
    ordered = rows.sort_values("rate", ascending=False)
    words = zip(ordered["word"].astype(str), ordered["rate"].astype(float), strict=True)
    return ", ".join(f"{word} {100 * rate:.0f}" for word, rate in words)


def _singles(console: Console, table: pd.DataFrame) -> None:
    for grid, rows in table.groupby("grid", sort=False):
        worlds = list(dict.fromkeys(rows["world"]))
        counts = rows[rows["test"] == PRIMARY[0]]["runs"]
        for title, tests in (("primary test", (*PRIMARY, LAG)), ("usual tests", SECONDARY)):
            wide = rows.pivot(index="world", columns="test", values="rate").loc[worlds]
            error = rows.pivot(index="world", columns="test", values="se").loc[worlds]
            lines = [
                {"world": w} | {test: _rate(test, wide.at[w, test], error.at[w, test]) for test in tests}
                for w in worlds
            ]
            _frame(console, f"{grid} steps, {title}: per cent called a lead", pd.DataFrame(lines))
        _note(console, f"{counts.min()} made-up runs a world; ± one standard error over runs.")


def _rate(test: str, rate: Any, error: Any) -> str:
    return f"{rate:+.2f} ± {error:.2f}" if test == LAG else f"{100 * rate:.1f} ± {100 * error:.1f}"


def _frame(console: Console, title: str, frame: pd.DataFrame) -> None:
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(frame.columns):
        shown.add_column(escape(str(column)), justify="left" if not number or "truth" in column else "right")
    for row in frame.itertuples(index=False):
        shown.add_row(*(escape(str(cell)) for cell in row))
    console.print(shown)


def _note(console: Console, text: str) -> None:
    console.print(text, style="dim", highlight=False, markup=False)

"""The table of claims, in the terminal and as a page."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from pythia_geometry.analysis.claims.replication import CANNOT_TELL, DIFFERENT, MIN_RUNS, SAME
from pythia_geometry.analysis.claims.ruling import (
    DOES_NOT,
    IN_PART,
    NOT_ENOUGH,
    NOT_SEEN,
    REPLICATES,
    SEEN,
    UNDECIDED,
)
from pythia_geometry.analysis.claims.table import read_sources
from pythia_geometry.screens.console import open_console

COLOURS = {
    REPLICATES: "green",
    DOES_NOT: "red",
    IN_PART: "yellow",
    UNDECIDED: "yellow",
    SEEN: "green",
    NOT_SEEN: "red",
}


def show_claims(tables: Mapping[str, pd.DataFrame], folder: Path, console: Console | None = None) -> None:
    """One block a claim: what the paper says, then one line for each body of evidence; where the rows lie."""
    console = console or open_console()
    shown = Table(box=None, pad_edge=False, header_style="dim", show_lines=False)
    shown.add_column("claim", max_width=34)
    shown.add_column("says", no_wrap=True)
    shown.add_column("verdict", no_wrap=True)
    shown.add_column("value, interval, n", ratio=1)
    for (claim, text), rows in tables["claims"].groupby(["id", "claim"], sort=False):
        first = rows.iloc[0]
        said = "; ".join(filter(None, (str(first["says"]), str(first["note"]))))
        shown.add_row(f"[bold]{claim}[/] {text}", "paper", "", said)
        for row in rows.to_dict("records"):
            colour = COLOURS.get(row["verdict"], "dim")
            shown.add_row("", row["evidence"], f"[{colour}]{row['verdict']}[/]", row["value"].replace(" | ", "\n"))
            if row["operating"]:
                shown.add_row("", "", "", f"[dim]this rule says, {row['operating']}[/]")
        shown.add_row("", "", "", "")
    console.print(shown, highlight=False)
    if "claims-replication" in tables:
        _replication(console, tables["claims-replication"])
    for source in read_sources():
        console.print(f"{source.id}: {source.cite}. {source.title}.", style="dim", highlight=False, markup=False)
    for name, rows in tables["claims"].groupby("evidence", sort=False):
        console.print(f"In short, {name}: {_in_short(rows)}.", highlight=False, markup=False)
    console.print(
        f"table {folder}/claims.csv and .md; the rows behind each verdict: {folder}/rows/CLAIM-EVIDENCE.csv",
        highlight=False, markup=False,
    )  # fmt: skip


PLAIN = {
    REPLICATES: "bear out",
    IN_PART: "bear out in part",
    DOES_NOT: "speak against",
    SEEN: "show, in one run,",
    NOT_SEEN: "do not show, in one run,",
    UNDECIDED: "neither bear out nor refute",
    NOT_ENOUGH: "cannot be asked about",
}
"""What numbers do to claims, as a newcomer reads it, in the order of the sentence."""


def _in_short(rows: pd.DataFrame) -> str:
    """One sentence: which claims these numbers bear out, which they do not, and of which they say nothing."""
    named = {word: list(mine["id"]) for word, mine in rows.groupby("verdict")}
    said = [f"{plain} {', '.join(named[word])}" for word, plain in PLAIN.items() if word in named]
    return f"these numbers {'; '.join(said)}"


def _replication(console: Console, table: pd.DataFrame) -> None:
    """Effects of lab and run side by side, and one sentence."""
    shown = Table(title="Replication against synthetic", title_justify="left", box=None, pad_edge=False)
    for column in ("claim", "effect", "lab (90 %)", "run (90 %)", "difference", "is"):
        shown.add_column(column)
    for row in table.to_dict("records"):
        unit = "designs" if "designs" in row["effect"] else "runs"
        sides = (f"{_interval(row, side)}, {row[f'{side}_runs']} {unit}" for side in ("synthetic", "run"))
        shown.add_row(row["id"], row["effect"], *sides, _interval(row, "difference", "difference"), row["word"])
    console.print(shown, highlight=False)
    for name, rows in table.groupby("run", sort=False):
        words = {word: list(mine["id"]) for word, mine in rows.groupby("word")}
        order = [word for word in (SAME, DIFFERENT, CANNOT_TELL) if word in words]
        said = "; ".join(f"{word} in {', '.join(words[word])}" for word in order)
        console.print(f"In short, {name} beside the lab, number by number: {said}.", highlight=False, markup=False)
    few = (table[["synthetic_runs", "run_runs"]] < MIN_RUNS).any(axis=1)
    if few.any():
        told = f"Fewer than {MIN_RUNS} runs on a side show nothing of how runs differ: {CANNOT_TELL}."
        console.print(told, style="dim", highlight=False, markup=False)


def _interval(row: Mapping[Hashable, Any], side: str, value: str = "") -> str:
    low, high = row[f"{side}_low"], row[f"{side}_high"]
    return f"{row[value or f'{side}_value']:+.2f} ({low:+.2f} to {high:+.2f})"


def as_markdown(table: pd.DataFrame) -> str:
    """The same as a page."""
    lines = ["| claim | source | says | evidence | verdict | value, interval, n |", "|" + "---|" * 6]
    for row in table.itertuples():
        cells = (f"{row.id} {row.claim}", row.source, row.says, row.evidence, row.verdict, row.value)
        lines.append("| " + " | ".join(str(cell).replace(" | ", "<br>") for cell in cells) + " |")
    cites = [f"{source.id}: {source.cite}. {source.title}." for source in read_sources()]
    return "\n".join([*lines, "", *cites, ""])

"""The table of claims, in the terminal and as a page."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from pythia_geometry.analysis.claims.table import read_sources
from pythia_geometry.screens.console import open_console

COLOURS = {
    "replicates": "green",
    "does not replicate": "red",
    "in part": "yellow",
    "undecided": "yellow",
    "seen in this run": "green",
    "not seen in this run": "red",
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
        words = rows["verdict"].value_counts(sort=True)
        counts = ", ".join(f"{n} {word}" for word, n in words.items())
        console.print(f"In short, {name}: of {len(rows)} claims {counts}.", highlight=False, markup=False)
    console.print(
        f"table {folder}/claims.csv and .md; the rows behind each verdict: {folder}/rows/CLAIM-EVIDENCE.csv",
        highlight=False, markup=False,
    )  # fmt: skip


def _replication(console: Console, table: pd.DataFrame) -> None:
    """Effects of lab and run side by side."""
    shown = Table(title="Replication against synthetic", title_justify="left", box=None, pad_edge=False)
    for column in ("claim", "effect", "lab (90 %)", "run (90 %)", "difference", "is"):
        shown.add_column(column)
    for row in table.to_dict("records"):
        sides = (f"{_interval(row, side)}, {row[f'{side}_runs']} runs" for side in ("synthetic", "run"))
        shown.add_row(row["id"], row["effect"], *sides, _interval(row, "difference", "difference"), row["word"])
    console.print(shown, highlight=False)


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

"""The table of claims, in the terminal and as a page."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.table import Table

COLOURS = {"replicates": "green", "does not replicate": "red", "in part": "yellow", "undecided": "yellow"}


def show_claims(console: Console, table: pd.DataFrame) -> None:
    """One block a claim: what the paper says, then one line for each body of evidence."""
    shown = Table(box=None, pad_edge=False, header_style="dim", show_lines=False)
    shown.add_column("claim", max_width=34)
    shown.add_column("says", no_wrap=True)
    shown.add_column("verdict", no_wrap=True)
    shown.add_column("value, interval, n", ratio=1)
    for (claim, text), rows in table.groupby(["id", "claim"], sort=False):
        first = rows.iloc[0]
        shown.add_row(f"[bold]{claim}[/] {text}", "paper", "", f"v1 {first['v1']}; v3 {first['v3']}; v4 {first['v4']}")
        for row in rows.itertuples():
            colour = COLOURS.get(str(row.verdict), "dim")
            shown.add_row("", str(row.evidence), f"[{colour}]{row.verdict}[/]", str(row.value).replace(" | ", "\n"))
        shown.add_row("", "", "", "")
    console.print(shown, highlight=False)


def as_markdown(table: pd.DataFrame) -> str:
    """The same as a page."""
    lines = ["| claim | paper v1 | v3 | v4 | evidence | verdict | value, interval, n |", "|" + "---|" * 7]
    for row in table.itertuples():
        cells = (f"{row.id} {row.claim}", row.v1, row.v3, row.v4, row.evidence, row.verdict, row.value)
        lines.append("| " + " | ".join(str(cell).replace(" | ", "<br>") for cell in cells) + " |")
    return "\n".join([*lines, ""])

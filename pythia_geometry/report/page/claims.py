"""The table of claims: who says what, and what each body of evidence says; each cell opens what stands behind it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from pythia_geometry.report.page.html_parts import folded, number, paragraph, table, text

ROWS = 40
"""Of the rows behind a verdict, how many the page holds; the result holds all."""
_SAYS_NOTHING = ("claim", "evidence", "suite", "probe", "position", "settings", "head", "key")


def claims_table(claims: pd.DataFrame, rows: pd.DataFrame) -> str:
    """A row for each claim, a cell for each body of evidence.

    Args:
        claims: The result `claims`.
        rows: The result `claims-rows`; empty where it was not kept.
    """
    bodies = list(dict.fromkeys(claims["evidence"]))
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in ("claim", "who says it", *bodies))
    body = "".join(_claim(part, bodies, rows) for _, part in claims.groupby("id", sort=False))
    return (
        '<div class="scroll" role="region" tabindex="0" aria-label="published claims"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _claim(part: pd.DataFrame, bodies: list[str], rows: pd.DataFrame) -> str:
    first = part.iloc[0]
    cells = {str(row["evidence"]): _cell(row, rows) for row in part.to_dict("records")}
    note = paragraph(first["note"], "note") if first.get("note") else ""
    return (
        f'<tr><th scope="row">{text(first["id"])} {text(first["claim"])}</th>'
        f"<td>{text(first.get('source', ''))}: {text(first.get('says', ''))}{note}</td>"
        + "".join(f"<td>{cells.get(name, '–')}</td>" for name in bodies)
        + "</tr>"
    )


def _cell(row: Mapping[Hashable, Any], rows: pd.DataFrame) -> str:
    said = [paragraph(row.get("value", ""))]
    if row.get("effect"):
        low, high = number(row.get("effect_low")), number(row.get("effect_high"))
        said.append(paragraph(f"Effect: {row['effect']}, {number(row.get('effect_value'))} [{low}, {high}]."))
    said += [
        paragraph(f"{name}: {row[field]}", "note")
        for name, field in (("Statistic", "statistic"), ("Rule", "decides"), ("What this rule says", "operating"))
        if row.get(field)
    ]
    held = rows[(rows["claim"] == row["id"]) & (rows["evidence"] == row["evidence"])] if len(rows) else rows
    if len(held):
        shown = held[[c for c in held if c not in _SAYS_NOTHING and held[c].notna().any()]]
        left = f"; the first {ROWS} here, all in results/claims-rows.parquet" if len(held) > ROWS else ""
        said.append(folded(f"{len(held)} rows{left}", table(shown.head(ROWS), f"rows of {row['id']}")))
    n = f", n = {row['n_runs']}" if row.get("n_runs") is not None else ""
    return folded(f"{row['verdict']}{n}", "".join(said))

"""Pieces of the page's HTML. Every name is text: whatever comes from a table or a server is escaped here."""

from __future__ import annotations

import html
from collections.abc import Sequence

import pandas as pd

from pythia_geometry.store.results import Result

MOST_ROWS = 200


def text(value: object) -> str:
    """Any value as text inside or between tags."""
    return html.escape(str(value), quote=True)


def paragraph(words: object, kind: str = "") -> str:
    """A paragraph."""
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def command(words: str) -> str:
    """What to type."""
    return f"<code>{text(words)}</code>"


def table(frame: pd.DataFrame, title: str) -> str:
    """A table that scrolls; numbers with 5 significant digits, what is missing as a dash."""
    shown = frame.head(MOST_ROWS)
    head = "".join(f'<th scope="col">{text(str(c).replace("_", " "))}</th>' for c in shown.columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in shown.itertuples(index=False, name=None))
    left = len(frame) - len(shown)
    more = paragraph(f"{left} further rows are in the file.", "note") if left else ""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(title)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}"
    )


def folded(title: str, content: str) -> str:
    """Something that opens on demand."""
    return f"<details><summary>{text(title)}</summary>{content}</details>"


def result_table(result: Result, where: str, columns: Sequence[str] = ()) -> str:
    """A kept result, and where it comes from."""
    kept = [c for c in columns if c in result.frame] or list(result.frame.columns)
    settings = ", ".join(f"{key} {value}" for key, value in result.settings.items() if value != "")
    about = f"{where}/results/{result.name}.parquet, version {result.version}" + (f"; {settings}" if settings else "")
    return table(result.frame[kept], result.name) + paragraph(about, "note")


def number(value: object) -> str:
    """A value as the page shows it: numbers with 5 significant digits, what is missing as a dash."""
    if value is None or value is pd.NA or value != value:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _cell(value: object) -> str:
    kind = ' class="number"' if isinstance(value, float | int) and value == value else ""
    return f"<td{kind}>{text(number(value))}</td>"

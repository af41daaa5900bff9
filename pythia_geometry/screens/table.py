"""A table: whole at any width of the terminal, and tab-separated lines where nobody watches one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.segment import Segment, Segments
from rich.table import Table


def show_table(
    console: Console,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    title: str = "",
    left: Sequence[str] = (),
) -> None:
    """Prints a table; no cell is cut: where the terminal is narrow, cells and headings take several lines.

    Piped or written to a file it is one line a row, cells separated by tabs, so that `grep`, `cut` and `sort` read it.

    Args:
        console: Where to.
        columns: Headings.
        rows: Cells, as plain text.
        title: A line above.
        left: Columns of words; the others are numbers and stand to the right.
    """
    if not console.is_terminal:
        lines = [*([title] if title else []), "\t".join(columns), *("\t".join(map(_plain, row)) for row in rows)]
        for line in lines:
            console.print(
                Segments([Segment(line), Segment.line()]), end="", soft_wrap=True
            )  # as text, tabs would become spaces
        return
    table = Table(box=None, pad_edge=False, header_style="dim", title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    console.print(table)


def _plain(cell: str) -> str:
    return " ".join(cell.split())

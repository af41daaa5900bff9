"""`pythia-geom plot`: one figure for a paper, with its caption."""

from __future__ import annotations

from typing import Annotated

import typer

KINDS = "curves, layers, seeds, floors, order, lag or heads"


def plot(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="Run folders.")],
    what: Annotated[str, typer.Option("--what", help=f"{KINDS}.")] = "curves",
    tasks: Annotated[
        str, typer.Option("--tasks", help="With commas. [default: the first that can be told apart]")
    ] = "",
    measures: Annotated[
        str, typer.Option("--measures", help="Measures and metrics, with commas. [default: rankme and accuracy]")
    ] = "",
    layers: Annotated[str, typer.Option("--layers", help="With commas. [default: final_norm; maps: all]")] = "",
    width: Annotated[str, typer.Option("--width", help="column (3.25 in) or page (7 in); text is 8 pt.")] = "column",
    out: Annotated[
        str, typer.Option("--out", "-o", help="A .pdf, .svg or .png; .txt beside it holds the caption.")
    ] = "figure.pdf",
    latex: Annotated[bool, typer.Option("--latex", help="Also write what is shown as a LaTeX table.")] = False,
) -> None:
    """Draw one figure for a paper from run folders, and its caption with n, convention and source."""
    from pythia_geometry.commands.plotting import Choice, plot_figure
    from pythia_geometry.screens.console import open_console

    chosen = Choice(what, _names(tasks), _names(measures), _names(layers), width)
    for file in plot_figure(runs, chosen, out, latex):
        open_console().print(f"written  {file}", highlight=False, markup=False)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())

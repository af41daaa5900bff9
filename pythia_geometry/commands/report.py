"""`pythia-geom report`: one page that opens offline and shows what run folders hold."""

from __future__ import annotations

from typing import Annotated

import typer


def write_report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="Run folders; several stand side by side.")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="The file. [default: report.html in the first run folder]")
    ] = "",
    methods: Annotated[
        bool,
        typer.Option("--methods", help="Print a methods paragraph with references instead, to paste into a paper."),
    ] = False,
) -> None:
    """Write one HTML file that shows what run folders hold; it needs no network and can be sent to a colleague."""
    if methods:
        from pythia_geometry.report.methods import methods as paragraphs
        from pythia_geometry.report.page.inputs import read_sources

        for source in read_sources(runs):
            typer.echo("\n\n".join(paragraphs(source.manifest, source.tables.checkpoints, source.results)))
        return
    from pythia_geometry.report.page.page import save_page
    from pythia_geometry.screens.console import open_console

    file = save_page(runs, out)
    size = file.stat().st_size / 1e6
    open_console().print(f"written  {file} ({size:.1f} MB; open it in a browser)", highlight=False, markup=False)

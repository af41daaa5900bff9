"""`pythia-geom compare`: the published claims, judged on the lab and on the user's runs."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from pythia_geometry.commands.options import AsJson, Position
from pythia_geometry.typed_path import typed_path


def compare_claims(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN…]", help="Run folders.")] = None,
    reference: Annotated[str, typer.Option("--reference", help="lab: the results that ship. none: without.")] = "lab",
    position: Position = "last",
    as_json: AsJson = False,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder of the table and its rows.")] = "runs/claims",
) -> None:
    """Judge the claims of arXiv 2602.15997 (C1–C12) and 2606.25010 (S1–S7): what they say, the lab, each run."""
    from rich.console import Console

    from pythia_geometry.commands.comparison import compare_tables, read_paths, rows_table, write_pages
    from pythia_geometry.commands.kept import deliver
    from pythia_geometry.screens.claims import show_claims
    from pythia_geometry.store.results import Result, hash_inputs, keep_result

    folder, named = typed_path(out), runs or []
    with Console(stderr=True).status("judging"):
        tables, traced = compare_tables(named, reference, position)
    write_pages(folder, tables, traced)
    inputs = read_paths(named, reference)
    settings = {"reference": reference, "position": position}
    show = None if as_json else partial(show_claims, folder=folder)
    deliver(tables, settings, inputs, folder, show)
    keep_result(folder, Result("claims-rows", rows_table(traced), settings, hash_inputs(inputs)))

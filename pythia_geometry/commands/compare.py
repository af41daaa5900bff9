"""`pythia-geom compare`: the published claims, judged on the lab and on the user's runs."""

from __future__ import annotations

from typing import Annotated

import typer


def compare_claims(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN…]", help="Run folders.")] = None,
    reference: Annotated[str, typer.Option("--reference", help="lab: the results that ship. none: without.")] = "lab",
    out: Annotated[str, typer.Option("--out", "-o", help="Folder of the table and its rows.")] = "runs/claims",
) -> None:
    """Judge the paper's claims C1 to C12: what the paper says, what the lab says, what each run says."""
    from pythia_geometry.commands.comparison import compare

    compare(runs or [], reference, out)

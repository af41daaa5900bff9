"""`pythia-geom calibrate`: how often each test calls a lead where there is none."""

from __future__ import annotations

from typing import Annotated

import typer

from pythia_geometry.commands.options import AsJson, Seed
from pythia_geometry.typed_path import typed_path


def calibrate_tests(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN…]", help="Use the steps, tasks and curves of these.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Made-up runs a world, in fifties.")] = 200,
    seed: Seed = 0,
    as_json: AsJson = False,
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder of finished chunks, continued, and of the tables.")
    ] = "runs/calibration",
) -> None:
    """Print how often each test calls a lead, and each verdict says its word, where the truth is known."""
    from rich.console import Console

    from pythia_geometry.commands.answers import calibration_tables
    from pythia_geometry.commands.kept import deliver
    from pythia_geometry.screens import calibration as screen

    with Console(stderr=True).status("") as status:
        tables = calibration_tables(runs or [], draws, seed, out, status.update)
    settings = {"draws": draws, "seed": seed}
    deliver(tables, settings, runs or [], typed_path(out), None if as_json else screen.show_calibration)

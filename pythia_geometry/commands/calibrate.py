"""`pythia-geom calibrate`: how often each test calls a lead where there is none."""

from __future__ import annotations

from typing import Annotated

import typer

from pythia_geometry.commands.options import Seed


def calibrate_tests(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN…]", help="Use the steps and tasks of these.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Made-up runs a world, in fifties.")] = 200,
    seed: Seed = 0,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder of finished chunks, continued.")] = "runs/calibration",
) -> None:
    """Print how often each test calls a lead in made-up worlds where the truth is known."""
    from pythia_geometry.analysis.calibration.rates import calibrate, run_designs
    from pythia_geometry.analysis.precursor.screening import screen_tasks
    from pythia_geometry.analysis.precursor.tidy_tables import read_tables
    from pythia_geometry.screens import precursors as screen
    from pythia_geometry.screens.console import open_console

    designs = run_designs(screen_tasks(read_tables(runs)[1])) if runs else None
    console = open_console()
    with console.status("") as status:
        table = calibrate(designs, draws=draws, seed=seed, folder=out, notify=status.update)
    screen.show_calibration(console, table)

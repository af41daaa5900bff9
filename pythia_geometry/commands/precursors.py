"""`pythia-geom precursors`: does geometry lead behaviour, task by task?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pythia_geometry.commands.options import AsJson, Behaviour, Continuous, Draws, Out, Position, Runs, Seed, Tasks


def judge_precursors(
    runs: Runs,
    measure: Annotated[str, typer.Option("--measure", help="Geometry. [default: RankMe, both conventions]")] = "",
    position: Position = "last",
    continuous: Continuous = "log_prob",
    draws: Draws = 100,
    seed: Seed = 0,
    tasks: Tasks = "hardest",
    behaviour: Behaviour = "",
    as_json: AsJson = False,
    out: Out = "",
) -> None:
    """Test whether geometry leads behaviour, task by task: each model on its own, its seeds together."""
    from pythia_geometry.commands.answers import precursor_tables
    from pythia_geometry.commands.kept import deliver
    from pythia_geometry.screens import precursors as screen
    from pythia_geometry.store.results import home_of

    settings: dict[str, Any] = {"measure": measure, "position": position, "continuous": continuous}
    settings |= {"draws": draws, "seed": seed, "tasks": tasks, "behaviour": behaviour}
    tables = precursor_tables(runs, **settings)
    deliver(tables, settings, runs, home_of(runs, out, "runs/precursors"), None if as_json else screen.show_precursors)

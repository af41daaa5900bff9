"""`pythia-geom power`: could these tasks show a precursor at all?"""

from __future__ import annotations

from typing import Any

from pythia_geometry.commands.options import AsJson, Behaviour, Continuous, Draws, Out, Runs, Seed, Tasks


def show_power(
    runs: Runs,
    continuous: Continuous = "log_prob",
    draws: Draws = 100,
    seed: Seed = 0,
    tasks: Tasks = "hardest",
    behaviour: Behaviour = "",
    as_json: AsJson = False,
    out: Out = "",
) -> None:
    """Say whether these tasks could show a precursor at all. Reads behaviour only."""
    from pythia_geometry.commands.answers import power_tables
    from pythia_geometry.commands.kept import deliver
    from pythia_geometry.screens import precursors as screen
    from pythia_geometry.store.results import home_of

    settings: dict[str, Any] = {
        "continuous": continuous,
        "draws": draws,
        "seed": seed,
        "tasks": tasks,
        "behaviour": behaviour,
    }
    tables = power_tables(runs, **settings)
    deliver(tables, settings, runs, home_of(runs, out, "runs/power"), None if as_json else screen.show_power)

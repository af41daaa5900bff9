"""`pythia-geom precursors`: does geometry lead behaviour, task by task?"""

from __future__ import annotations

from typing import Annotated

import typer

from pythia_geometry.commands.options import Continuous, Draws, Position, Runs, Seed


def judge_precursors(
    runs: Runs,
    measure: Annotated[str, typer.Option("--measure", help="Geometry; its logarithm is used.")] = "rankme_centred",
    position: Position = "last",
    continuous: Continuous = "log_prob",
    draws: Draws = 100,
    seed: Seed = 0,
) -> None:
    """Test whether geometry leads behaviour, task by task, all runs together."""
    from pythia_geometry.analysis.precursor.rates import families, precursor_rates, task_ranks
    from pythia_geometry.analysis.precursor.tidy_tables import Question, read_tables
    from pythia_geometry.analysis.precursor.verdict import layer_scan, precursors
    from pythia_geometry.screens import precursors as screen
    from pythia_geometry.screens.console import open_console

    geometry, behaviour = read_tables(runs)
    question, console = Question(measure, position, continuous), open_console()
    verdict = precursors(geometry, behaviour, question, draws, seed)
    screen.show_power(console, verdict.power, continuous)
    screen.show_verdict(console, verdict)
    if verdict.legs:
        tested = verdict.power.screening.runs
        found = families(geometry, tested, question)
        screen.show_rates(console, precursor_rates(found, seed), task_ranks(found))
        screen.show_layers(console, layer_scan(geometry, tested, question, seed))

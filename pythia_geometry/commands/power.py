"""`pythia-geom power`: could these tasks show a precursor at all?"""

from __future__ import annotations

from pythia_geometry.commands.options import Continuous, Draws, Runs, Seed


def show_power(runs: Runs, continuous: Continuous = "log_prob", draws: Draws = 100, seed: Seed = 0) -> None:
    """Say whether these tasks could show a precursor at all. Reads behaviour only."""
    from pythia_geometry.analysis.precursor.power import power
    from pythia_geometry.analysis.precursor.tidy_tables import Question, read_tables
    from pythia_geometry.screens import precursors as screen
    from pythia_geometry.screens.console import open_console

    _, behaviour = read_tables(runs)
    found = power(behaviour, Question(continuous=continuous), draws, seed)
    screen.show_power(open_console(), found, continuous)

"""The tables of each command that finds something, from run folders and files. The same from Python: `api`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from pythia_geometry.analysis.precursor.tidy_tables import Question, read_tables

Tables = dict[str, pd.DataFrame]


def power_tables(runs: Sequence[str | Path], continuous: str = "log_prob", draws: int = 100, seed: int = 0) -> Tables:
    """`power`: rates by lead; `power-tasks`: every task and whether it can be tested."""
    from pythia_geometry.analysis.precursor.answer import power_table
    from pythia_geometry.analysis.precursor.power import power

    _, behaviour = read_tables(runs)
    found = power(behaviour, Question(continuous=continuous), draws, seed)
    return {"power": power_table(found), "power-tasks": found.screening.table}


def precursor_tables(
    runs: Sequence[str | Path],
    measure: str = "rankme_centred",
    position: str = "last",
    continuous: str = "log_prob",
    draws: int = 100,
    seed: int = 0,
) -> Tables:
    """`precursors`: the verdict; then its tasks, power, legs, rates beside controls, ranks of tasks, layers."""
    from pythia_geometry.analysis.precursor.answer import layer_table, leg_table, power_table, verdict_table
    from pythia_geometry.analysis.precursor.rates import families, precursor_rates, task_ranks
    from pythia_geometry.analysis.precursor.verdict import layer_scan, precursors

    geometry, behaviour = read_tables(runs)
    question = Question(measure, position, continuous)
    verdict = precursors(geometry, behaviour, question, draws, seed)
    tables = {
        "precursors": verdict_table(verdict),
        "precursors-tasks": verdict.power.screening.table,
        "precursors-power": power_table(verdict.power),
        "precursors-legs": leg_table(verdict),
    }
    if verdict.legs:
        tested = verdict.power.screening.runs
        found = families(geometry, tested, question)
        tables["precursors-rates"] = precursor_rates(found, seed)
        tables["precursors-ranks"] = task_ranks(found)
        tables["precursors-layers"] = layer_table(layer_scan(geometry, tested, question, seed))
    return tables


def calibration_tables(
    runs: Sequence[str | Path] = (),
    draws: int = 200,
    seed: int = 0,
    folder: str | Path | None = None,
    notify: Callable[[str], object] = str,
) -> Tables:
    """`calibrate`: rate of every test in every made-up world."""
    from pythia_geometry.analysis.calibration.rates import calibrate, run_designs
    from pythia_geometry.analysis.precursor.screening import screen_tasks

    designs = run_designs(screen_tasks(read_tables(runs)[1])) if runs else None
    return {"calibrate": calibrate(designs, draws=draws, seed=seed, folder=folder, notify=notify)}

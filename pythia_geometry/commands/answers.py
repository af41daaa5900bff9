"""The tables of each command that finds something, from run folders and files. The same from Python: `api`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pythia_geometry.analysis.precursor.tidy_tables import Question, read_tables

if TYPE_CHECKING:
    from pythia_geometry.analysis.worlds.designs import Design

Tables = dict[str, pd.DataFrame]


def power_tables(
    runs: Sequence[str | Path],
    continuous: str = "log_prob",
    draws: int = 100,
    seed: int = 0,
    tasks: str = "hardest",
    behaviour: str = "",
) -> Tables:
    """`power`: rates by model and lead; `power-tasks`: every task and whether it is tested."""
    from pythia_geometry.analysis.precursor.answer import power_table, task_table
    from pythia_geometry.analysis.precursor.verdict import powers

    found = powers(_read(runs, behaviour)[1], Question(continuous=continuous), draws, seed, tasks)
    return {
        "power": _joined([power_table(model, one) for model, one in found.items()]),
        "power-tasks": _joined([task_table(one) for one in found.values()]),
    }


def precursor_tables(
    runs: Sequence[str | Path],
    measure: str = "",
    position: str = "last",
    continuous: str = "log_prob",
    draws: int = 100,
    seed: int = 0,
    tasks: str = "hardest",
    behaviour: str = "",
) -> Tables:
    """`precursors`: a verdict a model and measure; then tasks, power, legs; rates beside controls, ranks, layers.

    The last three are of the first measure, timing only.
    """
    from pythia_geometry.analysis.precursor.answer import (
        layer_table,
        leg_table,
        power_table,
        task_table,
        verdict_table,
    )
    from pythia_geometry.analysis.precursor.rates import families, precursor_rates, task_ranks
    from pythia_geometry.analysis.precursor.verdict import layer_scan, precursors

    geometry, curves = _read(runs, behaviour)
    question = Question(measure or "rankme_centred", position, continuous)
    named = [name for name in measure.split(",") if name]
    verdicts = precursors(geometry, curves, question, draws, seed, tasks, named)
    by_model = {verdict.model: verdict for verdict in reversed(verdicts)}
    tables = {
        "precursors": verdict_table(verdicts),
        "precursors-tasks": _joined([task_table(v.power) for v in by_model.values()]),
        "precursors-power": _joined([power_table(model, v.power) for model, v in by_model.items()]),
        "precursors-legs": leg_table(verdicts),
    }
    timing: dict[str, list[pd.DataFrame]] = {"rates": [], "ranks": [], "layers": []}
    for model, verdict in by_model.items():
        if verdict.finding:
            tested, asked = verdict.power.chosen.runs, Question(verdict.measure, position, continuous)
            found = families(geometry, tested, asked)
            timing["rates"].append(precursor_rates(found, seed).assign(model=model, measure=verdict.measure))
            timing["ranks"].append(task_ranks(found).assign(model=model, measure=verdict.measure))
            scan = layer_scan(_of(geometry, model), tested, asked, seed)
            timing["layers"].append(layer_table(scan).assign(model=model, measure=verdict.measure))
    return tables | {f"precursors-{name}": _joined(frames) for name, frames in timing.items() if frames}


def calibration_tables(
    runs: Sequence[str | Path] = (),
    draws: int = 200,
    seed: int = 0,
    folder: str | Path | None = None,
    notify: Callable[[str], object] = str,
) -> Tables:
    """`calibrate`: rates of every test in made-up worlds; `-words`: of verdicts in studies; `-rules`: of claims."""
    from pythia_geometry.analysis.calibration.operating import calibrate_rules
    from pythia_geometry.analysis.calibration.rates import calibrate

    designs, words = _studies(runs, {"draws": draws, "seed": seed, "folder": folder, "notify": notify})
    return {
        "calibrate": calibrate(designs, draws=draws, seed=seed, folder=folder, notify=notify),
        "calibrate-words": words,
        "calibrate-rules": calibrate_rules(draws, seed, folder, notify),
    }


def _read(runs: Sequence[str | Path], behaviour: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Geometry and behaviour; of tasks of lm-eval the behaviour that others scored, where it is asked for."""
    from pythia_geometry.analysis.lm_eval.borrowed import borrow
    from pythia_geometry.commands.against import their_results
    from pythia_geometry.report.lm_eval_results import benchmarks_of
    from pythia_geometry.store.run_folder import RunFolder

    geometry, curves = read_tables(runs)
    if not behaviour:
        return geometry, curves
    facts = {name: found for run in runs if Path(run).is_dir() for name, found in benchmarks_of(RunFolder(run)).items()}
    models = sorted(set(curves["model"].astype(str))) if len(curves) else []
    return geometry, borrow(curves, facts, their_results(behaviour, models))


def _studies(runs: Sequence[str | Path], how: dict[str, Any]) -> tuple[Mapping[str, Design] | None, pd.DataFrame]:
    """Designs (None: the grids of Pythia) and rates of words; of one's own runs on their real curves too."""
    from pythia_geometry.analysis.calibration import words
    from pythia_geometry.analysis.calibration.rates import run_designs
    from pythia_geometry.analysis.precursor.screening import screen_models

    if not runs:
        power = words.calibrate_words(words.POWER_DESIGNS, words.POWER_WORLDS, **how)
        return None, _joined([words.calibrate_words(**how), power])
    screenings = screen_models(read_tables(runs)[1])
    designs = run_designs(screenings)
    real = [run for one in screenings for run in words.real_runs(one)]
    return designs, _joined([words.calibrate_words(designs, **how), words.calibrate_real(real, **how)])


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)


def _of(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    return rows[rows["model"] == model] if model else rows

"""What the walked runs say: power, precursors, claims, and the table beside the lab's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from pythia_geometry.analysis.claims.replication import side_by_side
from pythia_geometry.commands.answers import Tables, power_tables, precursor_tables
from pythia_geometry.commands.comparison import LAB, OURS, compare_tables, read_paths, write_pages
from pythia_geometry.commands.kept import deliver
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.report.page.inputs import read_sources
from pythia_geometry.report.page.page import page
from pythia_geometry.screens.claims import show_claims
from pythia_geometry.screens.precursors import show_power, show_precursors
from pythia_geometry.screens.replication import show_answer
from pythia_geometry.store.results import read_result
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.writing import disk_errors, replacing

OF_POWER: dict[str, Any] = {"continuous": "log_prob", "draws": 100, "seed": 0, "tasks": "hardest"}
OF_PRECURSORS: dict[str, Any] = {"measure": "", "position": "last", **OF_POWER}
OF_CLAIMS: dict[str, Any] = {"reference": LAB, "position": "last"}
ANSWER = "replicate"


_QUESTIONS: tuple[
    tuple[str, Callable[..., Tables], dict[str, Any], Callable[[Mapping[str, pd.DataFrame]], None]], ...
] = (("power", power_tables, OF_POWER, show_power), ("precursors", precursor_tables, OF_PRECURSORS, show_precursors))
"""Command, what it computes, its settings, what shows it."""


def judge(console: Console, folders: Sequence[Path], out: Path) -> bool:
    """Asks every question of the runs that hold anything; keeps and shows the answers, and writes the page.

    Args:
        console: Where to.
        folders: Run folders.
        out: The replication's folder.

    Returns:
        Whether a question could not be asked of a run.
    """
    runs = [folder for folder in folders if _holds_rows(folder)]
    lacking = [f"{folder.name}: no step of it could be walked" for folder in folders if folder not in runs]
    if not runs:
        raise PythiaGeometryError("Nothing was measured, so there is nothing to judge. Choose other --steps or --sizes")
    kept: list[str] = []
    for name, compute, settings, show in _QUESTIONS:
        able, refused = _able(runs, partial(compute, **settings))
        lacking += [f"{name} of {run.name}: {why}" for run, why in refused.items()]
        if able:
            tables = compute(able, **settings)
            deliver(tables, settings, able, out, show)
            kept += list(tables)
    kept += _claims(console, runs, out)
    for why in lacking:
        console.print(f"left out: {why}", style="yellow", highlight=False, markup=False)
    console.print(f"written  {_page(runs, kept, out)} (open it in a browser)", highlight=False, markup=False)
    return bool(lacking)


def _holds_rows(folder: Path) -> bool:
    tables = RunFolder(folder).tables()
    return not tables.geometry.empty and not tables.behaviour.empty


def _able(runs: Sequence[Path], compute: Callable[[Sequence[Path]], object]) -> tuple[list[Path], dict[Path, str]]:
    """The runs that can be judged together, and of the others why they cannot."""
    try:
        compute(runs)
        return list(runs), {}
    except PythiaGeometryError:
        refused: dict[Path, str] = {}
        for run in runs:
            try:
                compute([run])
            except PythiaGeometryError as error:
                refused[run] = str(error)
        return [run for run in runs if run not in refused], refused


def _claims(console: Console, runs: Sequence[Path], out: Path) -> list[str]:
    """The claims on the lab and on the runs, and the table that sets the two side by side."""
    tables, traced = compare_tables(runs)
    evidence = [name for name in dict.fromkeys(tables["claims"]["evidence"]) if name not in OURS]
    pages = out / "claims"
    write_pages(pages, tables, traced)
    answer = side_by_side(tables["claims"], tables["claims-replication"], LAB, evidence[0])

    def show(all_tables: Mapping[str, pd.DataFrame]) -> None:
        show_claims(all_tables, pages, console)
        show_answer(console, answer)

    names = [str(run) for run in runs]
    deliver({**tables, ANSWER: answer}, OF_CLAIMS, read_paths(names, LAB), out, show)
    return [*tables, ANSWER]


def _page(runs: Sequence[Path], kept: Sequence[str], out: Path) -> Path:
    """The report of all runs, with what was found of them together."""
    first, *others = read_sources(runs)
    found = {name: read_result(out, name) for name in kept}
    content = page([replace(first, results={**first.results, **found}), *others])
    with disk_errors(out), replacing(out / "report.html") as temporary:
        temporary.write_text(content, encoding="utf-8")
    return out / "report.html"

"""What a page or a plot is drawn from: the tables of run folders, and the results kept in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.report.points import points
from pythia_geometry.store.results import RESULTS, Result, read_result
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import Tables
from pythia_geometry.suites.checkpoint import run_name
from pythia_geometry.typed_path import typed_path

_SUMMARY = ("model", "seed", "probe", "task", "start", "floor", "floor_step", "rose")


@dataclass(frozen=True, eq=False)
class Source:
    """One run folder, read.

    Attributes:
        path: The folder.
        label: Comes before its runs' names where another folder holds the same run.
        tables: Its tables.
        results: What commands found and kept there, by name.
        refused: Results that are there but cannot be shown, each with why.
        manifest: Versions, precision, probes.
    """

    path: Path
    label: str
    tables: Tables
    results: dict[str, Result] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def points(self) -> pd.DataFrame:
        """Every number of it (`points.points`)."""
        return points(self.tables.geometry, self.tables.behaviour, self.label)


def read_sources(runs: Sequence[str | Path]) -> list[Source]:
    """Reads run folders with the results kept in them.

    Raises:
        PythiaGeometryError: If there is no run at one of the paths, or nothing has been measured there.
    """
    paths = list(dict.fromkeys(typed_path(run) for run in runs))
    read = [(path, _tables(path)) for path in paths]
    held = [_runs(tables) for _, tables in read]
    sources = []
    for i, (path, tables) in enumerate(read):
        again = any(held[i] & other for j, other in enumerate(held) if j != i)
        results, refused = _results(path)
        label = f"{path.resolve().name}: " if again else ""
        sources.append(Source(path, label, tables, results, refused, RunFolder(path).manifest()))
    return sources


def all_points(sources: Sequence[Source]) -> pd.DataFrame:
    """The numbers of all runs in one frame."""
    return pd.concat([source.points for source in sources], ignore_index=True)


def frames(sources: Sequence[Source], name: str) -> pd.DataFrame:
    """The rows of one result of all runs; empty where none keeps it."""
    found = [s.results[name].frame for s in sources if name in s.results]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def summaries(sources: Sequence[Source]) -> pd.DataFrame:
    """`summary.csv` of all runs."""
    return pd.concat([summary_of(source) for source in sources], ignore_index=True)


def summary_of(source: Source) -> pd.DataFrame:
    """`summary.csv` of one run folder; without rows where there is none, or none that can be read."""
    words = {"model": str, "probe": str, "task": str, "rose": str}
    numbers = ("start", "floor", "floor_step", "recovered", "recovery_step", "accuracy")
    try:
        read = pd.read_csv(
            source.path / "summary.csv", dtype=words, keep_default_na=False, na_values=dict.fromkeys(numbers, "")
        )
    except (OSError, ValueError):  # not there, cut, or other bytes: the walk's command writes it again
        read = pd.DataFrame()
    return read if set(_SUMMARY) <= set(read) else pd.DataFrame(columns=list(_SUMMARY))


def _runs(tables: Tables) -> set[str]:
    pairs = pd.concat([t[["model", "seed"]].drop_duplicates() for t in (tables.geometry, tables.behaviour)])
    return {run_name(str(model), int(seed)) for model, seed in pairs.itertuples(index=False)}


def _tables(path: Path) -> Tables:
    folder = RunFolder(path)
    if not path.is_dir() or not folder.is_begun:
        raise PythiaGeometryError(f"{path} is no run folder. Walk one first: pythia-geom --out {path} --model …")
    tables = folder.tables()
    if tables.geometry.empty and tables.behaviour.empty:
        raise PythiaGeometryError(f"Nothing has been measured in {path} yet. Type the walk's command again")
    return tables


def _results(path: Path) -> tuple[dict[str, Result], tuple[str, ...]]:
    results, refused = {}, []
    for file in sorted((path / RESULTS).glob("*.parquet")):
        try:
            results[file.stem] = read_result(path, file.stem)
        except PythiaGeometryError as error:
            refused.append(str(error))
    return results, tuple(refused)

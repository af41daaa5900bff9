"""The lab's reference results that ship: tables of runs trained by `scripts/lab_reference.py`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.shipped import data_folder

# The same in every row of every run, and so left out of the files.
CONSTANT: dict[str, Any] = {"suite": "lab", "probe": "algorithmic", "n": 128}
RANKS = ("rankme", "rankme_centred", "rankme_rownorm")
SHUFFLED = ":shuffled"  # where a run was walked with its token-shuffled prompts too, `task` ends so
OF_GEOMETRY: dict[str, Any] = {**CONSTANT, "position": "last", "precision": "float32"}


@dataclass(frozen=True, eq=False)
class Reference:
    """Tables of the runs, and what made each.

    Attributes:
        geometry: RankMe in three conventions, every layer, task-level and checkpoint, as in a run folder.
        behaviour: Accuracy, exact match and log-probability.
        made: By run, the command, commit, machine, training settings and CPU time that made it.
    """

    geometry: pd.DataFrame
    behaviour: pd.DataFrame
    made: dict[str, dict[str, Any]]


def read_reference(folder: str | Path | None = None) -> Reference:
    """Reads every run of a folder of reference tables; `data/reference` where None.

    Raises:
        PythiaGeometryError: If there is none, or a table of a run is missing.
    """
    folder = data_folder() / "reference" if folder is None else Path(folder)
    made = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    if not made:
        raise PythiaGeometryError(f"{folder} holds no reference runs. Make one: python scripts/lab_reference.py --list")
    tables = {}
    for kind in ("geometry", "behaviour"):
        files = [folder / f"{name}.{kind}.parquet" for name in made]
        if missing := [file for file in files if not file.exists()]:
            raise PythiaGeometryError(f"{missing[0]} is missing: its run is recorded in {folder}")
        tables[kind] = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    geometry = pd.concat([_whole(tables["geometry"], OF_GEOMETRY), *_of_surfaces(folder)], ignore_index=True)
    return Reference(geometry, _whole(tables["behaviour"], CONSTANT), made)


def _of_surfaces(folder: Path) -> list[pd.DataFrame]:
    """Rows of loss surfaces and of decoding of the same runs (`scripts/landscape_reference.py`); none where none is."""
    files = sorted((folder / "landscape").glob("*.geometry.parquet"))
    tables = [pd.read_parquet(file) for file in files]
    return [table[~table["measure"].isin(RANKS)] for table in tables]


def _whole(table: pd.DataFrame, constant: dict[str, Any]) -> pd.DataFrame:
    """With the constant columns; the ending of a token-shuffled companion goes from `task` to `probe`, as in a walk."""
    is_shuffled = table["task"].str.endswith(SHUFFLED)
    whole = table.assign(**constant, task=table["task"].str.removesuffix(SHUFFLED))
    return whole.assign(probe=whole["probe"].mask(is_shuffled, whole["probe"] + SHUFFLED))

"""The lab's reference results that ship: tables of runs trained by `scripts/lab_reference.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.shipped import data_folder

# The same in every row of every run, and so left out of the files.
CONSTANT: dict[str, Any] = {"suite": "lab", "probe": "algorithmic", "n": 128}
DEEPER = ("oct", "dozen")  # nano's width: depth grows alone
SHUFFLED = ":shuffled"  # where a run was walked with its token-shuffled prompts too, `task` ends so
OF_GEOMETRY: dict[str, Any] = {**CONSTANT, "position": "last", "precision": "float32"}


@dataclass(frozen=True, eq=False)
class Reference:
    """Tables of the runs, and what made each.

    Attributes:
        geometry: RankMe in three conventions, every layer, task-level and checkpoint, as in a run folder.
        behaviour: Accuracy, exact match and log-probability.
        made: By run, the command, commit, machine, training settings and CPU time that made it.
        surfaces: Runs whose loss surface and decoding were measured (`scripts/landscape_reference.py`), with their own
            behaviour: they may be other trainings of the same seeds, whose weights differ. None where none is there.
    """

    geometry: pd.DataFrame
    behaviour: pd.DataFrame
    made: dict[str, dict[str, Any]]
    surfaces: Reference | None = None

    def own(self) -> Reference:
        """Without the token-shuffled prompts, which some runs were walked with too."""
        geometry, behaviour = (t[~t["probe"].str.endswith(SHUFFLED)] for t in (self.geometry, self.behaviour))
        return replace(self, geometry=geometry, behaviour=behaviour)

    def of(self, models: Sequence[str]) -> Reference:
        """The rows of some models, of surfaces too."""
        geometry, behaviour = (t[t["model"].isin(models)] for t in (self.geometry, self.behaviour))
        made = {name: made for name, made in self.made.items() if made.get("model") in models}
        surfaces = self.surfaces and self.surfaces.of(models)
        if surfaces is not None and surfaces.geometry.empty:
            surfaces = None
        return replace(self, geometry=geometry, behaviour=behaviour, made=made, surfaces=surfaces)


def is_planted(training: Mapping[str, Any]) -> bool:
    """Whether geometry or behaviour was moved by us, by the settings that a run's record names."""
    return training.get("plant_lead") is not None or bool(training.get("plant_bend"))


def read_reference(folder: str | Path | None = None) -> Reference:
    """Reads every run of a folder of reference tables; `data/reference` where None.

    Raises:
        PythiaGeometryError: If there is none, or a table of a run is missing.
    """
    folder = data_folder() / "reference" if folder is None else Path(folder)
    made = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    if not made:
        raise PythiaGeometryError(f"{folder} holds no reference runs. Make one: python scripts/lab_reference.py --list")
    tables = _tables(folder, list(made))
    geometry, behaviour = _whole(tables["geometry"], OF_GEOMETRY), _whole(tables["behaviour"], CONSTANT)
    return Reference(geometry, behaviour, made, _surfaces(folder / "landscape"))


def grows_whole(model: str) -> bool:
    """Whether it is of the GPT-2 models that grow in width and depth: what a slope over sizes is of."""
    return model.endswith("-gpt2") and model.partition("-")[0] not in DEEPER


def _surfaces(folder: Path) -> Reference | None:
    made = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    if not made:
        return None
    tables = _tables(folder, list(made))
    return Reference(tables["geometry"], tables["behaviour"], made)


def _tables(folder: Path, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The tables of all runs, by kind."""
    found = {}
    for kind in ("geometry", "behaviour"):
        files = [folder / f"{name}.{kind}.parquet" for name in names]
        if missing := [file for file in files if not file.exists()]:
            raise PythiaGeometryError(f"{missing[0]} is missing: its run is recorded in {folder}")
        found[kind] = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    return found


def _whole(table: pd.DataFrame, constant: dict[str, Any]) -> pd.DataFrame:
    """With the constant columns; the ending of a token-shuffled companion goes from `task` to `probe`, as in a walk."""
    is_shuffled = table["task"].str.endswith(SHUFFLED)
    whole = table.assign(**constant, task=table["task"].str.removesuffix(SHUFFLED))
    return whole.assign(probe=whole["probe"].mask(is_shuffled, whole["probe"] + SHUFFLED))

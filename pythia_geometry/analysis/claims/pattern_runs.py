"""Tables of the patterns lab (`data/reference/patterns`): when runs emerge, and the two onsets of every output.

Made by `scripts/patterns_reference.py`; what decides is in docs/decisions/0015-patterns-lab.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pythia_geometry.analysis.curves.probability import PROBABILITY
from pythia_geometry.analysis.events.coincidence import Coincidence, coincidence
from pythia_geometry.analysis.events.paired_onsets import MODEL_SITE, paired_onsets
from pythia_geometry.analysis.events.rules import SUSTAINED
from pythia_geometry.shipped import data_folder

EMERGED = 0.9  # accuracy over all outputs, the reproduction's
TARGET_MASS = "target_mass"
FORMS = ("leaking", "masked")
BASE_SPARSITY = 3


def emergence(readings: pd.DataFrame, budget: int) -> pd.DataFrame:
    """When each run emerged: the first examination from which accuracy is .9 or more at four fifths of all that follow.

    How it misleads: a run that was stopped once it was solved has few examinations after it; ten by the lab's rule.

    Args:
        readings: seed, output, step, accuracy.
        budget: Steps that a run would have been given.

    Returns:
        One row a run: seed, after, by (steps; NaN where it did not emerge), last (`by`'s bound: the budget).
    """
    mean = readings.groupby(["seed", "step"], sort=True)["accuracy"].mean()
    rows = []
    for seed, curve in mean.groupby(level="seed"):
        step, first = curve.index.get_level_values("step").to_numpy(), first_sustained(curve.to_numpy() >= EMERGED)
        after = float(step[first - 1]) if first else np.nan
        rows.append([seed, after, np.nan if first is None else float(step[first]), float(budget)])
    return pd.DataFrame(rows, columns=["seed", "after", "by", "last"])


def first_sustained(above: NDArray[np.bool_]) -> int | None:
    """The first examination that is above, and from which four fifths of all are; None where there is none.

    Args:
        above: Whether each examination is above the line, in the order of steps.
    """
    held = np.cumsum(above[::-1])[::-1] / np.arange(len(above), 0, -1)
    found = np.flatnonzero(above & (held >= SUSTAINED))
    return int(found[0]) if len(found) else None


def read_runs(folder: Path | None = None) -> pd.DataFrame:
    """One row a run of every arm that is there, with its settings and its folder, from the arms' records."""
    tables = []
    for file in sorted((folder or shipped()).glob("*.json")):
        record = json.loads(file.read_text())
        settings = {key: value for key, value in record["training"].items() if key not in ("seed", "steps")}
        arm = {key: record[key] for key in ("kind", "given", "layers", "head_width")}
        runs = pd.DataFrame(record["runs"]).astype({"after": float, "by": float, "last": float})
        tables.append(runs.assign(**settings | arm, arm=file.stem, folder=str(file.parent)))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def shipped() -> Path:
    """Folder of the tables that ship."""
    return data_folder() / "reference" / "patterns"


def output_units(readings: pd.DataFrame) -> pd.DataFrame:
    """The two onsets of every output of every run, as `coincidence` reads them.

    Args:
        readings: seed, output, step, probability, error, mass, mass_error of one arm.
    """
    shared = readings[["seed", "step"]].assign(model="lab", task=readings["output"].map("{:02d}".format))
    numbers = readings[["mass", "mass_error", "probability", "error"]].astype(float)
    geometry = shared.assign(measure=TARGET_MASS, layer=MODEL_SITE, head=np.nan)
    geometry = geometry.assign(value=numbers["mass"], error=numbers["mass_error"])
    behaviour = shared.assign(metric=PROBABILITY, value=numbers["probability"], error=numbers["error"])
    return paired_onsets(geometry, behaviour, PROBABILITY)


def related_outputs(parents: Sequence[Sequence[int]], shared: int) -> frozenset[frozenset[str]]:
    """Pairs of outputs with so many parents in common, by the cells of `output_units`."""
    n = len(parents)
    return frozenset(
        frozenset((f"lab {i:02d}", f"lab {j:02d}"))
        for i in range(n)
        for j in range(i)
        if len(set(parents[i]) & set(parents[j])) >= shared
    )


def base_arm(name: str, folder: Path | None = None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Readings of a base arm, and what made them."""
    where = folder or shipped()
    facts: dict[str, Any] = json.loads((where / f"{name}.json").read_text())
    return pd.read_parquet(where / f"{name}.parquet"), facts


def base_arms(folder: Path | None = None) -> list[str]:
    """Base arms of the linear map, the smaller size first: those whose record is there, which is written last."""
    where = folder or shipped()
    names = [file.stem for file in where.glob("linear-map-*.parquet") if (where / f"{file.stem}.json").exists()]
    return sorted(names, key=lambda name: ([int(n) for n in name.split("-")[2:4]], name))


def base_arms_in_both_forms(folder: Path) -> dict[str, str]:
    """The base arms of the largest size that is there in both forms, by form; empty where none is."""
    there = set(base_arms(folder))
    for size in sorted({int(name.split("-")[2]) for name in there}, reverse=True):
        arms = {form: f"linear-map-{size}-{BASE_SPARSITY}-{form}" for form in FORMS}
        if there.issuperset(arms.values()):
            return arms
    return {}


def of_base(name: str, folder: Path | None = None) -> Coincidence:
    """S2 on a base arm: do an output's pattern and its behaviour appear together?"""
    readings, facts = base_arm(name, folder)
    shared = 2 if facts["training"]["size"] <= 8 else 1
    return coincidence(output_units(readings), related_outputs(facts["parents"], shared))

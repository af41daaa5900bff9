"""One `pythia-geom compare`: the claims, judged on the user's runs and on the lab's reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.lab_reference import read_reference
from pythia_geometry.analysis.claims.table import judge_claims
from pythia_geometry.analysis.precursor.tidy_tables import read_tables
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.model import GPT2, SCALES, count_parameters
from pythia_geometry.lab.probes import ALGORITHMIC
from pythia_geometry.lab.tasks import default_levels
from pythia_geometry.screens.claims import as_markdown
from pythia_geometry.shipped import data_folder
from pythia_geometry.store.writing import disk_errors

LAB, NONE = "lab", "none"
# Levels of one task share their timing, so a permutation must not swap them: one level of each, the paper's hard tasks.
HARDEST = frozenset(level.name for level in default_levels() if level.level == level.task.n_default)


def compare_tables(
    runs: Sequence[str | Path], reference: str = LAB, position: str = "last"
) -> tuple[dict[str, pd.DataFrame], Mapping[tuple[str, str], pd.DataFrame]]:
    """Judges every claim on each run and on the reference.

    Args:
        runs: Run folders.
        reference: lab (the results that ship) or none.
        position: Where activations were read.

    Returns:
        The tables by name, `claims` alone; and the rows behind each verdict by (claim, evidence).

    Raises:
        PythiaGeometryError: If a run cannot be read or there is nothing to compare.
    """
    if reference not in (LAB, NONE):
        raise PythiaGeometryError(f"--reference {reference}: expected {LAB} or {NONE}")
    evidence = [lab_evidence()] if reference == LAB else []
    evidence += [run_evidence(run, position) for run in runs]
    if not evidence:
        raise PythiaGeometryError("Nothing to compare. Name run folders, or leave out --reference none")
    table, traced = judge_claims(evidence)
    return {"claims": table}, traced


def read_paths(runs: Sequence[str], reference: str) -> list[str | Path]:
    """What a comparison reads: run folders and the reference's tables."""
    shipped: list[Path] = sorted((data_folder() / "reference").glob("*.parquet")) if reference == LAB else []
    return [*runs, *shipped]


def write_pages(
    folder: Path, tables: Mapping[str, pd.DataFrame], traced: Mapping[tuple[str, str], pd.DataFrame]
) -> None:
    """Writes the table as a page and as CSV, and the rows behind each verdict.

    Raises:
        MachineError: If the folder cannot be written.
    """
    with disk_errors(folder):
        (folder / "rows").mkdir(parents=True, exist_ok=True)
        tables["claims"].to_csv(folder / "claims.csv", index=False)
        (folder / "claims.md").write_text(as_markdown(tables["claims"]), encoding="utf-8")
        for (claim, name), rows in traced.items():
            rows.to_csv(folder / "rows" / f"{claim}-{name}.csv", index=False)


def lab_evidence() -> Evidence:
    """The shipped reference. Sizes are those of GPT-2 models: a slope over sizes must not mix architectures."""
    reference = read_reference()
    models = [model for model in reference.geometry["model"].unique() if model.endswith(GPT2)]
    sizes = {model: count_parameters(SCALES[model.partition("-")[0]]) for model in models}
    return Evidence(LAB, reference.geometry, reference.behaviour, sizes, exchangeable=HARDEST)


def run_evidence(run: str | Path, position: str = "last") -> Evidence:
    """One run folder of the user's."""
    geometry, behaviour = read_tables([run])
    for frame, what in ((geometry, "geometry"), (behaviour, "behaviour")):
        if frame.empty:
            raise PythiaGeometryError(f"{run} holds no {what}. Walk it first: pythia-geom --out {run} --model …")
    is_pythia = "suite" in geometry and geometry["suite"].astype(str).str.startswith("pythia").any()
    is_lab = "probe" in geometry and set(geometry["probe"]) <= {ALGORITHMIC, f"{ALGORITHMIC}:shuffled"}
    tested = HARDEST if is_lab else frozenset()
    name = Path(run).resolve().name
    return Evidence(name, geometry, behaviour, is_pythia=bool(is_pythia), exchangeable=tested, position=position)

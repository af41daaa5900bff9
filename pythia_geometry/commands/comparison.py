"""One `pythia-geom compare`: the claims, judged on the user's runs and on the lab's reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pythia_geometry.analysis.claims.lab_reference import read_reference
from pythia_geometry.analysis.claims.rules import Evidence
from pythia_geometry.analysis.claims.table import judge_claims
from pythia_geometry.analysis.precursor.tidy_tables import read_tables
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.model import GPT2, SCALES, count_parameters
from pythia_geometry.lab.probes import ALGORITHMIC
from pythia_geometry.lab.tasks import default_levels
from pythia_geometry.screens.claims import as_markdown, show_claims
from pythia_geometry.screens.console import open_console
from pythia_geometry.store.writing import disk_errors

LAB, NONE = "lab", "none"
# Levels of one task share their timing, so a permutation must not swap them: one level of each, the paper's hard tasks.
HARDEST = frozenset(level.name for level in default_levels() if level.level == level.task.n_default)


def compare(runs: Sequence[str], reference: str, out: str) -> None:
    """Judges every claim on each run and on the reference, prints the table and writes it with its rows.

    Raises:
        PythiaGeometryError: If a run cannot be read or there is nothing to compare.
        MachineError: If `out` cannot be written.
    """
    if reference not in (LAB, NONE):
        raise PythiaGeometryError(f"--reference {reference}: expected {LAB} or {NONE}")
    evidence = [lab_evidence()] if reference == LAB else []
    evidence += [run_evidence(run) for run in runs]
    if not evidence:
        raise PythiaGeometryError("Nothing to compare. Name run folders, or leave out --reference none")
    console = open_console()
    with console.status("judging"):
        table, traced = judge_claims(evidence)
    show_claims(console, table)
    folder = Path(out)
    with disk_errors(folder):
        (folder / "rows").mkdir(parents=True, exist_ok=True)
        table.to_csv(folder / "claims.csv", index=False)
        (folder / "claims.md").write_text(as_markdown(table), encoding="utf-8")
        for (claim, name), rows in traced.items():
            rows.to_csv(folder / "rows" / f"{claim}-{name}.csv", index=False)
    console.print(
        f"table {folder}/claims.csv and .md; the rows behind each verdict: {folder}/rows/CLAIM-EVIDENCE.csv",
        highlight=False, markup=False,
    )  # fmt: skip


def lab_evidence() -> Evidence:
    """The shipped reference. Sizes are those of GPT-2 models: a slope over sizes must not mix architectures."""
    reference = read_reference()
    models = [model for model in reference.geometry["model"].unique() if model.endswith(GPT2)]
    sizes = {model: count_parameters(SCALES[model.partition("-")[0]]) for model in models}
    return Evidence(LAB, reference.geometry, reference.behaviour, sizes, exchangeable=HARDEST)


def run_evidence(run: str) -> Evidence:
    """One run folder of the user's."""
    geometry, behaviour = read_tables([run])
    for frame, what in ((geometry, "geometry"), (behaviour, "behaviour")):
        if frame.empty:
            raise PythiaGeometryError(f"{run} holds no {what}. Walk it first: pythia-geom --out {run} --model …")
    is_pythia = "suite" in geometry and geometry["suite"].astype(str).str.startswith("pythia").any()
    is_lab = "probe" in geometry and set(geometry["probe"]) <= {ALGORITHMIC, f"{ALGORITHMIC}:shuffled"}
    tested = HARDEST if is_lab else frozenset()
    return Evidence(Path(run).resolve().name, geometry, behaviour, is_pythia=bool(is_pythia), exchangeable=tested)

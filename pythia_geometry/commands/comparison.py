"""One `pythia-geom compare`: the claims, judged on the user's runs and on the lab's reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.lab_reference import Reference, grows_whole, is_planted, read_reference
from pythia_geometry.analysis.claims.pattern_runs import read_runs
from pythia_geometry.analysis.claims.replication import replication
from pythia_geometry.analysis.claims.table import judge_claims
from pythia_geometry.analysis.curves.probability import probability
from pythia_geometry.analysis.precursor.tidy_tables import read_tables
from pythia_geometry.analysis.tables.copies import refuse_copies
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.model import GPT2, SCALES, count_parameters
from pythia_geometry.screens.claims import as_markdown
from pythia_geometry.shipped import data_folder
from pythia_geometry.store.writing import disk_errors
from pythia_geometry.suites.checkpoint import run_name
from pythia_geometry.suites.pythia import Size, parse_name

LAB, NONE = "lab", "none"
LAB_DESIGNED, LAB_TRANSIENT = "lab-designed", "lab-transient"
OURS = (LAB, LAB_DESIGNED, LAB_TRANSIENT)
"""Evidence that ships: the usual runs; those made to be asked about timing; the first 60 steps of every size."""
STAGGERED, TRANSIENT = "staggered", "transient"


def compare_tables(
    runs: Sequence[str | Path], reference: str = LAB, position: str = "last"
) -> tuple[dict[str, pd.DataFrame], Mapping[tuple[str, str], pd.DataFrame]]:
    """Judges every claim on each run and on the reference.

    Args:
        runs: Run folders.
        reference: lab (the results that ship) or none.
        position: Where activations were read.

    Returns:
        The tables by name (`claims`, and `claims-replication` where there are runs beside the lab), and the rows behind
        each verdict by (claim, evidence).

    Raises:
        PythiaGeometryError: If a run cannot be read or there is nothing to compare.
    """
    if reference not in (LAB, NONE):
        raise PythiaGeometryError(f"--reference {reference}: expected {LAB} or {NONE}")
    evidence = [lab_evidence(), *designed_evidence(), *transient_evidence()] if reference == LAB else []
    mine = run_evidence(runs, position)
    evidence += mine
    if not evidence:
        raise PythiaGeometryError("Nothing to compare. Name run folders, or leave out --reference none")
    judged = judge_claims(evidence)
    tables = {"claims": judged.table}
    if reference == LAB and mine:
        tables["claims-replication"] = replication(judged.effects, LAB, [one.name for one in mine])
    return tables, judged.rows


def read_paths(runs: Sequence[str], reference: str) -> list[str | Path]:
    """What a comparison reads: run folders and the reference's tables."""
    shelves = (".", "landscape", STAGGERED, f"{STAGGERED}/landscape", TRANSIENT)
    tables = (*(f"{shelf}/*.parquet" for shelf in shelves), "patterns/*.json")
    shipped = [file for kind in tables for file in sorted((data_folder() / "reference").glob(kind))]
    shipped = shipped if reference == LAB else []
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


def rows_table(traced: Mapping[tuple[str, str], pd.DataFrame]) -> pd.DataFrame:
    """The rows behind all verdicts in one table, by claim and evidence; what a claim has no column for is missing."""
    frames = [rows.assign(claim=claim, evidence=name) for (claim, name), rows in traced.items() if len(rows)]
    if not frames:
        return pd.DataFrame(columns=["claim", "evidence"])
    whole = pd.concat([frame.astype(object) for frame in frames], ignore_index=True).infer_objects()
    for name in whole.columns[[pd.api.types.is_object_dtype(kind) for kind in whole.dtypes]]:
        whole[name] = whole[name].map(_said)
    return whole[["claim", "evidence", *(name for name in whole if name not in ("claim", "evidence"))]]


def _said(value: object) -> str | None:
    """A cell of a column that mixes kinds."""
    return None if value is None or value is pd.NA or value != value else str(value)


def lab_evidence() -> Evidence:
    """The shipped reference. Sizes are those of GPT-2 models: a slope over sizes must not mix architectures."""
    reference = read_reference()
    sizes = sizes_of(reference.geometry)
    return Evidence(
        LAB, reference.geometry, reference.behaviour, sizes, patterns=read_runs(), surfaces=_surfaces(LAB, reference)
    )


def designed_evidence() -> list[Evidence]:
    """Lab runs made to be asked about timing, in which nothing is planted; none where none ship.

    Where each level's loss opened at a random step of its own a level is exchangeable by itself: a family of its own.
    What we decide is not asked: when tasks emerge (C7 to C9), and whether a fall is over before behaviour comes (C1).
    """
    folder = data_folder() / "reference" / STAGGERED
    if not list(folder.glob("*.json")):
        return []
    reference = read_reference(folder)
    trained = {made["model"]: made["training"] for made in reference.made.values()}
    natural = [model for model, training in trained.items() if not is_planted(training)]
    reference = reference.of(natural)
    geometry, behaviour = reference.geometry, reference.behaviour
    released = behaviour["model"].map(lambda model: trained[model]["release"] == STAGGERED)
    behaviour = behaviour.assign(family=behaviour["task"].where(released))
    surfaces = _surfaces(LAB_DESIGNED, reference)
    claims = ("C3", "C4", *(("C5", "C6", "C12") if surfaces else ()))
    return [Evidence(LAB_DESIGNED, geometry, behaviour, surfaces=surfaces, claims=claims)] if natural else []


def transient_evidence() -> list[Evidence]:
    """The first 60 steps of every model at its own peak rate: for layers, and for sizes of those that grow whole."""
    folder = data_folder() / "reference" / TRANSIENT
    if not list(folder.glob("*.json")):
        return []
    reference = read_reference(folder)
    rates = {made["model"]: made["training"]["peak_rate"] for made in reference.made.values()}
    reference = reference.of([model for model, rate in rates.items() if rate is None])
    sizes = {model: size for model, size in sizes_of(reference.geometry).items() if grows_whole(model)}
    return [Evidence(LAB_TRANSIENT, reference.geometry, reference.behaviour, sizes, claims=("C2", "C3"))]


def _surfaces(name: str, reference: Reference) -> Evidence | None:
    measured = reference.surfaces
    return Evidence(name, measured.geometry, measured.behaviour) if measured else None


def run_evidence(runs: Sequence[str | Path], position: str = "last") -> list[Evidence]:
    """The user's run folders: all Pythia runs together, since claims compare sizes, and seeds of one model together.

    A folder that holds a run which another holds too, such as a repeated walk, stands on its own.
    """
    read = [_read(run) for run in runs]
    bodies: list[list[_Run]] = []
    for one in (run for run in read if not run.is_pythia):
        seeds_of = next((body for body in bodies if all(one.is_seed_beside(other) for other in body)), None)
        bodies.append([one]) if seeds_of is None else seeds_of.append(one)
    if pythia := [run for run in read if run.is_pythia]:
        bodies.append(pythia)
    names = _apart(["pythia" if len(body) > 1 and body[0].is_pythia else _named(body) for body in bodies])
    return [_joined(body, name, position) for body, name in zip(bodies, names, strict=True)]


def _named(body: Sequence[_Run]) -> str:
    return "+".join(one.name for one in body)


def _apart(names: Sequence[str]) -> list[str]:
    """Names of which none is another's or the lab's: folders of one name get a number."""
    found: list[str] = []
    for name in names:
        taken = {*OURS, *found}
        number = next(n for n in range(1, len(names) + 2) if (name if n == 1 else f"{name}-{n}") not in taken)
        found.append(name if number == 1 else f"{name}-{number}")
    return found


@dataclass(frozen=True, eq=False)
class _Run:
    """One run folder's tables."""

    name: str
    geometry: pd.DataFrame
    behaviour: pd.DataFrame

    @property
    def is_pythia(self) -> bool:
        """Whether a walk of Pythia made it."""
        return "suite" in self.geometry and bool(self.geometry["suite"].astype(str).str.startswith("pythia").any())

    @property
    def holds(self) -> set[tuple[str, int]]:
        """Model and seed of each training run."""
        pairs = self.geometry[["model", "seed"]].drop_duplicates()
        return {(str(model), int(seed)) for model, seed in pairs.itertuples(index=False)}

    def is_seed_beside(self, other: _Run) -> bool:
        """Whether both hold the same models, and no run that the other holds."""
        mine, theirs = self.holds, other.holds
        return dict(mine).keys() == dict(theirs).keys() and not mine & theirs


def _read(run: str | Path) -> _Run:
    if Path(run).is_file():
        raise PythiaGeometryError(
            f"{run} is a file: compare reads run folders, which hold geometry and behaviour of the same weights. Name "
            "the folder; pythia-geom precursors reads tables"
        )
    geometry, behaviour = read_tables([run])
    for frame, what in ((geometry, "geometry"), (behaviour, "behaviour")):
        if frame.empty:
            raise PythiaGeometryError(f"{run} holds no {what}. Walk it first: pythia-geom --out {run} --model …")
    if (answers := Path(run) / "answers.parquet").is_file():
        behaviour = pd.concat([behaviour, probability(pd.read_parquet(answers))], ignore_index=True)
    return _Run(Path(run).resolve().name, geometry, behaviour)


def _joined(body: Sequence[_Run], name: str, position: str) -> Evidence:
    geometry, behaviour = (
        pd.concat([getattr(one, kind) for one in body], ignore_index=True) for kind in ("geometry", "behaviour")
    )
    keys = ["step", "probe", "task", "layer", "measure", "position", "settings"]
    for model, rows in geometry.groupby("model"):
        each = rows.sort_values(keys).groupby("seed")
        named = ((run_name(str(model), int(str(seed))), mine["value"].to_numpy(dtype=float)) for seed, mine in each)
        refuse_copies(named, "geometry")
    return Evidence(name, geometry, behaviour, sizes_of(geometry), body[0].is_pythia, position=position)


def sizes_of(geometry: pd.DataFrame) -> dict[str, int]:
    """Parameters of the models whose size is known by name and comparable: Pythia's, or the lab's GPT-2 models."""
    found = {}
    for model in map(str, geometry["model"].unique()):
        run = parse_name(model)
        if run is not None:
            found[model] = _pythia_parameters(run.shape)
        elif model.endswith(GPT2) and model.partition("-")[0] in SCALES:
            found[model] = count_parameters(SCALES[model.partition("-")[0]])
    return found


def _pythia_parameters(shape: Size) -> int:
    """Of a GPT-NeoX model: blocks of 12 d² + 13 d, a last norm, two embeddings."""
    d = shape.width
    return shape.n_layers * (12 * d * d + 13 * d) + 2 * d + 2 * shape.vocab_size * d

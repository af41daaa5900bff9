"""The file `manifest.json`: read, or made again from the records of the checkpoints where it is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pythia_geometry.errors import DamagedError, PythiaGeometryError
from pythia_geometry.store.checkpoint_records import FOLDER as CHECKPOINTS
from pythia_geometry.store.checkpoint_records import scan_checkpoints
from pythia_geometry.store.parts import FOLDER as PARTS
from pythia_geometry.store.parts import scan_parts
from pythia_geometry.store.records import read_record
from pythia_geometry.store.tables import TABLES

FORMAT = 2
"""Of the run folder. Folders of format 1, which have no checksums, are read and continued."""

OLD = 1
MANIFEST, SHARDS = "manifest.json", "shards"
CACHES = ("activations", "passing")
"""Folders of activations: those to be kept, and those that comparisons still need."""

TABLE_FILES = tuple(f"{name}.parquet" for name in (*TABLES, CHECKPOINTS))
PROBES = "probes"
"""Folder of the items of benchmarks, frozen."""

REPORT = "report.html"
"""The page of a run folder."""

OWN = {
    PARTS,
    CHECKPOINTS,
    *CACHES,
    *TABLE_FILES,
    SHARDS,
    PROBES,
    "downloads",
    "figures",
    "results",
    "summary.csv",
    "belief.csv",
    REPORT,
    "damaged",
}
OWN |= {name + ending for name in (MANIFEST, "written.json") for ending in ("", ".copy")}
"""Names at the top of a run folder that a walk has written."""

LITTER = {"Thumbs.db", "desktop.ini", "Icon\r"}
"""What file managers leave anywhere, beside files whose names begin with a dot."""


def read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    """The manifest, and what was found to be wrong with it; empty before the first walk.

    Where neither the file nor its copy is whole, it is made again: runs and weights from the records of the
    checkpoints. What only it knew (versions and settings of earlier walks) is not in it then.

    Raises:
        PythiaGeometryError: If the folder holds something else, or a later version of this package wrote it.
    """
    file = folder / MANIFEST
    if folder.exists() and not folder.is_dir():
        raise PythiaGeometryError(f"{folder} is a file. Pass --out with a new or a run folder")
    names = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    names = {name for name in names if not name.startswith(".") and name not in LITTER}
    if names <= {SHARDS, "damaged"}:
        return {}, ""
    try:
        manifest: dict[str, Any] = read_record(file, _has_format)
    except DamagedError as error:
        return _made_again(folder, names, error), str(error)
    if manifest.get("format") not in (OLD, FORMAT):
        raise PythiaGeometryError(
            f"{folder} was written in format {manifest.get('format')}; this version reads formats {OLD} and {FORMAT}. "
            "Pass another --out"
        )
    return manifest, ""


def _has_format(content: Any) -> bool:
    """Whether this may be a manifest without a checksum: of format 1, or of one that this version does not know."""
    return isinstance(content, dict) and isinstance(content.get("format"), int) and content["format"] != FORMAT


def is_old_manifest(content: Any) -> bool:
    """Whether this is a manifest of format 1."""
    return isinstance(content, dict) and content.get("format") == OLD


def _made_again(folder: Path, names: set[str], error: DamagedError) -> dict[str, Any]:
    """A manifest from the records of the checkpoints.

    Raises:
        PythiaGeometryError: If this was never a run folder.
    """
    records = scan_checkpoints(folder).whole
    has_own_names = names <= (OWN if MANIFEST in names else OWN - {CHECKPOINTS, "figures", "downloads"})
    is_run = records or scan_parts(folder).whole or has_own_names
    if not is_run:
        what = f"its manifest.json is none: {error}" if MANIFEST in names else "it has no manifest.json"
        raise PythiaGeometryError(f"{folder} is not empty and is no run folder ({what}). Pass another --out")
    known = {path.stem: one["row"] for path, one in records.items() if one["row"].get("model")}
    runs = {
        _run_name(row): {"suite": row["suite"], "model": row["model"], "seed": row["seed"]} for row in known.values()
    }
    weights = {
        label: {"commit": row.get("commit") or None, "sha256": row.get("weight_sha256", "")}
        for label, row in known.items()
    }
    return {"format": FORMAT, "runs": runs, "weights": weights, "made_again": str(error)}


def _run_name(row: dict[str, Any]) -> str:
    return f"{row['model']}-seed{row['seed']}" if row["seed"] else str(row["model"])

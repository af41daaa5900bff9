"""Results: what a command found, as a table kept beside what it was computed from.

    runs/pythia-160m/results/
        precursors.parquet     the rows, read back by `read_result`
        precursors.json        settings, hashes of the inputs, the package's version, the table's hash, and its own

The table is renamed into place before its JSON file, which names the table's hash: a kill between the two leaves a pair
that does not match, and such a pair is refused instead of shown.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.store.writing import disk_errors, replacing
from pythia_geometry.typed_path import typed_path

RESULTS = "results"
MANIFEST = "manifest.json"
_READ = ("parts", "checkpoints")
"""Of a run folder, what its tables are made from."""


@dataclass(frozen=True, eq=False)
class Result:
    """One table that a command found.

    Attributes:
        name: Name of its files, such as `precursors` or `precursors-legs`.
        frame: The rows. Screens, JSON and pages show these and compute nothing.
        settings: What was asked: options, draws, seed.
        inputs: By path, the sha256 of what was read.
        version: Of this package.
    """

    name: str
    frame: pd.DataFrame
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    version: str = field(default_factory=lambda: version("pythia-geometry"))

    def rows(self) -> list[dict[str, Any]]:
        """The rows as plain values for JSON: no NaN, no numpy."""
        return [{str(k): plain(v) for k, v in row.items()} for row in self.frame.to_dict("records")]


def keep_result(folder: str | Path, result: Result) -> Path:
    """Writes a result into a folder's `results/`, replacing one of the same name.

    Returns:
        The Parquet file; beside it lies the JSON file.

    Raises:
        PythiaGeometryError: If the folder is a file.
        MachineError: If it cannot be written.
    """
    home = typed_path(folder) / RESULTS
    if any(path.is_file() for path in (home, home.parent)):
        raise PythiaGeometryError(f"--out {folder} is a file. Expected a folder, new or a run's")
    table = home / f"{result.name}.parquet"
    with disk_errors(home):
        with replacing(table) as temporary:
            pq.write_table(pa.Table.from_pandas(result.frame, preserve_index=False), temporary, compression="zstd")
        about = {
            "name": result.name,
            "version": result.version,
            "settings": {key: plain(value) for key, value in result.settings.items()},
            "inputs": dict(result.inputs),
            "table_sha256": _sha256(table),
        }
        about["sha256"] = _own_sha256(about)
        with replacing(table.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return table


def read_result(folder: str | Path, name: str) -> Result:
    """Reads a result back.

    Raises:
        PythiaGeometryError: If there is none, or its two files do not belong together.
    """
    table = typed_path(folder) / RESULTS / f"{name}.parquet"
    again = f"Compute it again: {command_of(name)}"
    try:
        about = json.loads(table.with_suffix(".json").read_text(encoding="utf-8"))
        held, frame = _sha256(table), pd.read_parquet(table)
        expected, settings, inputs, made_by = (about[k] for k in ("table_sha256", "settings", "inputs", "version"))
        if about.pop("sha256") != _own_sha256(about):
            raise ValueError(f"{table.stem}.json does not hold what was written")
    except FileNotFoundError as error:
        raise PythiaGeometryError(f"{table.parent} holds no result {name!r}. {again}") from error
    except (ValueError, KeyError, TypeError, OSError) as error:  # torn by hand: json's and pyarrow's errors
        raise PythiaGeometryError(f"{table} or its .json is damaged: {error}. {again}") from error
    if held != expected:
        raise PythiaGeometryError(f"{table} is not the table that {table.stem}.json describes. {again}")
    return Result(name, frame, settings, inputs, made_by)


def command_of(name: str) -> str:
    """What to type for a result: its name begins with its command, but for the claims of `compare`."""
    command = name.split("-")[0]
    return f"pythia-geom {'compare' if command == 'claims' else command}"


def hash_inputs(paths: Iterable[str | Path]) -> dict[str, str]:
    """By path, the sha256 of a file, or of all from which a run folder's tables are made."""
    return {str(path): _sha256(Path(path)) if Path(path).is_file() else _folder_sha256(Path(path)) for path in paths}


def home_of(runs: Sequence[str | Path], out: str, otherwise: str) -> Path:
    """Where a command keeps its results: `out`, else the first run folder named, else `otherwise`."""
    folders = [Path(run) for run in runs if Path(run).is_dir()]
    return Path(out) if out else folders[0] if folders else Path(otherwise)


def plain(value: Any) -> Any:
    """A value as JSON can hold it: NaN and what is missing as null, numpy's numbers as Python's."""
    if isinstance(value, Mapping):
        return {str(key): plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [plain(held) for held in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) and not isinstance(value, float) else _of_python(value)


def _of_python(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def _own_sha256(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _folder_sha256(folder: Path) -> str:
    """A hash over names and contents, in the order of their names."""
    digest = hashlib.sha256()
    kinds = _READ if (folder / MANIFEST).is_file() else ("",)  # of other folders, such as evaluations, all is read
    found = (p for kind in kinds for p in (folder / kind).rglob("*") if p.is_file() and ".tmp-" not in str(p))
    files = sorted(p for p in found if p.parent != folder / RESULTS)
    for file in files:
        digest.update(f"{file.relative_to(folder)}\n{_sha256(file)}\n".encode())
    return digest.hexdigest()

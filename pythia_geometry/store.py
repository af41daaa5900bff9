"""The run folder: manifest, tidy tables, cached activations. It is the state of a walk.

    runs/pythia-160m/
        manifest.json          versions, settings, probe hashes, commit and sha256 of every weight file
        geometry.parquet       one number a row (also behaviour, answers, checkpoints)
        activations/           pooled activations, one file a checkpoint, one row group a layer
        parts/                 what each finished checkpoint added; the tables are their concatenation
        figures/  summary.csv  what a reader looks at first
        shards/1-of-4/         what one of several machines has computed and no walk has taken in yet: a run folder

Every write goes to a temporary name and is renamed, so a kill at any moment leaves the old state or the new.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pythia_geometry.errors import MachineError, PythiaGeometryError

RUN = {"suite": "string", "model": "string", "seed": "int64", "step": "int64"}
PROBE = {"probe": "string", "task": "string"}
ORIGIN = {"probe_sha256": "string", "precision": "string"}
FORMAT = 1  # of the run folder; raise when an older one can no longer be read
GEOMETRY = RUN | PROBE | {
    "layer": "string", "layer_index": "int64", "measure": "string", "value": "float64", "error": "float64",
    "ceiling": "float64", "n": "int64", "reason": "string", "position": "string",
    "reference_step": "Int64",
} | ORIGIN  # fmt: skip
BEHAVIOUR = RUN | PROBE | {
    "metric": "string", "value": "float64", "error": "float64", "n": "int64", "chance": "float64",
    "majority": "float64", "reason": "string", "source": "string",
} | ORIGIN  # fmt: skip
ANSWERS = RUN | PROBE | {
    "item": "int64", "id": "string", "log_prob": "float64", "margin": "float64", "choice": "float64",
    "exact": "float64",
} | ORIGIN  # fmt: skip
CHECKPOINTS = RUN | {
    "tokens": "Int64", "source": "string", "revision": "string", "commit": "string",
    "weight_sha256": "string", "status": "string", "detail": "string",
}  # fmt: skip
TABLES = {"geometry": GEOMETRY, "behaviour": BEHAVIOUR, "answers": ANSWERS}
WORK = {"work": "string"}
"""Only in parts: the piece of work that made a row. A table shows the rows of work that is current."""

KEYS = {
    "geometry": [*RUN, *PROBE, "layer_index", "measure", "position"],
    "behaviour": [*RUN, *PROBE, "metric"],
    "answers": [*RUN, *PROBE, "item"],
}
"""What makes a row one row; of several that are current, the last written counts."""

FLOAT16_MAX = 65_504.0
SHARDS, LOCK = "shards", ".lock"
CACHES = ("activations", "passing")
"""Folders of activations: those to be kept, and those that comparisons still need."""


@dataclass(frozen=True)
class Tables:
    """The tidy tables of a run as pandas data frames, sorted."""

    geometry: pd.DataFrame
    behaviour: pd.DataFrame
    checkpoints: pd.DataFrame
    answers: pd.DataFrame


class RunFolder:
    """One run folder, opened for reading; `writing()` makes it this process's own."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    @property
    def manifest_file(self) -> Path:
        """Where the manifest lies."""
        return self.path / "manifest.json"

    def manifest(self) -> dict[str, Any]:
        """The manifest; empty before the first walk.

        Raises:
            PythiaGeometryError: If the folder holds something else, or the manifest is damaged.
        """
        if not self.manifest_file.exists():
            if self.path.exists() and not self.path.is_dir():
                raise PythiaGeometryError(f"{self.path} is a file. Pass --out with a new or a run folder")
            if self.path.is_dir() and any(not p.name.startswith(".") and p.name != SHARDS for p in self.path.iterdir()):
                raise PythiaGeometryError(
                    f"{self.path} is not empty and is no run folder (it has no manifest.json). Pass another --out"
                )
            return {}
        try:
            manifest: dict[str, Any] = json.loads(self.manifest_file.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise PythiaGeometryError(f"{self.manifest_file} is damaged: {error}. Pass another --out") from error
        if not isinstance(manifest, dict):
            raise PythiaGeometryError(f"{self.manifest_file} is damaged: no JSON object. Pass another --out")
        if manifest.get("format") != FORMAT:
            raise PythiaGeometryError(
                f"{self.path} was written in format {manifest.get('format')}; this version reads format {FORMAT}. "
                "Pass another --out"
            )
        return manifest

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Creates the folder and holds its lock.

        Raises:
            MachineError: If it cannot be written, or another walk is writing it.
        """
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock_file = (self.path / LOCK).open("w")
        with lock_file:
            lock(lock_file, self.path, "walk")
            for leftover in self.path.rglob(".tmp-*"):
                if SHARDS in leftover.relative_to(self.path).parts:  # another process may be writing it
                    continue
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            yield

    @property
    def downloads(self) -> Path:
        """Where fetched weights lie until they are used; gone after a finished walk, kept for the next after a stop."""
        return self.path / "downloads"

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replaces the manifest."""
        text = json.dumps({**manifest, "format": FORMAT}, indent=2, sort_keys=True)
        self.write_text("manifest.json", text + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Replaces one text file of the folder."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Replaces one file of the folder."""
        with disk_errors(self.path), _replacing(self.path / name) as temporary:
            temporary.write_bytes(content)

    # -- parts: what one finished checkpoint added ---------------------------------------------------

    def done(self) -> set[str]:
        """Identities of all work items whose rows exist."""
        ids: set[str] = set()
        for part in self._parts():
            ids.update(json.loads((part / "items.json").read_text()))
        return ids

    def add_part(self, label: str, items: Sequence[str], tables: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """Commits rows together with the identities of the work that made them, in one rename.

        Args:
            label: The checkpoint, as a file name.
            items: Identities of the work items that are now done.
            tables: Rows for some of geometry, behaviour and answers.
        """
        temporary = self.path / "parts" / f".tmp-{label}"
        with disk_errors(self.path):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            for name, rows in tables.items():
                if frame := list(rows):
                    part = pa.Table.from_pylist(frame, schema=_arrow_schema(TABLES[name] | WORK))
                    pq.write_table(part, temporary / f"{name}.parquet")
            (temporary / "items.json").write_text(json.dumps(sorted(items)))
            temporary.rename(self._next_part(label))

    def _next_part(self, label: str) -> Path:
        number = max((int(p.name.split(".")[0]) for p in self._parts()), default=0) + 1
        return self.path / "parts" / f"{number:06d}.{label}"

    def _parts(self) -> list[Path]:
        """Committed parts in the order in which they were written."""
        return sorted(p for p in (self.path / "parts").glob("[0-9]*.*") if p.is_dir())

    def checkpoint(self, label: str) -> dict[str, Any]:
        """What is recorded of one checkpoint: its `row`, and by question the `current` pieces of work."""
        file = self.path / "checkpoints" / f"{label}.json"
        return json.loads(file.read_text()) if file.exists() else {"row": {}, "current": {}}

    def set_checkpoint(
        self, label: str, row: Mapping[str, Any], current: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        """Records what is known of one checkpoint.

        Args:
            label: The checkpoint, as a file name.
            row: Its row in the `checkpoints` table, replacing the old one.
            current: By question (a probe at a position), the pieces of work whose rows the tables show from
                now on: the `capture`, the `weights` it read, and the comparisons made from it. A new capture
                takes back all that was made from the old one. Questions that are not named stay as they are.
        """
        held = self.checkpoint(label)["current"]
        for question, works in (current or {}).items():
            known = held.get(question, {})
            is_new = works.get("capture", known.get("capture")) != known.get("capture")
            held[question] = {**({} if is_new else known), **works}
        self.write_text(f"checkpoints/{label}.json", json.dumps({"row": dict(row), "current": held}))

    # -- shards: what other machines have computed -------------------------------------------------------

    def shard(self, name: str) -> RunFolder:
        """A run folder inside this one, for one other writer."""
        return RunFolder(self.path / SHARDS / name)

    def shards(self) -> list[RunFolder]:
        """The shards that exist; one that was taken in is an empty folder with a lock."""
        return [RunFolder(path) for path in sorted((self.path / SHARDS).glob("*")) if path.is_dir()]

    def take(self, other: RunFolder) -> None:
        """Moves activations and parts out of another run folder of the same disk; both are held for writing.

        Activations go first, as in a walk: a kill leaves each part here or there, and the next call goes on.
        """
        with disk_errors(self.path):
            for file in sorted(p for kind in CACHES for p in (other.path / kind).glob("*.parquet")):
                self._take_activations(file, self.path / file.parent.name / file.name)
            (self.path / "parts").mkdir(exist_ok=True)
            done = self.done()
            for part in other._parts():
                if not set(json.loads((part / "items.json").read_text())) <= done:
                    part.rename(self._next_part(part.name.split(".", 1)[1]))

    def _take_activations(self, theirs: Path, mine: Path) -> None:
        if mine.exists():
            self.add_activations(mine, read_activations(theirs), cached_works(theirs))
            theirs.unlink()
        else:
            mine.parent.mkdir(exist_ok=True)
            theirs.replace(mine)

    def clear(self, but_downloads: bool = False) -> None:
        """Removes all but the lock, at which another process may be waiting; the manifest last.

        Args:
            but_downloads: Leave the weights that a stopped walk has fetched, and the manifest that makes what is
                left a run folder.
        """
        kept = {self.path / LOCK, self.manifest_file} | ({self.downloads} if but_downloads else set())
        with disk_errors(self.path):
            for path in self.path.iterdir():
                if path not in kept:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            if not but_downloads:
                self.manifest_file.unlink(missing_ok=True)

    # -- tables --------------------------------------------------------------------------------------

    def tables(self) -> Tables:
        """All rows so far, also of a run that is still going or was killed."""
        parts = self._parts()
        known = [json.loads(p.read_text()) for p in sorted((self.path / "checkpoints").glob("*.json"))]
        current = {work for checkpoint in known for work in _shown(checkpoint)}
        frames = {name: self._table(name, parts, current) for name in TABLES}
        checkpoints = _typed(pd.DataFrame([checkpoint["row"] for checkpoint in known]), CHECKPOINTS)
        return Tables(**frames, checkpoints=_sorted(checkpoints, list(RUN)))

    def _table(self, name: str, parts: Sequence[Path], current: set[str]) -> pd.DataFrame:
        files = [p / f"{name}.parquet" for p in parts if (p / f"{name}.parquet").exists()]
        if not files:
            return _typed(pd.DataFrame(), TABLES[name])
        frame = pd.concat([pq.read_table(f).to_pandas() for f in files], ignore_index=True)
        frame = _typed(frame[frame["work"].isin(current)], TABLES[name]).drop_duplicates(KEYS[name], keep="last")
        return _sorted(frame, KEYS[name])

    def write_tables(self) -> Tables:
        """Writes geometry, behaviour, answers and checkpoints as Parquet files; returns them."""
        tables = self.tables()
        for name in (*TABLES, "checkpoints"):
            with disk_errors(self.path), _replacing(self.path / f"{name}.parquet") as temporary:
                _write_table(temporary, getattr(tables, name))
        return tables

    # -- activations ---------------------------------------------------------------------------------

    def activations_file(self, label: str, position: str, dtype: str, kept: bool = True) -> Path:
        """Where the pooled activations of one checkpoint lie; those not to be kept apart from those kept."""
        return self.path / CACHES[0 if kept else 1] / f"{label}.{position}.{dtype}.parquet"

    def add_activations(self, file: Path, probes: Mapping[str, NDArray[np.floating]], works: Mapping[str, str]) -> None:
        """Writes activations of several probes, beside those that the file already holds.

        Values are stored as float16, or as float32 in the whole file where one would overflow.

        Args:
            file: From `activations_file`.
            probes: Arrays [L, N, D] by probe name; they replace the file's own of that name.
            works: By probe name, the forward pass that made the array.
        """
        held = file.exists()
        arrays = {**read_activations(file), **probes} if held else dict(probes)
        works = {**cached_works(file), **works} if held else works
        largest = max(float(np.nanmax(np.abs(np.where(np.isfinite(a), a, 0.0)))) for a in arrays.values())
        dtype = np.float16 if largest <= FLOAT16_MAX else np.float32
        with disk_errors(self.path), _replacing(file) as temporary:
            _write_activations(temporary, arrays, works, dtype)


def read_activations(file: str | Path, layers: Sequence[int] | None = None) -> dict[str, NDArray[np.floating]]:
    """Pooled activations [L, N, D] by probe name.

    Args:
        file: One file of a run's `activations/` folder.
        layers: Indices of the layers to read; all where None. Each is one row group.

    Returns:
        float16 arrays; float32 where float16 would have overflowed.
    """
    parquet = pq.ParquetFile(file)
    groups = range(parquet.num_row_groups) if layers is None else layers
    by_probe: dict[str, list[NDArray[np.floating]]] = {}
    for group in groups:
        table = parquet.read_row_group(group)
        hidden = table["hidden"].combine_chunks()
        rows = hidden.flatten().to_numpy(zero_copy_only=False).reshape(len(table), hidden.type.list_size)
        names = table["probe"].to_numpy()
        starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1), len(names)]
        for start, stop in pairwise(starts):
            by_probe.setdefault(str(names[start]), []).append(rows[start:stop])
    return {name: np.stack(layers_of) for name, layers_of in by_probe.items()}


def _shown(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Work whose rows the tables show: that of the weights which the checkpoint's row names, duplicates never."""
    row = checkpoint["row"]
    for works in checkpoint["current"].values():
        if row["status"] not in ("duplicate", "wrong", "suspect") and works.get("weights") == row["weight_sha256"]:
            yield from works.values()


def cached_works(file: str | Path) -> dict[str, str]:
    """By the names of the probes that a file holds, the forward passes they come from; reads no activations."""
    table = pq.ParquetFile(file).read_row_group(0, columns=["probe", "work"])
    return dict(zip(table["probe"].to_pylist(), table["work"].to_pylist(), strict=True))


def _write_activations(
    path: Path, arrays: Mapping[str, NDArray[np.floating]], works: Mapping[str, str], dtype: type[np.floating]
) -> None:
    first = next(iter(arrays.values()))
    n_layers, width = first.shape[0], first.shape[2]
    vector = pa.list_(pa.from_numpy_dtype(dtype), width)
    schema = pa.schema(
        [
            ("layer_index", pa.int16()),
            ("probe", pa.string()),
            ("work", pa.string()),
            ("item", pa.int32()),
            ("hidden", vector),
        ]
    )
    which = pa.array(np.repeat(np.arange(len(arrays), dtype=np.int32), [a.shape[1] for a in arrays.values()]))
    names, made_by = (
        pa.DictionaryArray.from_arrays(which, list(of)).cast(pa.string()) for of in (arrays, [works[n] for n in arrays])
    )
    items = np.concatenate([np.arange(a.shape[1], dtype=np.int32) for a in arrays.values()])
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=["layer_index", "probe", "work"],
        column_encoding={"hidden.list.element": "BYTE_STREAM_SPLIT"},
    ) as writer:
        for layer in range(n_layers):
            flat = np.concatenate([a[layer] for a in arrays.values()]).astype(dtype).reshape(-1)
            hidden = pa.FixedSizeListArray.from_arrays(pa.array(flat), width)
            index = pa.array(np.full(len(items), layer, dtype=np.int16))
            columns = [index, names, made_by, pa.array(items), hidden]
            table = pa.Table.from_arrays(columns, schema=schema)
            writer.write_table(table, row_group_size=len(items))


def _arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """The same types as `_typed` gives, without a data frame: rows of one checkpoint are few and come often."""
    return pa.schema([(name, getattr(pa, dtype.lower())()) for name, dtype in columns.items()])


def _typed(frame: pd.DataFrame, schema: Mapping[str, str]) -> pd.DataFrame:
    return frame.reindex(columns=list(schema)).astype(dict(schema))


def _sorted(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return frame.sort_values(keys, kind="stable", ignore_index=True)


def _write_table(path: Path, frame: pd.DataFrame) -> None:
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, compression="zstd")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Says in the user's words that a folder cannot be written.

    Raises:
        MachineError: If the disk is full, read-only or forbidden.
    """
    try:
        yield
    except OSError as error:
        raise MachineError(
            f"Cannot write to {path}: {error.strerror or error}. What was finished is kept; free some space or "
            "pass another --out (or --activations none), and type the same command again"
        ) from error


def lock(stream: IO[str], path: Path, what: str) -> None:
    """Holds a folder's lock file until the stream is closed.

    Raises:
        MachineError: If another process holds it.
    """
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise MachineError(f"Another {what} is writing to {path}. Wait for it, or pass another --out") from error
    except OSError as error:
        raise MachineError(
            f"{path} lies on a file system without locks ({error.strerror}): two processes could write it at once. "
            "Mount it with them (Lustre: -o flock), or pass an --out on another disk"
        ) from error

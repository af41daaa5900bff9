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
from pathlib import Path
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.store.activations import add_activations, cached_works, read_activations
from pythia_geometry.store.tables import TABLES, Tables, checkpoints_table, read_parts, write_part, write_table
from pythia_geometry.store.writing import disk_errors, lock, replacing

FORMAT = 1
"""Of the run folder; raise when an older one can no longer be read."""

SHARDS, LOCK = "shards", ".lock"
CACHES = ("activations", "passing")
"""Folders of activations: those to be kept, and those that comparisons still need."""


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
        with disk_errors(self.path), replacing(self.path / name) as temporary:
            temporary.write_bytes(content)

    # -- parts: what one finished checkpoint added ---------------------------------------------------

    def done(self) -> dict[str, list[int]]:
        """Identities of all work items whose rows exist, with the numbers of the parts that hold them, ascending."""
        found: dict[str, list[int]] = {}
        for part in self._parts():
            for item in json.loads((part / "items.json").read_text()):
                found.setdefault(item, []).append(_number(part))
        return found

    def add_part(self, label: str, items: Sequence[str], tables: Mapping[str, Iterable[Mapping[str, Any]]]) -> int:
        """Commits rows together with the identities of the work that made them, in one rename.

        Args:
            label: The checkpoint, as a file name.
            items: Identities of the work items that are now done.
            tables: Rows for some of geometry, behaviour and answers.

        Returns:
            The part's number; of two rows about one thing, that of the higher number counts.
        """
        temporary = self.path / "parts" / f".tmp-{label}"
        with disk_errors(self.path):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            for name, rows in tables.items():
                if made := list(rows):
                    write_part(temporary / f"{name}.parquet", name, made)
            (temporary / "items.json").write_text(json.dumps(sorted(items)))
            part = self._next_part(label)
            temporary.rename(part)
        return _number(part)

    def _next_part(self, label: str) -> Path:
        number = max(map(_number, self._parts()), default=0) + 1
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

    def take(self, other: RunFolder, done: dict[str, list[int]]) -> None:
        """Moves activations and parts out of another run folder of the same disk; both are held for writing.

        Activations go first, as in a walk: a kill leaves each part here or there, and the next call goes on.

        Args:
            other: The other one.
            done: What `done` says of this one; what is taken is added.
        """
        with disk_errors(self.path):
            for file in sorted(p for kind in CACHES for p in (other.path / kind).glob("*.parquet")):
                self._take_activations(file, self.path / file.parent.name / file.name)
            (self.path / "parts").mkdir(exist_ok=True)
            for part in other._parts():
                items = json.loads((part / "items.json").read_text())
                if not done.keys() >= set(items):
                    mine = self._next_part(part.name.split(".", 1)[1])
                    part.rename(mine)
                    for item in items:
                        done.setdefault(item, []).append(_number(mine))

    def _take_activations(self, theirs: Path, mine: Path) -> None:
        if mine.exists():
            add_activations(mine, read_activations(theirs), cached_works(theirs))
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
        frames = {
            name: read_parts([f for part in parts if (f := part / f"{name}.parquet").exists()], name, current)
            for name in TABLES
        }
        return Tables(**frames, checkpoints=checkpoints_table([checkpoint["row"] for checkpoint in known]))

    def write_tables(self) -> Tables:
        """Writes geometry, behaviour, answers and checkpoints as Parquet files; returns them."""
        tables = self.tables()
        for name in (*TABLES, "checkpoints"):
            with disk_errors(self.path), replacing(self.path / f"{name}.parquet") as temporary:
                write_table(temporary, getattr(tables, name))
        return tables

    # -- activations ---------------------------------------------------------------------------------

    def activations_file(self, label: str, position: str, dtype: str, kept: bool = True) -> Path:
        """Where the pooled activations of one checkpoint lie; those not to be kept apart from those kept."""
        return self.path / CACHES[0 if kept else 1] / f"{label}.{position}.{dtype}.parquet"


def _number(part: Path) -> int:
    return int(part.name.split(".")[0])


def _shown(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Work whose rows the tables show: that of the weights which the checkpoint's row names, duplicates never.

    Nor what was read in part of a file that was found corrupt since.
    """
    row = checkpoint["row"]
    for works in checkpoint["current"].values():
        is_doubtful = row["status"] == "corrupt" and works.get("unchecked")
        is_refused = row["status"] in ("duplicate", "wrong", "suspect") or is_doubtful
        if not is_refused and works.get("weights") == row["weight_sha256"]:
            yield from works.values()

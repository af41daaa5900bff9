"""The run folder: manifest, tidy tables, cached activations. It is the state of a walk.

    runs/pythia-160m/
        manifest.json          versions, settings, probe hashes, commit and sha256 of every weight file
        geometry.parquet       one number a row (also behaviour, answers, checkpoints)
        activations/           pooled activations, one file a checkpoint, one row group a layer
        parts/                 what each finished checkpoint added; the tables are their concatenation
        checkpoints/           of each checkpoint its row, and which work the tables show of it
        figures/  summary.csv  belief.csv  what a reader looks at first; written.json has their checksums
        damaged/               what a walk found damaged, and set aside
        shards/1-of-4/         what one of several machines has computed and no walk has taken in yet: a run folder

Every write goes to a temporary name and is renamed, so a kill at any moment leaves the old state or the new. Every file
carries its sha256 (`seals.py`, `records.py`): what is unreadable, changed or gone counts as not done.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.errors import DamagedError, PythiaGeometryError
from pythia_geometry.store.activations import add_activations, cached_works, read_activations
from pythia_geometry.store.checkpoint_records import FOLDER as CHECKPOINTS
from pythia_geometry.store.checkpoint_records import Known, gone, read_checkpoint, scan_checkpoints, shown
from pythia_geometry.store.found import Found
from pythia_geometry.store.inputs import NEWEST, marked
from pythia_geometry.store.manifest_file import CACHES, FORMAT, MANIFEST, OWN, SHARDS, read_manifest
from pythia_geometry.store.mending import mend
from pythia_geometry.store.parts import FOLDER as PARTS
from pythia_geometry.store.parts import Part, label_of, number_of, part_folders, scan_parts, write_tables_of
from pythia_geometry.store.records import copy_of, read_record, write_record
from pythia_geometry.store.seals import seal, verify
from pythia_geometry.store.tables import TABLES, Tables, checkpoints_table, read_parts, write_table
from pythia_geometry.store.writing import disk_errors, lock, renamed, replacing, sync
from pythia_geometry.typed_path import typed_path

LOCK, WRITTEN = ".lock", "written.json"
NEW_PASS = "its probes need a new forward pass"  # noqa: S105 - no password
Tell = Callable[[str, str], None]
"""Told of every damaged file, by its path inside the run folder, and what is wrong with it."""


class RunFolder:
    """One run folder, opened for reading; `writing()` makes it this process's own.

    Attributes:
        path: Where it lies.
        damage: What was found damaged so far: by path inside the folder, what is wrong.
        lost: After `write_tables`: by checkpoint, how many pieces of work were there once and are not any more.
    """

    def __init__(self, path: str | Path, tell: Tell | None = None) -> None:
        self.path = typed_path(path)
        self.tell = tell
        self.damage: dict[str, str] = {}
        self.lost: dict[str, int] = {}
        self._held: dict[Path, Part] | None = None  # the parts, while this process alone may change them

    @property
    def manifest_file(self) -> Path:
        """Where the manifest lies."""
        return self.path / MANIFEST

    def manifest(self) -> dict[str, Any]:
        """The manifest; empty before the first walk, made again from what else is there where it is damaged.

        Raises:
            PythiaGeometryError: If the folder holds something else, or a later version of this package wrote it.
        """
        return read_manifest(self.path)[0]

    def note(self, file: Path, why: str) -> None:
        """Remembers a damaged file, and tells whoever listens; once."""
        name = str(file.relative_to(self.path))
        if name not in self.damage:
            self.damage[name] = why
            if self.tell is not None:
                self.tell(name, why)

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
            with disk_errors(self.path):
                for leftover in self.path.rglob(".tmp-*"):
                    if SHARDS in leftover.relative_to(self.path).parts:  # another process may be writing it
                        continue
                    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
                self._held = {part.path: part for part in mend(self.path, self.note)}
            try:
                for label in self.gone():
                    if not any(label_of(Path(name)) == label for name in self.damage if name.startswith(f"{PARTS}/")):
                        gone_from = self.path / PARTS / f"*.{label}"
                        self.note(gone_from, "work that was finished is gone; computed again where asked for")
                yield
                sync()
            finally:
                self._held = None

    @property
    def downloads(self) -> Path:
        """Where fetched weights lie until they are used; gone after a finished walk, kept for the next after a stop."""
        return self.path / "downloads"

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replaces the manifest."""
        with disk_errors(self.path):
            write_record(self.manifest_file, {**manifest, "format": FORMAT}, indent=2)

    def write_text(self, name: str, text: str) -> None:
        """Replaces one text file of the folder."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Replaces one file of the folder, and notes its checksum in `written.json`."""
        with disk_errors(self.path):
            with replacing(self.path / name) as temporary:
                temporary.write_bytes(content)
            held = {**self.written(), name: hashlib.sha256(content).hexdigest()}
            write_record(self.path / WRITTEN, {"files": held}, indent=2)

    def written(self) -> dict[str, str]:
        """By name, the sha256 of summary and figures; empty where that is not known."""
        try:
            files: dict[str, str] = read_record(self.path / WRITTEN, lambda content: False)["files"]
        except DamagedError:
            return {}
        return files

    # -- parts: what one finished checkpoint added ---------------------------------------------------

    def done(self) -> dict[str, list[int]]:
        """Identities of all work items whose rows exist, with the numbers of the parts that hold them, ascending.

        A part that is damaged counts as not there.
        """
        found: dict[str, list[int]] = {}
        for part in self._whole_parts():
            for item in part.items:
                found.setdefault(item, []).append(part.number)
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
        temporary = self.path / PARTS / f".tmp-{label}"
        with disk_errors(self.path):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            names = write_tables_of(temporary, label, items, tables)
            part = self._next_part(label)
            renamed(temporary, part)
        self._hold(Part(part, label, tuple(items), names))
        return number_of(part)

    def _next_part(self, label: str) -> Path:
        number = max(map(number_of, part_folders(self.path)), default=0) + 1
        return self.path / PARTS / f"{number:06d}.{label}"

    def _hold(self, part: Part) -> None:
        if self._held is not None:
            self._held[part.path] = part

    def _parts(self) -> list[Path]:
        """Whole parts in the order in which they were written."""
        return [part.path for part in self._whole_parts()]

    def _scan_parts(self) -> Found[Part]:
        if self._held is not None:
            return Found(dict(sorted(self._held.items())))
        found = scan_parts(self.path)
        for path, why in found.damaged.items():
            self.note(path, why)
        return found

    def _whole_parts(self) -> list[Part]:
        return list(self._scan_parts().whole.values())

    def checkpoint(self, label: str) -> Known:
        """What is recorded of one checkpoint: its `row`, and by question the `current` pieces of work."""
        try:
            known = read_checkpoint(self.path / CHECKPOINTS / f"{label}.json")
        except DamagedError:
            known = None
        return known or {"row": {}, "current": {}, "items": []}

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
        known = self.checkpoint(label)
        held = deepcopy(known["current"])
        for question, works in (current or {}).items():
            before = held.get(question, {})
            is_new = works.get("capture", before.get("capture")) != before.get("capture")
            held[question] = {**({} if is_new else before), **works}
        # also what is gone, until a walk has ended without it: `write_tables` says so
        items = {*known["items"], *(item for part in self._whole_parts() if part.label == label for item in part.items)}
        new = {"row": dict(row), "current": held, "items": sorted(items)}
        if new != {key: known[key] for key in new}:
            self._write_checkpoint(label, new)

    def _write_checkpoint(self, label: str, known: Known) -> None:
        with disk_errors(self.path):
            write_record(self.path / CHECKPOINTS / f"{label}.json", {**known, "label": label})

    def gone(self) -> dict[str, set[str]]:
        """By checkpoint, the work that its record counts as done and that no whole part holds."""
        return gone(scan_checkpoints(self.path), self._scan_parts())

    # -- shards: what other machines have computed -------------------------------------------------------

    def shard(self, name: str) -> RunFolder:
        """A run folder inside this one, for one other writer."""
        return RunFolder(self.path / SHARDS / name, self.tell and self._tell_of(name))

    @property
    def is_begun(self) -> bool:
        """Whether a walk or shard has left anything here to go on from."""
        return any(file.exists() for file in (self.manifest_file, copy_of(self.manifest_file))) or bool(
            part_folders(self.path)
        )

    def _tell_of(self, name: str) -> Tell:
        return lambda file, why: self.tell(f"{SHARDS}/{name}/{file}", why) if self.tell else None

    def shards(self) -> list[RunFolder]:
        """The shards that exist; one that was taken in is an empty folder with a lock."""
        names = (p.name for p in sorted((self.path / SHARDS).glob("*")) if p.is_dir())
        return [self.shard(name) for name in names if re.fullmatch(r"\d+-of-\d+", name)]

    def take(self, other: RunFolder, done: dict[str, list[int]]) -> None:
        """Moves activations and parts out of another run folder of the same disk; both are held for writing.

        Activations go first, as in a walk: a kill leaves each part here or there, and the next call goes on.

        Args:
            other: The other one.
            done: What `done` says of this one; what is taken is added.
        """
        with disk_errors(self.path):
            for file in sorted(p for kind in CACHES for p in (other.path / kind).glob("[!.]*.parquet")):
                self._take_activations(other, file, self.path / file.parent.name / file.name)
            (self.path / PARTS).mkdir(exist_ok=True)
            for part in other._whole_parts():
                if not done.keys() >= set(part.items):
                    mine = replace(part, path=self._next_part(part.label))
                    renamed(part.path, mine.path)
                    self._hold(mine)
                    for item in mine.items:
                        done.setdefault(item, []).append(mine.number)

    def _take_activations(self, other: RunFolder, theirs: Path, mine: Path) -> None:
        if mine.exists():
            try:
                arrays, works = read_activations(theirs), cached_works(theirs)
            except DamagedError as error:
                other.drop(theirs, error)
                return
            self.add_activations(mine, arrays, works)
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
        last = [self.manifest_file, copy_of(self.manifest_file)]
        kept = {LOCK, *(file.name for file in last)} | ({self.downloads.name} if but_downloads else set())
        with disk_errors(self.path):
            for path in self.path.iterdir():
                if path.name not in kept and path.name in OWN:  # what others have put here is theirs
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            if not but_downloads:
                for file in reversed(last):
                    file.unlink(missing_ok=True)
        if self._held is not None:
            self._held = {}

    # -- tables --------------------------------------------------------------------------------------

    def tables(self) -> Tables:
        """All rows so far, also of a run that is still going or was killed.

        Raises:
            DamagedError: If rows that were once there are not any more: fewer rows would pass for all of them.
        """
        records, found = scan_checkpoints(self.path), self._scan_parts()
        if self._held is None:  # else a walk, which has named what is damaged and computes it again
            self._refuse_gaps(records, found)
        known, parts = records.whole.values(), list(found.whole.values())
        current = {work for checkpoint in known for work in shown(checkpoint)}
        files = {name: [p.path / f"{name}.parquet" for p in parts if name in p.tables] for name in TABLES}
        for file in (file for of_table in files.values() for file in of_table):
            verify(file)
        frames = {name: read_parts(files[name], name, current) for name in TABLES}
        frames = marked(frames, known, self._newest())
        return Tables(**frames, checkpoints=checkpoints_table([checkpoint["row"] for checkpoint in known]))

    def _newest(self) -> dict[str, Any]:
        """What the last walk reads with; nothing where the manifest is damaged, which a walk says and mends."""
        try:
            newest: dict[str, Any] = self.manifest().get(NEWEST, {})
        except PythiaGeometryError:
            return {}
        return newest

    def _refuse_gaps(self, records: Found[Known], found: Found[Part]) -> None:
        damaged = {**records.damaged, **found.damaged}
        wrong = [f"{path.relative_to(self.path)}: {why}" for path, why in damaged.items()]
        wrong += [f"work that was finished at {label} is gone" for label in gone(records, found)]
        if wrong:
            more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise DamagedError(
                f"{self.path} is damaged ({wrong[0]}{more}). Type the walk's command again: it computes what is "
                f"missing. pythia-geom check {self.path} names every file"
            )

    def write_tables(self) -> Tables:
        """Writes geometry, behaviour, answers and checkpoints as Parquet files; returns them.

        What was there once, and was not computed again, stands in `lost` afterwards, and is forgotten.
        """
        not_again = self.gone()
        self.lost = {label: len(items) for label, items in not_again.items()}
        for label, items in not_again.items():
            known = self.checkpoint(label)
            self._write_checkpoint(label, {**known, "items": sorted(set(known["items"]) - items)})
        tables = self.tables()
        for name in (*TABLES, "checkpoints"):
            with disk_errors(self.path), replacing(self.path / f"{name}.parquet") as temporary:
                write_table(temporary, getattr(tables, name))
                seal(temporary)
        return tables

    # -- activations ---------------------------------------------------------------------------------

    def activations_file(self, label: str, position: str, dtype: str, kept: bool = True) -> Path:
        """Where the pooled activations of one checkpoint lie; those not to be kept apart from those kept."""
        return self.path / CACHES[0 if kept else 1] / f"{label}.{position}.{dtype}.parquet"

    def cached_works(self, file: Path) -> dict[str, str]:
        """By probe, the forward passes whose activations a file holds; none where it is not there or not readable."""
        try:
            return cached_works(file) if file.exists() else {}
        except DamagedError as error:
            self.note(file, f"{error}; {NEW_PASS}")
            return {}

    def add_activations(self, file: Path, probes: Mapping[str, NDArray[np.floating]], works: Mapping[str, str]) -> None:
        """Adds activations to a file; where that is damaged, they take its place."""
        try:
            add_activations(file, probes, works)
        except DamagedError as error:
            self.drop(file, error)
            add_activations(file, probes, works)

    def drop(self, file: Path, error: DamagedError) -> None:
        """Removes a damaged file of activations: what it held needs a new forward pass."""
        self.note(file, f"{error}; {NEW_PASS}")
        file.unlink(missing_ok=True)

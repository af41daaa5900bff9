"""Whether a run folder is whole: every file against its checksum, and what the next walk will compute again."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pythia_geometry.errors import DamagedError, PythiaGeometryError
from pythia_geometry.store import checkpoint_records as checkpoints
from pythia_geometry.store import parts
from pythia_geometry.store.activations import cached_works
from pythia_geometry.store.manifest_file import CACHES, OWN, SHARDS, TABLE_FILES, is_old_manifest
from pythia_geometry.store.mending import DAMAGED
from pythia_geometry.store.records import Old, copy_of, faults, is_unverified
from pythia_geometry.store.results import RESULTS, command_of, read_result
from pythia_geometry.store.run_folder import LOCK, WRITTEN, RunFolder
from pythia_geometry.store.seals import verify

FROM_COPY = "small JSON files are written again from their copies, or from what else is there"
_ACTIVATIONS = re.compile(r".+@step\d+\.\w+\.\w+\.parquet")
NEW_TABLES = "tables, summary and figures are written again"


OF_COMMANDS = ("claims.csv", "claims.md", "rows", "timeline.png", "timeline.svg")
"""What `compare` and `doctor` write beside their results where the run folder is their `--out`."""


@dataclass(frozen=True)
class Health:
    """What was found in a run folder, and in its shards.

    Attributes:
        folder: The run folder.
        whole: By kind of file (manifest, checkpoints, parts, activations, tables, figures, results), how many are.
        unverified: How many of them are of format 1, which has no checksums: they can be read, no more is known.
        damaged: By path inside the folder, what is wrong.
        again: What the next walk with the same command does about it, a line each.
        foreign: Files that no walk has written, such as a sync tool's copies; they are left alone.
        set_aside: What earlier walks found damaged and moved to `damaged/`.
    """

    folder: str
    whole: dict[str, int]
    unverified: int
    damaged: dict[str, str]
    again: list[str]
    foreign: list[str]
    set_aside: list[str]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged or gone."""
        return not self.damaged


@dataclass(frozen=True)
class _Finding:
    """One file, or the folder of one part.

    Attributes:
        kind: What it is.
        path: Where it lies.
        wrong: What is wrong with it; empty where it is whole.
        again: What the next walk does about it.
        is_old: Whether it is of format 1.
    """

    kind: str
    path: Path
    wrong: str = ""
    again: str = ""
    is_old: bool = False


def check(folder: str | Path) -> Health:
    """Verifies every file of a run folder; changes nothing.

    Raises:
        PythiaGeometryError: If it is no run folder.
    """
    run = RunFolder(folder)
    runs = [each for each in (run, *run.shards()) if each.is_begun or each.manifest()]
    if not runs:
        raise PythiaGeometryError(f"{folder} is no run folder: there is no manifest.json in it")
    found = [finding for each in runs for finding in _findings(each)]
    bad = [finding for finding in found if finding.wrong]
    own = {finding.path for finding in found}
    return Health(
        folder=str(folder),
        whole=dict(Counter(finding.kind for finding in found if not finding.wrong)),
        unverified=sum(finding.is_old for finding in found),
        damaged={str(finding.path.relative_to(run.path)): finding.wrong for finding in bad},
        again=list(dict.fromkeys(finding.again for finding in bad)),
        foreign=[str(path.relative_to(run.path)) for each in runs for path in _others(each, own)],
        set_aside=[str(path.relative_to(run.path)) for path in sorted((run.path / DAMAGED).glob("*"))],
    )


def _findings(run: RunFolder) -> Iterator[_Finding]:
    yield from _record("manifest", run.manifest_file, is_old_manifest)
    known = checkpoints.scan_checkpoints(run.path)
    for file in sorted((*known.whole, *known.damaged)):
        yield from _record("checkpoints", file, checkpoints.is_old)
    labels = {file.stem for file in (*known.whole, *known.damaged)}
    of_parts = [finding for folder in parts.part_folders(run.path) for finding in _part(folder)]
    yield from of_parts
    for file in sorted(f for kind in CACHES for f in (run.path / kind).glob("[!.]*.parquet")):
        label = file.name.rsplit(".", 3)[0]
        if _ACTIVATIONS.fullmatch(file.name) and (label in labels or not labels):
            again = f"{label}: a walk that reads its activations runs its probes through the model again"
            yield _parquet("activations", file, again)
    tables = [run.path / name for name in TABLE_FILES]
    for file in tables if any(file.exists() for file in tables) else ():  # a stopped walk has none yet
        gone = _Finding("tables", file, f"{file.name} is gone", NEW_TABLES)
        yield _parquet("tables", file, NEW_TABLES) if file.exists() else gone
    for name, sha256 in run.written().items():
        yield _plain(run.path / name, sha256)
    yield from _results(run.path)
    named = {parts.label_of(finding.path) for finding in of_parts if finding.wrong and finding.path.is_dir()}
    for label, items in run.gone().items():
        if label in named:
            continue
        wrong, again = f"{len(items)} pieces of work that were finished are gone", f"{label}: what is gone"
        yield _Finding("parts", run.path / parts.FOLDER / f"*.{label}", wrong, again)


def _record(kind: str, file: Path, is_old: Old) -> Iterator[_Finding]:
    wrong, old = faults(file, is_old), is_unverified(file, is_old)
    for each in (file,) if old else (file, copy_of(file)):
        yield _Finding(kind, each, wrong.get(each, ""), FROM_COPY, old)


def _part(folder: Path) -> Iterator[_Finding]:
    label = parts.label_of(folder)
    try:
        part = parts.read_part(folder)
    except DamagedError as error:
        again = f"{label}: what a damaged part of it held; for a forward pass the probes run through the model again"
        yield _Finding("parts", folder, str(error), again)
        return
    if part is not None:
        yield _Finding("parts", folder, is_old=is_unverified(folder / parts.ITEMS, parts.is_old))
        for file, wrong in faults(folder / parts.ITEMS, parts.is_old).items():
            yield _Finding("parts", file, wrong, FROM_COPY)


def _parquet(kind: str, file: Path, again: str) -> _Finding:
    try:
        is_old = verify(file) == ""
        if kind == "activations":
            cached_works(file)
    except DamagedError as error:
        return _Finding(kind, file, str(error), again)
    return _Finding(kind, file, is_old=is_old)


def _plain(file: Path, sha256: str) -> _Finding:
    try:
        is_same = hashlib.sha256(file.read_bytes()).hexdigest() == sha256
    except OSError:
        return _Finding("figures", file, f"{file.name} is gone", NEW_TABLES)
    return _Finding("figures", file, "" if is_same else f"{file.name} does not hold what was written", NEW_TABLES)


def _results(folder: Path) -> Iterator[_Finding]:
    """What `precursors`, `power` and others have kept here: a table and the JSON file that names its hash."""
    files = [file for file in (folder / RESULTS).glob("[!.]*") if file.suffix in (".parquet", ".json")]
    for name in sorted({file.stem for file in files}):
        pair = [folder / RESULTS / f"{name}{ending}" for ending in (".parquet", ".json")]
        gone = [file.name for file in pair if not file.exists()]
        try:
            wrong = f"{gone[0]} is gone" if gone else ""
            if not gone:
                read_result(folder, name)
        except PythiaGeometryError as error:
            wrong = str(error)
        again = f"{name}: by its own command, {command_of(name)}"
        yield from (_Finding("results", file, wrong, again) for file in pair if file.exists())


def _others(run: RunFolder, own: set[Path]) -> Iterator[Path]:
    """Files that no walk has written."""
    other = (SHARDS, DAMAGED, run.downloads.name, LOCK, WRITTEN, f"{WRITTEN}.copy", *OF_COMMANDS)
    left_out = {run.path / name for name in other}
    in_parts = {parts.ITEMS, copy_of(Path(parts.ITEMS)).name, *TABLE_FILES}
    for path in sorted(run.path.rglob("*")):
        is_own = path in own or (path.parent in own and path.name in in_parts)
        is_drawn = path.parent == run.path / "figures" or (path.parent == run.path and path.name in OWN)
        if path.is_file() and not (is_own or is_drawn or {path, *path.parents} & left_out or ".tmp-" in str(path)):
            yield path

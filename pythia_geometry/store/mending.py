"""What a walk does first in its run folder: damaged files are named and set aside, so that they count as not done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pythia_geometry.errors import DamagedError
from pythia_geometry.store import checkpoint_records, parts
from pythia_geometry.store.checkpoint_records import scan_checkpoints
from pythia_geometry.store.found import OTHER_NAME
from pythia_geometry.store.manifest_file import MANIFEST, is_old_manifest, read_manifest
from pythia_geometry.store.parts import Part, scan_parts
from pythia_geometry.store.records import Old, copy_of, faults, read_record, write_record
from pythia_geometry.store.writing import renamed

DAMAGED = "damaged"
Note = Callable[[Path, str], None]
"""Told of each damaged file, and what is wrong with it."""


def mend(run: Path, note: Note) -> list[Part]:
    """Makes a run folder, which is held for writing, whole again, and returns its parts.

    Damaged records are written again from their copies. What has no copy moves to `damaged/`.
    """
    manifest, wrong = read_manifest(run)
    if wrong:
        note(run / MANIFEST, f"{wrong}; made again")
        set_aside(run, run / MANIFEST)
        if manifest.get("runs"):
            write_record(run / MANIFEST, manifest, indent=2)
    elif manifest:
        _mend_record(run, run / MANIFEST, is_old_manifest, note)
    records = scan_checkpoints(run)
    for file in (*records.whole, *records.damaged):
        _mend_record(run, file, checkpoint_records.is_old, note)
    found = scan_parts(run)
    for path in found.whole:
        _mend_record(run, path / parts.ITEMS, parts.is_old, note)
    for path, why in found.damaged.items():
        note(path, f"{why}; computed again where asked for")
        set_aside(run, path)
    for path in (*records.foreign, *found.foreign):
        note(path, OTHER_NAME)
    return list(found.whole.values())


def set_aside(run: Path, path: Path) -> None:
    """Moves a file or folder to `damaged/`, under a name that is free there."""
    if not path.exists():
        return
    (run / DAMAGED).mkdir(exist_ok=True)
    names = (f"{path.name}{f' {n}' if n else ''}" for n in range(10**6))
    renamed(path, next(target for name in names if not (target := run / DAMAGED / name).exists()))


def _mend_record(run: Path, file: Path, is_old: Old, note: Note) -> None:
    """Writes a damaged record again from its copy, or the copy from the record."""
    wrong = faults(file, is_old)
    for path, why in wrong.items():
        note(path, f"{why}; made again")
    if file in wrong:
        set_aside(run, file)
    try:
        held = read_record(file, is_old)
    except DamagedError:
        set_aside(run, copy_of(file))
        return
    if wrong or not (is_old(held) or copy_of(file).read_bytes() == file.read_bytes()):
        write_record(file, held)

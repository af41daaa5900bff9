"""Parts: what one finished checkpoint added, a folder that one rename commits.

parts/000007.pythia-160m@step512/
    items.json          the checkpoint, the identities of the work that is done, the sha256 of each table
    geometry.parquet    behaviour.parquet    answers.parquet
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pythia_geometry.errors import DamagedError
from pythia_geometry.store.found import LABEL, Found, sorted_out
from pythia_geometry.store.records import read_record, write_in_place
from pythia_geometry.store.seals import seal, verify
from pythia_geometry.store.tables import TABLES, write_part
from pythia_geometry.store.writing import sync

FOLDER, ITEMS = "parts", "items.json"
_NAME = re.compile(r"(\d{6,})\.(.+)")


@dataclass(frozen=True)
class Part:
    """A part that is whole.

    Attributes:
        path: Its folder.
        label: The checkpoint, as a file name.
        items: Identities of the work that it holds.
        tables: The names of its tables.
    """

    path: Path
    label: str
    items: tuple[str, ...]
    tables: tuple[str, ...]

    @property
    def number(self) -> int:
        """Of two rows about one thing, that of the part with the higher number counts."""
        return number_of(self.path)


def number_of(path: Path) -> int:
    """The number of a part, from its name."""
    return int(path.name.split(".")[0])


def label_of(path: Path) -> str:
    """The checkpoint of a part, from its name."""
    return path.name.split(".", 1)[1]


def part_folders(run: Path) -> list[Path]:
    """Folders that are named as parts are, in the order in which they were written."""
    return sorted(p for p in (run / FOLDER).glob("[0-9]*.*") if _NAME.fullmatch(p.name) and p.is_dir())


def scan_parts(run: Path) -> Found[Part]:
    """All parts of a run folder, each verified."""
    return sorted_out(part_folders(run), read_part)


def write_tables_of(
    folder: Path, label: str, items: Sequence[str], tables: Mapping[str, Iterable[Mapping[str, Any]]]
) -> tuple[str, ...]:
    """Fills the folder of a part, which the caller will rename; its bytes are on the disk then. Names its tables."""
    digests = {}
    for name, rows in tables.items():
        if made := list(rows):
            write_part(folder / f"{name}.parquet", name, made)
            digests[name] = seal(folder / f"{name}.parquet")
    write_in_place(folder / ITEMS, {"label": label, "items": sorted(items), "tables": digests})
    sync([*folder.iterdir(), folder])
    return tuple(digests)


def read_part(path: Path) -> Part | None:
    """A part, after all of it was verified; None where the folder is another part's copy under a name of its own.

    Raises:
        DamagedError: If anything of it is not what was written.
    """
    held = read_record(path / ITEMS, is_old)
    if isinstance(held, list):
        return _read_old(path, held)
    if held.get("label") != label_of(path):
        return None
    for name, digest in held["tables"].items():
        if verify(path / f"{name}.parquet") != digest:
            raise DamagedError(f"{name}.parquet does not hold what was written (its sha256 differs)")
    return Part(path, held["label"], tuple(held["items"]), tuple(held["tables"]))


def _read_old(path: Path, items: list[str]) -> Part | None:
    """A part of format 1, which has no checksums: whole is what can be read."""
    if not LABEL.fullmatch(label_of(path)):
        return None
    tables = [name for name in TABLES if (path / f"{name}.parquet").exists()]
    if items and not tables:
        raise DamagedError("its tables are gone")
    for name in tables:
        try:
            pq.read_table(path / f"{name}.parquet")
        except (OSError, pa.ArrowException) as error:
            raise DamagedError(f"{name}.parquet cannot be read") from error
    return Part(path, label_of(path), tuple(items), tuple(tables))


def is_old(content: Any) -> bool:
    """Whether this is what format 1 wrote: a list of identities."""
    return isinstance(content, list) and all(isinstance(item, str) for item in content)

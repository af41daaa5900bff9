"""Small JSON files that nothing could compute again: each carries its checksum, and lies there twice.

    manifest.json   manifest.json.copy

The copy is written after the file, in place. Whichever of the two is whole counts; the file before the copy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pythia_geometry.errors import DamagedError
from pythia_geometry.store.writing import replacing

CHECKSUM, COPY = "sha256", ".copy"
Old = Callable[[Any], bool]
"""Says whether what a JSON file without a checksum holds is what format 1 wrote there."""


def write_record(file: Path, content: Mapping[str, Any], indent: int | None = None) -> None:
    """Replaces a record and its copy."""
    with replacing(file) as temporary:
        temporary.write_text(_text(content, indent))
    copy_of(file).write_text(_text(content, indent))  # not renamed: if it is torn, the file is whole


def write_in_place(file: Path, content: Mapping[str, Any]) -> None:
    """Writes a record and its copy in a folder that the caller will sync and rename."""
    for each in (file, copy_of(file)):
        each.write_text(_text(content))


def read_record(file: Path, is_old: Old) -> Any:
    """What a record holds, from whichever of its two files is whole; a dictionary, unless it is of format 1.

    Raises:
        DamagedError: If neither is; it says what is wrong with the first.
    """
    try:
        return read_one(file, is_old)
    except DamagedError:
        try:
            return read_one(copy_of(file), is_old)
        except DamagedError:
            pass
        raise


def read_one(file: Path, is_old: Old) -> Any:
    """What one of the two files holds.

    Raises:
        DamagedError: If it is not what was written.
    """
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise DamagedError(f"{file.name} is gone") from error
    except OSError as error:
        raise DamagedError(f"{file.name} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{file.name} is no JSON") from error
    if isinstance(content, dict) and CHECKSUM in content:
        checksum = content.pop(CHECKSUM)
        if checksum == _checksum(content):
            return content
    elif is_old(content):
        return content
    raise DamagedError(f"{file.name} does not hold what was written (edited, or its sha256 differs)")


def faults(file: Path, is_old: Old) -> dict[Path, str]:
    """What is wrong with a record's file and with its copy; one of format 1 has no copy."""
    found = {}
    for each in (file,) if is_unverified(file, is_old) else (file, copy_of(file)):
        try:
            read_one(each, is_old)
        except DamagedError as error:
            found[each] = str(error)
    return found


def is_unverified(file: Path, is_old: Old) -> bool:
    """Whether a record's file is one of format 1, without a checksum."""
    try:
        return is_old(read_one(file, is_old))
    except DamagedError:
        return False


def copy_of(file: Path) -> Path:
    """Where the second file of a record lies."""
    return file.with_name(file.name + COPY)


def records_in(folder: Path, ending: str = ".json") -> list[Path]:
    """The records of a folder by the names of their first files, also those of which only the copy is left."""
    names = {path.name.removesuffix(COPY) for path in folder.glob(f"*{ending}*")}
    return sorted(folder / name for name in names if name.endswith(ending) and not name.startswith("."))


def _text(content: Mapping[str, Any], indent: int | None = None) -> str:
    plain = {key: value for key, value in content.items() if key != CHECKSUM}
    return json.dumps({**plain, CHECKSUM: _checksum(plain)}, indent=indent, sort_keys=True) + "\n"


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

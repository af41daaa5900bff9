"""Where a text comes from: a UTF-8 file, a dataset on the disk, or one of the Hub, read no further than is needed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.typed_path import typed_path

COLUMN = "text"
_DATASET = re.compile(r"[\w.-]+/[\w.-]+")
_TABLES = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}
_EXPECTED = (
    "Expected a UTF-8 text, a table (.parquet, .jsonl) or a dataset's folder with a column 'text', or the name of a "
    "dataset as organisation/name"
)


def read_text(source: str, characters: int) -> tuple[str, str]:
    """A text's name, and its beginning.

    Args:
        source: A UTF-8 file; a table or a folder of `datasets` with a column `text`; or the name of a dataset as
            `organisation/name`. Of several splits it is `train`, else the first.
        characters: At most so many; of a dataset no more rows are read than that takes.

    Raises:
        PythiaGeometryError: If it is none of these, or cannot be read.
        MachineError: If the Hub cannot be reached.
    """
    path = typed_path(source)
    if path.is_dir() or (path.is_file() and path.suffix in _TABLES):
        return path.stem, _joined(source, characters, path)
    if path.is_file():
        try:
            with path.open(encoding="utf-8") as stream:
                return path.stem, stream.read(characters)
        except (OSError, UnicodeDecodeError) as error:
            raise PythiaGeometryError(f"--text {source} could not be read: {error}. {_EXPECTED}") from error
    if not _DATASET.fullmatch(source):
        raise PythiaGeometryError(f"--text {source} is no file. {_EXPECTED}")
    return source.rpartition("/")[2], _joined(source, characters, None)


def _joined(source: str, characters: int, path: Path | None) -> str:
    """Rows of the column `text`, joined by empty lines."""
    from huggingface_hub.errors import HfHubHTTPError

    parts: list[str] = []
    held = 0
    try:
        for number, row in enumerate(_rows(source, path), 1):
            if COLUMN not in row:
                columns = ", ".join(sorted(map(str, row)))[:200]
                raise PythiaGeometryError(f"--text {source} has no column {COLUMN!r} of texts; columns: {columns}")
            if not isinstance(row[COLUMN], str):
                given = repr(row[COLUMN])[:60]
                raise PythiaGeometryError(
                    f"--text {source} has no column {COLUMN!r} of texts: row {number} holds {given}. Leave it out"
                )
            parts.append(row[COLUMN])
            held += len(parts[-1]) + 2
            if held >= characters:
                break
    except PythiaGeometryError:
        raise
    except (ConnectionError, HfHubHTTPError) as error:
        raise MachineError(f"--text {source}: the dataset could not be fetched: {error}") from error
    except Exception as error:  # datasets raises many kinds for what is missing, damaged or a script
        raise PythiaGeometryError(
            f"--text {source} is no text and no dataset that loads: {error}. {_EXPECTED}"
        ) from error
    return "\n\n".join(parts)[:characters]


def _rows(source: str, path: Path | None) -> Iterable[Mapping[str, Any]]:
    import datasets

    if path is None:
        splits = datasets.load_dataset(source, streaming=True)
    elif path.is_file():
        splits = datasets.load_dataset(_TABLES[path.suffix], data_files=str(path), streaming=True)
    elif (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():  # of save_to_disk
        splits = datasets.load_from_disk(str(path))
    else:
        splits = datasets.load_dataset(str(path), streaming=True)
    rows: Iterable[Mapping[str, Any]] = splits
    if isinstance(splits, dict):
        rows = splits["train"] if "train" in splits else next(iter(splits.values()))
    return rows

"""The tidy tables: their columns, their types, and what makes a row one row."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

RUN = {"suite": "string", "model": "string", "seed": "int64", "step": "int64"}
PROBE = {"probe": "string", "task": "string"}
ORIGIN = {"probe_sha256": "string", "precision": "string"}
GEOMETRY = RUN | PROBE | {
    "layer": "string", "layer_index": "int64", "head": "Int64", "measure": "string", "settings": "string",
    "value": "float64", "error": "float64", "ceiling": "float64", "n": "int64", "reason": "string",
    "position": "string", "reference_step": "Int64",
} | ORIGIN  # fmt: skip
BEHAVIOUR = RUN | PROBE | {
    "metric": "string", "value": "float64", "error": "float64", "n": "int64", "chance": "float64",
    "majority": "float64", "reason": "string", "source": "string",
} | ORIGIN  # fmt: skip
ANSWERS = RUN | PROBE | {
    "item": "int64", "id": "string", "log_prob": "float64", "margin": "float64", "choice": "float64",
    "exact": "float64", "choices": "string", "reason": "string",
} | ORIGIN  # fmt: skip
CHECKPOINTS = RUN | {
    "tokens": "Int64", "source": "string", "revision": "string", "commit": "string",
    "weight_sha256": "string", "status": "string", "detail": "string",
}  # fmt: skip
TABLES = {"geometry": GEOMETRY, "behaviour": BEHAVIOUR, "answers": ANSWERS}
WORK = {"work": "string"}
"""Only in parts: the piece of work that made a row. A table shows the rows of work that is current."""

KEYS = {
    "geometry": [*RUN, *PROBE, "layer_index", "measure", "position", "layer", "head", "settings"],
    "behaviour": [*RUN, *PROBE, "metric"],
    "answers": [*RUN, *PROBE, "item"],
}
"""What makes a row one row; of several that are current, the last written counts."""


LATER = ("settings", "choices", "reason")
"""Columns of text that parts of format 1 may lack."""


@dataclass(frozen=True)
class Tables:
    """The tidy tables of a run as pandas data frames, sorted."""

    geometry: pd.DataFrame
    behaviour: pd.DataFrame
    checkpoints: pd.DataFrame
    answers: pd.DataFrame

    def __repr__(self) -> str:
        return "\n".join(f"{name:12s}{len(frame):>9,} rows: {said}" for name, frame, said in self._parts())

    def _repr_html_(self) -> str:
        """What a notebook shows: the size of each table, and its first rows."""
        shown = [
            f"<p><b>{name}</b>: {len(frame):,} rows; {html.escape(said)}</p>{frame.head(3).to_html(index=False)}"
            for name, frame, said in self._parts()
        ]
        return "".join(shown)

    def _parts(self) -> Iterator[tuple[str, pd.DataFrame, str]]:
        for name in ("geometry", "behaviour", "checkpoints", "answers"):
            frame: pd.DataFrame = getattr(self, name)
            counted = [c for c in ("model", "seed", "step", "task", "layer", "measure", "metric") if c in frame]
            yield name, frame, ", ".join(f"{frame[c].nunique()} {c}{'s' * (frame[c].nunique() != 1)}" for c in counted)


def write_part(file: Path, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows of one checkpoint, each with the work that made it."""
    # without a data frame, which costs more than all the rest: parts are small and come often
    columns = [(name, getattr(pa, dtype.lower())()) for name, dtype in (TABLES[table] | WORK).items()]
    pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(columns)), file)


def read_parts(files: Sequence[Path], table: str, current: Set[str]) -> pd.DataFrame:
    """The rows of some parts, in the order in which they were written, that current work has made."""
    if not files:
        return _typed(pd.DataFrame(), TABLES[table])
    frame = pd.concat([pq.read_table(file).to_pandas() for file in files], ignore_index=True)
    frame = _typed(frame[frame["work"].isin(current)], TABLES[table])
    return _sorted(frame.drop_duplicates(KEYS[table], keep="last"), KEYS[table])


def checkpoints_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The table `checkpoints`."""
    return _sorted(_typed(pd.DataFrame(rows), CHECKPOINTS), list(RUN))


def write_table(file: Path, frame: pd.DataFrame) -> None:
    """Writes one of the tables."""
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file, compression="zstd")


def _typed(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    frame = frame.reindex(columns=list(columns)).astype(dict(columns))
    return frame.assign(**{name: frame[name].fillna("") for name in LATER if name in columns})


def _sorted(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return frame.sort_values(keys, kind="stable", ignore_index=True)

"""The one reader of tables: a CSV or Parquet file as a plain data frame, and the checks that every table passes.

What other tools write around a table is taken off in silence because it says nothing of its numbers: a byte order mark,
a saved index, categories, nullable types, blanks in the header. What would change a number is refused by one message
that names column, row and cure: per cent where a share belongs, text in a number, a step that is no whole number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyarrow.lib import ArrowException

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.suites.checkpoint import run_name
from pythia_geometry.typed_path import typed_path

CSV, PARQUET = ".csv", ".parquet"
RUN = ["suite", "model", "seed"]
CURVE = [*RUN, "probe", "task", "metric"]
"""What makes a row of behaviour a point of one curve rather than of another."""

SHARES = ("accuracy", "accuracy_norm", "exact_match")
"""Metrics that are a share of right items; `accuracy_norm` divides each log-probability by the answer's length."""
CONTINUOUS = ("log_prob", "margin")
"""Metrics that are a mean over items and have no chance level; higher is better."""
NO_DIRECTION = "it is not known which way this metric is better"

NUMBERS = (
    "step", "seed", "value", "error", "ceiling", "n", "chance", "majority", "layer_index", "reference_step", "tokens",
)  # fmt: skip
WHOLE = ("step", "seed", "n")
LARGEST = 2.0**53  # beyond it a float no longer tells whole numbers apart
_BLANK = ("", "nan", "NaN", "NA", "N/A", "<NA>", "null", "None")  # of a number that is not there
_SAVED_INDEX = re.compile(r"Unnamed: \d+(_level_\d+)?|__index_level_\d+__|")


def is_share(metric: str) -> bool:
    """Whether a metric is a share of right items; a filter of lm-eval may follow a colon."""
    return metric.split(":")[0] in SHARES


def is_known(metric: str) -> bool:
    """Whether it is known that higher is better, and how a baseline is found."""
    return metric.split(":")[0] in (*SHARES, *CONTINUOUS)


def of_metrics(rows: pd.DataFrame, holds: Callable[[str], bool]) -> pd.Series:
    """Whether something holds of each row's metric; a mask also of a table without rows."""
    return pd.Series([holds(str(metric)) for metric in rows["metric"]], index=rows.index, dtype=bool)


def read_file(path: str | Path) -> pd.DataFrame:
    """One CSV or Parquet file with plain columns: text as it stands there, numbers as numbers.

    Args:
        path: A `.csv` or `.parquet` file. Of CSV the columns `NUMBERS` are read as numbers and all others as text, so
            that a task called `NA` or `007` keeps its name.

    Raises:
        PythiaGeometryError: If there is no such file, it cannot be read, has no rows, names a column twice, or a
            column of numbers holds something else.
    """
    path = typed_path(path)
    if path.suffix.lower() not in (CSV, PARQUET):
        raise PythiaGeometryError(f"{path}: expected a run folder, or a .csv or .parquet file with one value a row")
    if not path.is_file():
        raise PythiaGeometryError(f"There is no {path}. Name a run folder, or a CSV or Parquet file")
    try:
        frame = _read_csv(path) if path.suffix.lower() == CSV else pd.read_parquet(path, partitioning=None)
    except (ValueError, OSError, ArrowException, RecursionError, MemoryError) as error:  # a damaged file raises these
        raise PythiaGeometryError(f"{path} cannot be read: {error}") from error
    frame = plain(frame, str(path))
    if frame.empty:
        raise PythiaGeometryError(f"{path}: no rows under its header. Expected one value a row")
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    # All as text: pandas would guess a type, and read the task "NA" as missing.
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    if len(frame.columns) == 1 and (mark := next((m for m in ";\t|" if m in str(frame.columns[0])), None)):
        raise ValueError(f"its columns are separated by {mark!r}; expected commas")
    if not isinstance(frame.index, pd.RangeIndex):  # pandas would take the first field for an index
        raise ValueError("its rows have more fields than its header")
    return frame


def plain(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The same rows with an index as columns, plain types, and numbers in the columns that are numbers.

    Raises:
        PythiaGeometryError: If a column is named twice, or a column of numbers holds something else.
    """
    kept = [level for level in frame.index.names if level is not None and level not in frame]
    frame = frame.reset_index(kept) if kept else frame
    frame = frame.reset_index(drop=True).set_axis(_names(frame, where), axis=1)
    frame = frame[[name for name in frame if not _SAVED_INDEX.fullmatch(str(name))]]
    columns = {str(name): _column(frame[name], str(name), where) for name in frame}
    return pd.DataFrame(columns, index=frame.index)


def _names(frame: pd.DataFrame, where: str) -> list[str]:
    labels: list[object] = list(frame.columns)
    names = [" ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in labels]
    names = [name.strip().lstrip("\ufeff") for name in names]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise PythiaGeometryError(f"{where}: two columns are called {twice[0]!r}. Keep one")
    return names


def _column(values: pd.Series, name: str, where: str) -> pd.Series:
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    return to_numbers(values, name, where) if name in NUMBERS else values


def to_numbers(values: pd.Series, name: str, where: str) -> pd.Series:
    """A column as floats, NaN where it is blank.

    Raises:
        PythiaGeometryError: Naming the first entry that is no number.
    """
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_complex_dtype(values)
    if is_number and not pd.api.types.is_bool_dtype(values):
        return pd.Series(values.to_numpy(dtype=float, na_value=np.nan), index=values.index)
    texts = values.astype(object).where(values.notna(), "").map(lambda entry: str(entry).strip())
    numbers = pd.to_numeric(texts.mask(texts.isin(_BLANK)), errors="coerce").astype(float)
    bad = numbers.isna() & ~texts.isin(_BLANK)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        hint = ". Write the number alone, such as 512" if name == "step" else ""
        raise PythiaGeometryError(
            f"{where}: column {name!r} holds {texts.iloc[row][:40]!r} in row {row}, which is no number{hint}"
        )
    return numbers


def check_columns(frame: pd.DataFrame, expected: Iterable[str], what: str) -> None:
    """Refuses a table without rows or without its columns.

    Raises:
        PythiaGeometryError: Naming the missing columns.
    """
    missing = [column for column in expected if column not in frame]
    if missing:
        lower = {str(column).lower(): str(column) for column in frame}
        close = [lower[name] for name in missing if name in lower]
        hint = f". Names are in lower case: {close[0]!r} is not read" if close else ""
        raise PythiaGeometryError(
            f"{what} table: missing column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}. "
            f"It has {', '.join(map(repr, frame.columns)) or 'no columns'}{hint}"
        )
    if frame.empty:
        raise PythiaGeometryError(f"{what} table: no rows")


def check_numbers(frame: pd.DataFrame, where: str) -> None:
    """Refuses what no table may hold. Rows with a reason may hold any value, as they are not used.

    Steps, seeds and n are whole and not negative; chance and majority rate lie in 0 … 1, as does a share of right
    items; errors are not negative; a value is finite.

    Raises:
        PythiaGeometryError: Naming column, number and row.
    """
    used = frame[unmarked(frame)]
    for name in WHOLE:
        if name in frame:
            least, whole = (1 if name == "n" else 0), frame[name].astype(float)
            bad = (whole % 1 != 0) | (whole < least) | (whole > LARGEST)
            bad = bad if name in ("step", "seed") else bad & whole.notna()
            _refuse(frame, bad, name, where, f"expected a whole number from {least}")
    for name in ("chance", "majority"):
        if name in frame:
            _refuse(frame, ~frame[name].astype(float).fillna(0).between(0, 1), name, where, _IN_RANGE)
    if "value" in used:
        value = used["value"].astype(float)
        _refuse(
            used,
            value.isna() | value.abs().eq(np.inf),
            "value",
            where,
            "leave the row out, or say why in column 'reason'",
        )
        if "metric" in used:
            is_of_items = of_metrics(used, is_share)
            _refuse(used, is_of_items & ~value.between(0, 1), "value", where, f"of a share of right items {_IN_RANGE}")
            if "error" in used:
                large = is_of_items & (used["error"].astype(float) > 1)
                _refuse(used, large, "error", where, f"of a share of right items {_IN_RANGE}")
    if "error" in used:
        _refuse(used, used["error"].astype(float) < 0, "error", where, "an error is never below 0")


_IN_RANGE = "expected 0 to 1; divide per cent by 100"
_NAMES = ("model", "probe", "task", "layer", "metric", "measure")


def _refuse(frame: pd.DataFrame, bad: pd.Series, column: str, where: str, expected: str) -> None:
    if bad.any():
        at = int(np.flatnonzero(bad.to_numpy())[0])
        row = frame.iloc[at]
        names = (str(row[name]) for name in _NAMES if name in frame and not pd.isna(row[name]))
        curve = " ".join(name for name in names if name)
        step = "" if column == "step" or "step" not in frame else f" at step {row['step']:g}"
        raise PythiaGeometryError(
            f"{where}: column {column!r} holds {row[column]:g} ({curve}{step}, row {frame.index[at]}): {expected}"
        )


def unmarked(frame: pd.DataFrame) -> pd.Series:
    """Rows without a reason: those that may be used."""
    if "reason" not in frame:
        return pd.Series(True, index=frame.index)
    return frame["reason"].astype(object).where(frame["reason"].notna(), "") == ""


def by_run(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of each training run by its name (`pythia-160m`, `pythia-160m-seed3`), in order of model and seed."""
    groups: Any = frame.groupby(["model", "seed"], sort=True)
    return {run_name(str(model), int(seed)): rows for (model, seed), rows in groups}


def first_of(frame: pd.DataFrame, names: Sequence[str]) -> str:
    """The first of some columns that a table has.

    Raises:
        PythiaGeometryError: If it has none.
    """
    if (name := next((name for name in names if name in frame), None)) is None:
        raise PythiaGeometryError(
            f"The table has neither a column {' nor '.join(map(repr, names))}; it has "
            f"{', '.join(map(str, frame.columns)) or 'no columns'}"
        )
    return name

"""Behaviour curves from any source, in the one schema of the `behaviour` table.

A walk, results of lm-eval (`lm_eval`), the published evaluations of Pythia (`published`) and any tidy file
all become the same columns, so that everything after this point asks one table. A row with a `reason` stays in
the table and is not used: its value is missing, or must not be read as the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events.same_weights import mark_same_weights
from pythia_geometry.analysis.tables.reading import (
    CURVE,
    NO_DIRECTION,
    NUMBERS,
    RUN,
    check_columns,
    check_numbers,
    is_known,
    is_share,
    of_metrics,
    plain,
    read_file,
    unmarked,
)
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.store.tables import BEHAVIOUR, Tables

SCHEMA = BEHAVIOUR | {"n": "Int64"}
"""Columns and types; n is missing where a source neither states nor implies it."""

_REQUIRED = ("model", "step", "task", "metric", "value")


def from_walk(tables: Tables) -> pd.DataFrame:
    """Behaviour of a walk; of steps with the same weights all but the last get a reason (assumption A17)."""
    return tidy(mark_same_weights(tables.behaviour, tables.checkpoints), "the behaviour table")


def read_table(path: str | Path, needs: Sequence[str] = _REQUIRED) -> pd.DataFrame:
    """Behaviour from a tidy CSV or Parquet file, one value a row.

    Args:
        path: A file with the columns model, step, task, metric and value; of the others of the `behaviour` table
            those that are missing are empty. A metric other than accuracy, accuracy_norm, exact_match, log_prob and
            margin gets a reason: it is not known which way it is better.
        needs: Columns that must be there.

    Raises:
        PythiaGeometryError: If the file cannot be read, lacks a column, or holds what `tidy` refuses.
    """
    frame = read_file(path)
    check_columns(frame, needs, f"{path}, behaviour")
    return tidy(frame, str(path))


def tidy(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Checks a table of behaviour, adds the columns it lacks, recovers n, and sorts it.

    Args:
        frame: At least model, step, task, metric and value.
        where: The file or table, for messages and where `source` is missing.

    Raises:
        PythiaGeometryError: If a column is missing or not of numbers, a step is no whole number, a share lies outside
            0 … 1, a value is missing without a reason, or a curve has a step twice.
    """
    frame = plain(frame, where)
    if absent := [column for column in _REQUIRED if column not in frame]:
        check_columns(frame, absent, where)
    frame = frame.reindex(columns=list(SCHEMA))
    for column in SCHEMA:
        if column in NUMBERS:
            frame[column] = frame[column].astype(float)
        elif SCHEMA[column] == "string":
            frame[column] = frame[column].astype("string").fillna(where if column == "source" else "")
    if frame["seed"].isna().all():  # a table of one run may leave it out; one that names some must name all
        frame["seed"] = 0.0
    _refuse_empty(frame, where)
    frame["reason"] = frame["reason"].mask(unmarked(frame) & ~of_metrics(frame, is_known), NO_DIRECTION)
    check_numbers(frame, where)
    frame = recover_n(frame).astype(SCHEMA)
    _refuse_twice(frame, where)
    return frame.sort_values([*CURVE, "step"], kind="stable", ignore_index=True)


def _refuse_empty(frame: pd.DataFrame, where: str) -> None:
    for column in ("model", "task", "metric"):
        if (empty := np.flatnonzero(frame[column] == "")).size:
            raise PythiaGeometryError(f"{where}: column {column!r} is empty in row {empty[0]}. Name it")


def _refuse_twice(frame: pd.DataFrame, where: str) -> None:
    if (twice := np.flatnonzero(frame.duplicated([*CURVE, "step"]))).size:
        row = frame.iloc[twice[0]]
        curve = " ".join(str(row[column]) for column in ("model", "probe", "task", "metric") if row[column])
        raise PythiaGeometryError(f"{where}: column 'step' holds {row['step']} of {curve} twice. Keep one")


def recover_n(frame: pd.DataFrame) -> pd.DataFrame:
    """Fills missing n from the shares and errors of the same task: n = p(1 − p)/se² + 1.

    That is what the standard error of a mean of zeros and ones implies. Where the shares of a task do not agree
    on one whole number (a group of tasks, an error of another kind), n stays missing.

    How it misleads: an error of another kind gives a whole number by chance once in fifty, where a task has one share.
    """
    p, error = frame["value"], frame["error"]
    usable = frame["n"].isna() & of_metrics(frame, is_share) & (error > 0)
    implied = (p * (1 - p) / error.where(usable) ** 2 + 1)[usable]
    task = frame[[*RUN, "probe", "task"]]
    whole = implied.round().where((implied - implied.round()).abs() < 0.01)
    found = whole.groupby([task[column][usable] for column in task], sort=False).agg(
        lambda ns: ns.iloc[0] if ns.nunique(dropna=False) == 1 else np.nan
    )
    recovered = pd.MultiIndex.from_frame(task).map(found.to_dict()) if len(found) else np.nan
    return frame.assign(n=frame["n"].fillna(pd.Series(recovered, frame.index, dtype=float)))

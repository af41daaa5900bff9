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

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.store.tables import BEHAVIOUR, Tables

SCHEMA = BEHAVIOUR | {"n": "Int64"}
"""Columns and types; n is missing where a source neither states nor implies it."""

RUN = ["suite", "model", "seed"]
CURVE = [*RUN, "probe", "task", "metric"]
"""What makes a row a point of one curve rather than of another."""

SHARES = ("accuracy", "accuracy_norm", "exact_match")
"""Metrics that are a share of right items; `accuracy_norm` divides each log-probability by the answer's length."""
CONTINUOUS = ("log_prob", "margin")
"""Metrics that are a mean over items and have no chance level; higher is better."""

_REQUIRED = ("model", "step", "task", "metric", "value")
_NUMBERS = ("step", "value", "error", "n", "chance", "majority", "seed")


def from_walk(tables: Tables) -> pd.DataFrame:
    """Behaviour of a walk; of steps with the same weights all but the last get a reason (assumption A17)."""
    return tidy(_mark_same_weights(tables.behaviour, tables.checkpoints), "the behaviour table")


def read_table(path: str | Path) -> pd.DataFrame:
    """Behaviour from a tidy CSV or Parquet file, one value a row.

    Args:
        path: A file with the columns model, step, task, metric and value; of the others of the `behaviour` table
            those that are missing are empty. `metric` is accuracy, accuracy_norm, exact_match, log_prob or margin.

    Raises:
        PythiaGeometryError: If the file cannot be read, lacks a column, or holds what `tidy` refuses.
    """
    path = Path(path).expanduser()
    if path.suffix not in (".csv", ".parquet"):
        raise PythiaGeometryError(f"{path} is no .csv and no .parquet file. Expected a table with one value a row")
    try:
        frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError, UnicodeDecodeError) as error:  # pandas' and pyarrow's parser errors are ValueErrors
        raise PythiaGeometryError(f"{path} cannot be read: {error}") from error
    return tidy(frame, str(path))


def tidy(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Checks a table of behaviour, adds the columns it lacks, recovers n, and sorts it.

    Args:
        frame: At least model, step, task, metric and value.
        where: The file or table, for messages and where `source` is missing.

    Raises:
        PythiaGeometryError: If a column is missing or not of numbers, a step is no whole number, a metric is
            unknown, a value is missing without a reason, or a curve has a step twice.
    """
    if absent := [column for column in _REQUIRED if column not in frame]:
        raise PythiaGeometryError(f"{where} has no column {', '.join(absent)}. Expected {', '.join(_REQUIRED)}")
    frame = frame.reindex(columns=list(SCHEMA)).reset_index(drop=True)
    for column in _NUMBERS:
        frame[column] = _numbers(frame[column], column, where)
    for column in (column for column, kind in SCHEMA.items() if kind == "string"):
        frame[column] = frame[column].astype("string").fillna(where if column == "source" else "")
    frame["seed"] = frame["seed"].fillna(0)
    for column in ("step", "seed"):
        if (row := _first(frame, (frame[column] % 1 != 0) | (frame[column] < 0))) is not None:
            raise PythiaGeometryError(f"{where}: {column} {frame[column][row]} of row {row} is no whole number")
    frame = recover_n(frame).astype(SCHEMA)
    _check(frame, where)
    return frame.sort_values([*CURVE, "step"], kind="stable", ignore_index=True)


def _numbers(column: pd.Series, name: str, where: str) -> pd.Series:
    try:
        return pd.to_numeric(column).astype(float)
    except (ValueError, TypeError) as error:
        raise PythiaGeometryError(f"{where}: column {name} holds something that is no number: {error}") from error


def _first(frame: pd.DataFrame, bad: pd.Series) -> int | None:
    return int(frame.index[bad][0]) if bad.any() else None


def _check(frame: pd.DataFrame, where: str) -> None:
    unused = frame["reason"] != ""
    if (row := _first(frame, ~frame["metric"].map(is_known) & ~unused)) is not None:
        raise PythiaGeometryError(
            f"{where}: unknown metric {frame['metric'][row]!r}. Known: {', '.join((*SHARES, *CONTINUOUS))}"
        )
    if (row := _first(frame, ~np.isfinite(frame["value"]) & ~unused)) is not None:
        raise PythiaGeometryError(
            f"{where}: the value of {_name(frame, row)} at step {frame['step'][row]} is not a number. "
            "Leave the row out, or say why in the column reason"
        )
    if (row := _first(frame, frame.duplicated([*CURVE, "step"]))) is not None:
        raise PythiaGeometryError(f"{where} holds step {frame['step'][row]} of {_name(frame, row)} twice")


def _name(frame: pd.DataFrame, row: int) -> str:
    return " ".join(str(frame[column][row]) for column in ("model", "probe", "task", "metric") if frame[column][row])


def is_share(metric: str) -> bool:
    """Whether a metric is a share of right items; a filter of lm-eval may follow a colon."""
    return metric.split(":")[0] in SHARES


def is_known(metric: str) -> bool:
    """Whether it is known that higher is better, and how a baseline is found."""
    return metric.split(":")[0] in (*SHARES, *CONTINUOUS)


def recover_n(frame: pd.DataFrame) -> pd.DataFrame:
    """Fills missing n from the shares and errors of the same task: n = p(1 − p)/se² + 1.

    That is what the standard error of a mean of zeros and ones implies. Where the shares of a task do not agree
    on one whole number (a group of tasks, an error of another kind), n stays missing.
    """
    p, error = frame["value"], frame["error"]
    usable = frame["n"].isna() & frame["metric"].map(is_share) & (error > 0)
    implied = (p * (1 - p) / error.where(usable) ** 2 + 1)[usable]
    task = frame[[*RUN, "probe", "task"]]
    whole = implied.round().where((implied - implied.round()).abs() < 0.01)
    found = whole.groupby([task[column][usable] for column in task], sort=False).agg(
        lambda ns: ns.iloc[0] if ns.nunique(dropna=False) == 1 else np.nan
    )
    recovered = pd.MultiIndex.from_frame(task).map(found.to_dict()) if len(found) else np.nan
    return frame.assign(n=frame["n"].fillna(pd.Series(recovered, frame.index, dtype=float)))


def _mark_same_weights(behaviour: pd.DataFrame, checkpoints: pd.DataFrame) -> pd.DataFrame:
    hashed = checkpoints[checkpoints["weight_sha256"].fillna("") != ""]
    last = hashed.groupby([*RUN, "weight_sha256"])["step"].transform("max")
    twins = hashed.assign(twin=last)[hashed["step"] != last]
    marked = behaviour.merge(twins[[*RUN, "step", "twin"]], how="left", on=[*RUN, "step"])
    told = "same weights as step " + marked["twin"].astype("Int64").astype("string")
    return marked.assign(reason=marked["reason"].mask((marked["reason"] == "") & marked["twin"].notna(), told))


def on_common_steps(geometry: pd.DataFrame, behaviour: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables cut to the steps that both hold for the same model and seed.

    Raises:
        PythiaGeometryError: If no step of any run is in both.
    """
    keys = ["model", "seed", "step"]
    common = geometry[keys].drop_duplicates().merge(behaviour[keys].drop_duplicates(), on=keys)
    if common.empty:
        raise PythiaGeometryError(
            f"No step is in both tables: geometry has {_span(geometry)}, behaviour has {_span(behaviour)}. "
            "Walk the steps that were evaluated, or pass another table"
        )
    return _cut(geometry, common, keys), _cut(behaviour, common, keys)


def _cut(frame: pd.DataFrame, common: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    kept = pd.MultiIndex.from_frame(frame[list(keys)]).isin(pd.MultiIndex.from_frame(common))
    return frame[kept].reset_index(drop=True)


def _span(frame: pd.DataFrame) -> str:
    spans = [
        f"{model}{f' seed {seed}' if seed else ''} at {rows.nunique()} steps from {rows.min()} to {rows.max()}"
        for (model, seed), rows in frame.groupby(["model", "seed"])["step"]
    ]
    return "; ".join(spans) or "no rows"

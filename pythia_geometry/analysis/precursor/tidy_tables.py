"""Anyone's tidy tables, checked and turned into curves: one training run, its tasks, their behaviour and geometry.

A run folder, or CSV and Parquet files with the columns of the README, all read by `analysis/tables/reading.py`. What a
table lacks is named by its column; a row with a reason is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pythia_geometry.analysis.curves.behaviour import from_walk, tidy
from pythia_geometry.analysis.events.same_weights import mark_same_weights
from pythia_geometry.analysis.lm_eval.published import is_published, read_published
from pythia_geometry.analysis.tables import reading as any_tables
from pythia_geometry.analysis.tables.reading import check_columns, check_numbers, read_file, unmarked
from pythia_geometry.analysis.tables.step_curves import MIN_STEPS, Array, StepCurves
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.store.run_folder import RunFolder

SHUFFLED = ":shuffled"
STILL = "no geometry: the same number at every step"
LATE_START = "five-shot: begins at step 3000; the zero-shot evaluations are used"
BEHAVIOUR = ("model", "seed", "step", "task", "metric", "value", "chance")
GEOMETRY = ("model", "seed", "step", "task", "layer", "measure", "value")

Tables = tuple[pd.DataFrame, pd.DataFrame]


@dataclass(frozen=True)
class Question:
    """What is read from the tables; all declared before geometry is seen.

    Attributes:
        measure: Name of the geometry measure; its natural logarithm is used.
        position: Where activations were read.
        continuous: The behaviour metric of the second leg: log_prob or margin.
    """

    measure: str = "rankme_centred"
    position: str = "last"
    continuous: str = "log_prob"


def read_tables(paths: Sequence[str | Path]) -> Tables:
    """Geometry and behaviour of run folders and files, joined.

    Args:
        paths: Run folders, folders of the published evaluations, or CSV and Parquet files; a file with a column
            `measure` is geometry, one with `metric` behaviour. Of steps with the same weights in a run folder all but
            the last get a reason.

    Returns:
        (geometry, behaviour); empty frames where there is none.

    Raises:
        PythiaGeometryError: If a path is neither, or a table lacks a column or holds what `check_numbers` refuses.
    """
    geometry: list[pd.DataFrame] = []
    behaviour: list[pd.DataFrame] = []
    for path in map(Path, paths):
        for found, frame in zip((geometry, behaviour), _read(path), strict=True):
            if len(frame.columns):
                found.append(frame)
    return _joined(geometry), _joined(behaviour)


def _read(path: Path) -> Tables:
    """Geometry and behaviour of one path; an empty frame for what it does not hold."""
    nothing = pd.DataFrame()
    if path.is_dir() and is_published(path):
        return nothing, _published(path)
    if path.is_dir():
        folder = RunFolder(path)
        if not folder.manifest_file.exists() or not folder.manifest():
            raise PythiaGeometryError(
                f"{path} is no run folder: it has no manifest.json. Name a run folder, or CSV or Parquet files"
            )
        tables = folder.tables()
        return mark_same_weights(tables.geometry, tables.checkpoints), from_walk(tables)
    frame = read_file(path)
    if "measure" in frame:
        check_columns(frame, GEOMETRY, f"{path}, geometry")
        check_numbers(frame, str(path))
        return frame.astype(dict.fromkeys(("step", "seed"), "int64")), nothing
    if "metric" in frame:
        check_columns(frame, BEHAVIOUR, f"{path}, behaviour")
        return nothing, tidy(frame, str(path))
    raise PythiaGeometryError(
        f"{path} has neither a column 'measure' (geometry) nor 'metric' (behaviour); it has "
        f"{', '.join(map(str, frame.columns))}. Expected one value a row, names in lower case"
    )


def _published(folder: Path) -> pd.DataFrame:
    """Published evaluations; five-shot rows, which begin at step 3000, are not used where zero-shot ones are."""
    rows = read_published(folder)
    five = rows["probe"].str.endswith("/5-shot") & rows["model"].isin(
        rows.loc[rows["probe"].str.endswith("/0-shot"), "model"]
    )
    return rows.assign(reason=rows["reason"].mask(five & (rows["reason"] == ""), LATE_START))


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def by_run(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of each training run by its name (`pythia-160m`, `pythia-160m-seed3`), with a column `key` a task.

    `key` is probe/task, or task where there is no probe; a shuffled control keeps its `:shuffled`.
    """
    return any_tables.by_run(frame.assign(key=_keys(frame)))


def _keys(frame: pd.DataFrame) -> pd.Series:
    probe = frame["probe"].astype(str) if "probe" in frame else pd.Series("", index=frame.index)
    is_shuffled = probe.str.endswith(SHUFFLED)
    key = (probe.str.removesuffix(SHUFFLED) + "/").where(probe != "", "") + frame["task"].astype(str)
    return key + np.where(is_shuffled, SHUFFLED, "")


def mark_unmeasured(behaviour: pd.DataFrame, geometry: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Behaviour, with a reason at tasks whose geometry was measured and cannot be used at a single step.

    Such as benchmarks with empty contexts: every item is read at one and the same token. No value is looked at, but
    that a task of a run has one and the same number at every step and block: it does not move, and cannot lead or not.

    Args:
        behaviour: Tidy rows.
        geometry: Tidy rows.
        measures: That are asked about; a task needs all of them.
    """
    rows = geometry[geometry["measure"].isin(measures)]
    blocks = rows["layer"].astype(str).str.startswith("resid_")
    rows = rows[blocks] if blocks.any() else rows
    rows = rows.assign(key=_keys(rows), usable=unmarked(rows) & rows["value"].notna())
    usable = rows.groupby(["key", "measure"])["usable"].any().groupby("key").all()
    why = rows[rows["key"].isin(usable.index[~usable]) & ~rows["usable"]].drop_duplicates("key").set_index("key")
    reason = "no geometry: " + why.get("reason", pd.Series("NaN at every step", index=why.index)).astype(str)
    found = reason.to_dict()
    told = pd.Series([found.get(key, "") for key in _keys(behaviour)], index=behaviour.index, dtype=object)
    told = told.mask(_stands_still(behaviour, rows[rows["usable"]]), STILL)
    if (told == "").all():
        return behaviour
    held = behaviour.get("reason", pd.Series("", index=behaviour.index)).fillna("")
    return behaviour.assign(reason=held.mask(held == "", told))


def _stands_still(behaviour: pd.DataFrame, rows: pd.DataFrame) -> pd.Series:
    """Behaviour rows of tasks whose geometry in that run is one number at every step and block."""
    values = rows[rows["value"] > 0].groupby(["key", "model", "seed", "measure"], observed=True)["value"]
    still = values.agg(lambda of_curve: len(of_curve) > 1 and of_curve.nunique() == 1)
    runs = still.index[still.to_numpy(dtype=bool)].to_frame(index=False)[["key", "model", "seed"]].astype(str)
    named = set(runs.itertuples(index=False, name=None))
    mine = zip(_keys(behaviour).astype(str), behaviour["model"].astype(str), behaviour["seed"].astype(str), strict=True)
    return pd.Series([run in named for run in mine], index=behaviour.index, dtype=bool)


def metric_rows(behaviour: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Rows of one behaviour metric.

    Raises:
        PythiaGeometryError: If there is no such metric.
    """
    return _chosen(behaviour, "metric", metric, "behaviour")


def geometry_rows(geometry: pd.DataFrame, question: Question) -> pd.DataFrame:
    """Rows of the measure at the position.

    Raises:
        PythiaGeometryError: If a column, the measure or the position is not there.
    """
    check_columns(geometry, GEOMETRY, "geometry")
    rows = _chosen(geometry, "measure", question.measure, "geometry")
    return _chosen(rows, "position", question.position, "geometry") if "position" in rows else rows


def _chosen(frame: pd.DataFrame, column: str, name: str, what: str) -> pd.DataFrame:
    rows = frame[frame[column] == name]
    if rows.empty:
        known = ", ".join(sorted(map(str, frame[column].unique())))
        raise PythiaGeometryError(f"{what} table: no {name!r} in column {column!r}. It holds {known}")
    return rows


def last_quarter(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the blocks `resid_ℓ` with ℓ > ¾ L; of the only layer where there is one.

    How it misleads: in a model of four blocks it is one block.

    Neither the embedding nor `final_norm` is a block.

    Raises:
        PythiaGeometryError: If several layers have other names.
    """
    layer = rows["layer"].astype(str)
    if layer.nunique() == 1:
        return rows
    number = pd.to_numeric(layer.str.extract(r"^resid_(\d+)$")[0])
    if number.isna().all():
        raise PythiaGeometryError(
            f"geometry table: column 'layer' holds {', '.join(sorted(layer.unique())[:6])}; expected resid_1, resid_2 "
            "… or a single layer"
        )
    is_last: pd.Series[bool] = number > 0.75 * number.max()
    return rows.loc[is_last]


def log_geometry(rows: pd.DataFrame, keys: Sequence[str], what: str) -> StepCurves:
    """Mean over layers of the logarithm of a measure [T, n], a task a row, in nats.

    How it misleads: layers that move against each other cancel.

    Raises:
        PythiaGeometryError: If a value is not above 0, or `to_curves` refuses.
    """
    rows = rows[unmarked(rows)]
    if rows.empty:
        raise PythiaGeometryError(f"{what}: no row of {', '.join(keys[:5])} is without a reason in column 'reason'")
    if (rows["value"] <= 0).any():
        raise PythiaGeometryError(f"{what}: column 'value' holds numbers that are not above 0: no logarithm")
    logs = rows.assign(value=np.log(rows["value"].astype(float)))
    per_layer = [to_curves(part, keys, f"{what}, {layer}") for layer, part in logs.groupby("layer", sort=True)]
    steps = per_layer[0].steps
    for curves in per_layer[1:]:
        steps = np.intersect1d(steps, curves.steps)
    kept = [c.values[:, np.isin(c.steps, steps)] for c in per_layer]
    return StepCurves(steps, np.mean(kept, axis=0), what)


def to_curves(rows: pd.DataFrame, keys: Sequence[str], what: str, column: str = "value") -> StepCurves:
    """One column of one run's rows as curves, a task a row, at the steps ≥ 1 where every task has a value.

    A row with a reason is not used, and leaves its step out for all tasks; NaN without a reason is refused.

    Raises:
        PythiaGeometryError: If a task is missing, a step is repeated, or fewer than 8 steps are left.
    """
    rows = rows[rows["key"].isin(keys) & (rows["step"] >= 1)]
    repeated = rows[rows.duplicated(["key", "step"])]
    if len(repeated):
        first = repeated.iloc[0]
        raise PythiaGeometryError(
            f"{what}: column 'step' repeats {first['step']} for task {first['key']}. Expected one row a task and step"
        )
    rows = rows[unmarked(rows)]
    _refuse_unexplained(rows, what, column)
    if missing := [key for key in keys if key not in set(rows["key"])]:
        raise PythiaGeometryError(f"{what}: column 'task' lacks {', '.join(missing[:5])}")
    wide = rows.pivot(index="key", columns="step", values=column).loc[list(keys)]
    whole = wide.loc[:, wide.notna().all(axis=0)].sort_index(axis=1)
    if whole.shape[1] < MIN_STEPS:
        counts = wide.notna().sum(axis=1)
        raise PythiaGeometryError(
            f"{what}: the curves do not overlap in column 'step': {whole.shape[1]} steps have a value for every task "
            f"(fewest: {counts.idxmin()} with {counts.min()}). Expected at least {MIN_STEPS}"
        )
    return StepCurves(whole.columns.to_numpy(dtype=float), whole.to_numpy(dtype=float), what)


def _refuse_unexplained(rows: pd.DataFrame, what: str, column: str) -> None:
    lost = rows[rows[column].isna()]
    if len(lost):
        first = lost.iloc[0]
        raise PythiaGeometryError(
            f"{what}: column {column!r} is NaN without a reason in {len(lost)} rows, first for task {first['key']} at "
            f"step {first['step']}. Leave the rows out, or say why in column 'reason'"
        )


def chances(rows: pd.DataFrame, keys: Sequence[str]) -> Array:
    """Highest of chance and majority rate of each task [T]; NaN where neither is known."""
    known = rows.groupby("key")[[c for c in ("chance", "majority") if c in rows]].max().max(axis=1)
    return known.reindex(list(keys)).to_numpy(dtype=float)

"""The short table at the end of a walk: floor, recovery, and when behaviour rose, one row a task.

By the rules of `rules.py` (docs/definitions.md, "Events"; assumptions A10 and A11). They describe; none of them is a
test of whether geometry leads behaviour: any two trending curves would pass for that.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events.collapse import AT_THE_EDGE, COLLAPSES, find_collapses
from pythia_geometry.analysis.events.onsets import UNTESTABLE, UP, as_curves, why_untestable
from pythia_geometry.analysis.events.rules import NEVER, baselines, leaves_baseline
from pythia_geometry.analysis.events.same_weights import mark_same_weights
from pythia_geometry.analysis.tables.reading import unmarked

FINAL_NORM = "final_norm"
RUN_TASK = ["model", "seed", "probe", "task"]
COLUMNS = [*RUN_TASK, "position", "start", "floor", "floor_step", "recovered", "recovery_step", "accuracy", "rose"]


def summarise(geometry: pd.DataFrame, behaviour: pd.DataFrame, checkpoints: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a run and task.

    How it misleads: a floor at the last step is not seen to be one; "rose" is E2, late for small gains and few items;
    and two events of one row in order are no evidence that one foretells the other.

    Args:
        geometry: The `geometry` table; RankMe after the final norm is read.
        behaviour: The `behaviour` table; accuracy is read.
        checkpoints: The `checkpoints` table: of steps with the same weights the last counts. All count without it.

    Returns:
        Columns: start, floor, floor_step (uncentred RankMe at the first step and at the minimum of its
        running median of 3); recovered and recovery_step (maximum after the floor, and the first step from which
        the curve stays halfway back to it on a log scale); accuracy at the last step; rose (the grid interval in which
        accuracy left its baseline for good, or "does not", "at the last step only" or "untestable"). NaN and empty
        where there was no collapse or recovery.

    Source: docs/definitions.md, "Events".
    """
    if checkpoints is not None:
        geometry, behaviour = (mark_same_weights(table, checkpoints) for table in (geometry, behaviour))
    rankme = _used(geometry[(geometry["measure"] == "rankme") & (geometry["layer"] == FINAL_NORM)])
    accuracy = _used(behaviour[behaviour["metric"] == "accuracy"])
    curves = {key: rows.sort_values("step") for key, rows in accuracy.groupby(RUN_TASK, sort=True)}
    rows = []
    for (*key, position), curve in rankme.groupby([*RUN_TASK, "position"], sort=True):
        row: dict[str, object] = {**dict(zip(RUN_TASK, key, strict=True)), "position": position}
        row |= _collapse(curve[curve["value"].notna()].sort_values("step"))
        if tuple(key) in curves:
            row |= _rise(curves[tuple(key)])
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _used(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows, without the values that do not count: a task of which none counts keeps its row."""
    counts = unmarked(rows) & rows["value"].notna()
    return rows.assign(value=rows["value"].where(counts))


def _collapse(curve: pd.DataFrame) -> dict[str, object]:
    """Floor and recovery of one RankMe curve."""
    step, value, error = (curve[c].to_numpy(dtype=float, na_value=np.nan) for c in ("step", "value", "error"))
    found: dict[str, object] = {"start": value[0]} if len(value) else {}
    *_, whole = find_collapses(step, value, error)
    if whole.label not in (COLLAPSES, AT_THE_EDGE):
        return found
    found |= {"floor": whole.floor, "floor_step": int(whole.floor_step)}
    if whole.recovers:
        found |= {"recovered": whole.peak, "recovery_step": int(whole.half_by)}
    return found


def _rise(rows: pd.DataFrame) -> dict[str, object]:
    """When accuracy left its baseline by two standard errors and never came back."""
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return {}
    curves, error, level = as_curves(rows, "accuracy", UP)
    base = baselines(curves.steps, curves.values, level)
    step, value = curves.steps.astype(int), curves.values[0]
    found: dict[str, object] = {"accuracy": value[-1]}
    if why_untestable(error, base)[0]:
        return found | {"rose": UNTESTABLE}
    first = int(leaves_baseline(curves.values, error, base)[0])
    if first == NEVER:
        return found | {"rose": "does not"}
    if first == len(step) - 1 and len(step) > 1:
        return found | {"rose": "at the last step only"}
    before = f"{step[first - 1]}" if first else "start"
    return found | {"rose": f"{before} – {step[first]}"}


def telling_tasks(summary: pd.DataFrame, how_many: int = 6) -> list[tuple[str, str]]:
    """(probe, task) pairs of a summary spread evenly from the first to rise to those that never do."""
    ordered = summary.assign(_when=[_when(rose) for rose in summary["rose"]]).sort_values(
        ["_when", "probe", "task"], kind="stable"
    )
    pairs = list(dict.fromkeys(zip(ordered["probe"], ordered["task"], strict=True)))
    if len(pairs) <= how_many:
        return pairs
    picks = np.linspace(0, len(pairs) - 1, how_many).round().astype(int)
    return [pairs[i] for i in picks]


def _when(rose: object) -> float:
    words = str(rose).split(" – ")
    return float(words[1]) if len(words) == 2 else np.inf

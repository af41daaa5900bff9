"""The short table at the end of a walk: floor, recovery, and when behaviour rose, one row a task.

Definitions follow the protocol notes (docs/assumptions.md A10 and A11). They describe; none of them is a
test of whether geometry leads behaviour: any two trending curves would pass for that.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events.emergence import Array, baseline, first_sustained, running_median

FINAL_NORM = "final_norm"
RUN_TASK = ["model", "seed", "probe", "task"]
MIN_DEPTH = 0.22  # a collapse is a fall by a fifth, and by three standard errors
MIN_RECOVERY = 0.1
COLUMNS = [*RUN_TASK, "position", "start", "floor", "floor_step", "recovered", "recovery_step", "accuracy", "rose"]


def summarise(geometry: pd.DataFrame, behaviour: pd.DataFrame) -> pd.DataFrame:
    """One row a run and task.

    Args:
        geometry: The `geometry` table; RankMe after the final norm is read.
        behaviour: The `behaviour` table; accuracy is read.

    Returns:
        Columns: start, floor, floor_step (uncentred RankMe at the first step and at the minimum of its
        running median of 3); recovered and recovery_step (maximum after the floor, and the first step
        halfway back to it on a log scale); accuracy at the last step; rose (the grid interval in which
        accuracy left its baseline for good, or "does not" or "at the last step only"). NaN and empty
        where there was no collapse or recovery.
    """
    rankme = geometry[(geometry["measure"] == "rankme") & (geometry["layer"] == FINAL_NORM)]
    accuracy = behaviour[behaviour["metric"] == "accuracy"]
    curves = {key: rows.sort_values("step") for key, rows in accuracy.groupby(RUN_TASK, sort=True)}
    rows = []
    for (*key, position), curve in rankme.groupby([*RUN_TASK, "position"], sort=True):
        row: dict[str, object] = {**dict(zip(RUN_TASK, key, strict=True)), "position": position}
        row |= _collapse(curve.sort_values("step").dropna(subset=["value"]))
        if tuple(key) in curves:
            row |= _rise(curves[tuple(key)].dropna(subset=["value"]))
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _collapse(curve: pd.DataFrame) -> dict[str, object]:
    """Floor and recovery of one RankMe curve."""
    if len(curve) < 3:
        return {"start": curve["value"].iloc[0]} if len(curve) else {}
    step, value = curve["step"].to_numpy(), curve["value"].to_numpy(dtype=float)
    relative_error = (curve["error"] / curve["value"]).to_numpy(dtype=float, na_value=np.nan)
    smooth = np.log(running_median(value))
    low = int(smooth.argmin())
    found: dict[str, object] = {"start": value[0]}
    # An unknown error makes the comparison false: what cannot be told from noise is no collapse.
    if not np.log(value[0]) - smooth[low] >= np.maximum(MIN_DEPTH, 3 * np.hypot(*relative_error[[0, low]])):
        return found
    found |= {"floor": float(np.exp(smooth[low])), "floor_step": int(step[low])}
    high = low + int(smooth[low:].argmax())
    if smooth[high] - smooth[low] >= np.maximum(MIN_RECOVERY, 3 * np.hypot(*relative_error[[low, high]])):
        halfway = (smooth[low] + smooth[high]) / 2
        back = low + int(np.argmax(smooth[low : high + 1] >= halfway))
        found |= {"recovered": float(np.exp(smooth[high])), "recovery_step": int(step[back])}
    return found


def _rise(curve: pd.DataFrame) -> dict[str, object]:
    """When accuracy left its baseline by two standard errors and never came back."""
    if curve.empty:
        return {}
    step, value, n = (curve[c].to_numpy(dtype=float) for c in ("step", "value", "n"))
    lower = value - 2 * agresti_coull_error(value, n)
    first = first_sustained(lower > baseline(step, value, curve["chance"].max(), curve["majority"].max()))
    found: dict[str, object] = {"accuracy": value[-1]}
    if first is None:
        return found | {"rose": "does not"}
    if first == len(step) - 1 and len(step) > 1:
        return found | {"rose": "at the last step only"}
    before = f"{int(step[first - 1])}" if first else "start"
    return found | {"rose": f"{before} – {int(step[first])}"}


def agresti_coull_error(share: Array, n: Array) -> Array:
    """Standard error of a share with two successes and two failures added: never 0 at 0 or 1."""
    p = (share * n + 2) / (n + 4)
    return np.asarray(np.sqrt(p * (1 - p) / (n + 4)))


def telling_tasks(summary: pd.DataFrame, how_many: int = 6) -> list[tuple[str, str]]:
    """(probe, task) pairs spread evenly from the first to rise to those that never do."""
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


def by_run(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Splits a table by training run."""
    for (model, seed), rows in frame.groupby(["model", "seed"], sort=True):
        yield (str(model) if seed == 0 else f"{model}-seed{seed}"), rows

"""One frame for every picture: a number by step at a site, of a run and a task.

The rows of `geometry` and `behaviour` under one set of columns; none is dropped, none is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.measures import LINEAR, MEASURES
from pythia_geometry.suites.checkpoint import run_name

ANSWERS, CHECKPOINT = "answers", "no probe"
SERIES = ["run", "what", "site", "task"]
"""What makes one curve."""
FIELDS = ["model", "seed", "depth", "step", "value", "error", "n", "ceiling", "chance", "reason", "source"]
_UNITS = {"accuracy": "share right", "exact_match": "share right", "log_prob": "nats", "margin": "nats"}


def points(geometry: pd.DataFrame, behaviour: pd.DataFrame, label: str = "") -> pd.DataFrame:
    """Geometry and behaviour in one frame.

    Args:
        geometry: The `geometry` table.
        behaviour: The `behaviour` table.
        label: Comes before the name of each run, where two folders hold the same run.

    Returns:
        Columns: run, what (measure or metric; with its position if it is not the last token, and with its settings if
        there are several), site (layer, layer and head, or `answers`), task (with its probe set), and `FIELDS`.
    """
    frames = [_of_geometry(geometry), _of_behaviour(behaviour)]
    whole = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
    whole["run"] = _named(whole, ["model", "seed"], lambda model, seed: label + run_name(model, seed))
    whole["task"] = _named(whole, ["probe", "task"], _task)
    return whole[[*SERIES, *FIELDS]]


def unit_of(what: str) -> str:
    """The name for an axis, with its unit."""
    name = what.split(" ")[0]
    unit = MEASURES[name].unit if name in MEASURES else _UNITS.get(name, "")
    return f"{what} ({unit})" if unit else what


def scale_of(what: str) -> str:
    """`log` or `linear`, as the list of measures says."""
    name = what.split(" ")[0]
    return MEASURES[name].scale if name in MEASURES else LINEAR


_FLAGS = {"task": "--tasks", "what": "--measures"}


def select(frame: pd.DataFrame, field: str, wanted: Sequence[str]) -> pd.DataFrame:
    """The rows whose field is one of those named; a task may be named without its probe set.

    Raises:
        PythiaGeometryError: If a name is not in the frame.
        KeyError: If the field is neither `task` nor `what`.
    """
    held = list(dict.fromkeys(frame[field]))
    found: list[str] = []
    for name in wanted:
        matches = [one for one in held if one == name or (field == "task" and one.rpartition("/")[2] == name)]
        if not matches:
            said = f"{_FLAGS[field]} {name!r} is not in these runs"
            raise PythiaGeometryError(f"{said}. Expected some of: {_listed(held)}")
        found += matches
    return frame[frame[field].isin(found)] if wanted else frame


def _listed(names: Sequence[str], most: int = 24) -> str:
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _of_geometry(rows: pd.DataFrame) -> pd.DataFrame:
    with_settings = {m for m, s in rows.groupby("measure")["settings"].nunique().items() if s > 1}

    def measured(measure: str, position: str, settings: str) -> str:
        at = f" at {position}" if position not in ("last", "") and not pd.isna(position) else ""
        return f"{measure}{at}" + (f" {settings}" if measure in with_settings else "")

    def place(layer: str, head: Any) -> str:
        return str(layer) if pd.isna(head) else f"{layer} head {head}"

    what = _named(rows, ["measure", "position", "settings"], measured)
    of_head = rows["head"].to_numpy(float, na_value=np.nan)
    depth = rows["layer_index"].to_numpy(float) + np.where(np.isnan(of_head), 0, (of_head + 1) / 1000)
    site = _named(rows, ["layer", "head"], place)
    return rows.assign(what=what, site=site, depth=depth, chance=np.nan, source="walk")


def _of_behaviour(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.assign(source=rows["source"].fillna(""))
    what = _named(rows, ["metric", "source"], lambda m, s: m if s in ("walk", "") else f"{m} ({s})")
    return rows.assign(what=what, site=ANSWERS, depth=-1.0, ceiling=np.nan)


def _task(probe: str, task: str) -> str:
    return "/".join(part for part in (probe, task) if not pd.isna(part) and part) or CHECKPOINT


def _named(rows: pd.DataFrame, columns: list[str], name: Callable[..., str]) -> pd.Series[Any]:
    """A name for each row, made once for all rows that are alike in these columns: a run has millions of rows."""
    alike = rows.groupby(columns, dropna=False, sort=False).ngroup().to_numpy()
    firsts = rows.loc[~rows.duplicated(columns), columns]
    names = np.array([name(*one) for one in firsts.itertuples(index=False, name=None)], dtype=object)
    return pd.Series(names[alike] if len(rows) else names, index=rows.index, dtype=object)

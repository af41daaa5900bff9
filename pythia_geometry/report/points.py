"""One frame for every picture: a number by step at a site, of a run and a task.

The rows of `geometry` and `behaviour` under one set of columns; none is dropped, none is computed.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    whole["run"] = [label + run_name(m, s) for m, s in zip(whole["model"], whole["seed"], strict=True)]
    whole["task"] = _tasks(whole)
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
    head = rows["head"].astype(object).where(rows["head"].notna(), None)
    what = [
        m + (f" at {p}" if p not in ("last", "") and not pd.isna(p) else "") + (f" {s}" if m in with_settings else "")
        for m, p, s in zip(rows["measure"], rows["position"], rows["settings"], strict=True)
    ]
    site = [f"{la}" if h is None else f"{la} head {h}" for la, h in zip(rows["layer"], head, strict=True)]
    depth = rows["layer_index"].to_numpy(float) + np.array([0 if h is None else (h + 1) / 1000 for h in head], float)
    return rows.assign(what=what, site=site, depth=depth, chance=np.nan, source="walk")


def _of_behaviour(rows: pd.DataFrame) -> pd.DataFrame:
    source = rows["source"].fillna("")
    what = [m if s in ("walk", "") else f"{m} ({s})" for m, s in zip(rows["metric"], source, strict=True)]
    return rows.assign(what=what, site=ANSWERS, depth=-1.0, ceiling=np.nan, source=source)


def _tasks(rows: pd.DataFrame) -> list[str]:
    pairs = zip(rows["probe"].fillna(""), rows["task"].fillna(""), strict=True)
    return ["/".join(part for part in pair if part) or CHECKPOINT for pair in pairs]

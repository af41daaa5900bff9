"""Curves that others scored, in place of a walk's own: the whole benchmark where a walk took a few items of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pythia_geometry.analysis.lm_eval.against import PROBE_PATTERN, nothing_in_both
from pythia_geometry.errors import PythiaGeometryError

CURVE = ["model", "seed", "task", "shots", "metric"]


def borrow(behaviour: pd.DataFrame, tasks: Mapping[str, Mapping[str, Any]], theirs: pd.DataFrame) -> pd.DataFrame:
    """A walk's behaviour with the curves of its lm-eval tasks as another table has them.

    A metric that the other side does not have (most have no log-probability) stays the walk's, and so do other tasks
    and companions. Geometry is not touched: it is of the walk's own items.

    Args:
        behaviour: The walk's table.
        tasks: By probe (`lm-eval:arc_easy/arc_easy`), what the manifest says of it: `shots`.
        theirs: Behaviour from `read_results` or `read_published`.

    Returns:
        Rows of the same columns; those that came from elsewhere carry the walk's probe, and `source` says whose they
        are.

    Raises:
        PythiaGeometryError: If the other table has no curve of any of the tasks, at their shots.

    How it misleads: the items of behaviour and geometry are no longer the same, and the steps are the other table's:
    what happened between two of them is not known.
    """
    key = behaviour["probe"].astype(str) + "/" + behaviour["task"].astype(str)
    own = behaviour[key.isin(list(tasks))]
    shots = key[own.index].map(lambda name: str(tasks[name]["shots"]))
    wanted = own.assign(shots=shots).drop_duplicates([*CURVE, "probe"])[[*CURVE, "probe", "chance"]]
    there = theirs.assign(shots=theirs["probe"].astype(str).str.extract(PROBE_PATTERN)["shots"])
    there = there.drop(columns=["probe", "chance"])
    found = _plain(there).merge(_plain(wanted), on=CURVE)
    if found.empty:
        raise PythiaGeometryError(nothing_in_both(own.assign(shots=shots), there.dropna(subset=["shots"])))
    names = [*CURVE[:3], "metric", "probe"]
    replaced = pd.MultiIndex.from_frame(_plain(behaviour, names)[names]).isin(
        pd.MultiIndex.from_frame(found[names].drop_duplicates())
    )
    columns = list(behaviour.columns)
    return pd.concat([behaviour[~replaced], found.reindex(columns=columns).astype(behaviour.dtypes)], ignore_index=True)


def _plain(rows: pd.DataFrame, names: list[str] = CURVE) -> pd.DataFrame:
    """Keys of one type on both sides."""
    return rows.astype({name: "int64" if name == "seed" else object for name in names})

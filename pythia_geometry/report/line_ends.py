"""Names at the ends of lines, pushed apart so that none covers another."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

GAP = 8.0
"""Points between two names: the size of their text."""
ROOM = 44
"""Points to the right of a panel that the names take; longer names are cut, the legend has them whole."""


def line_ends(rows: pd.DataFrame, height: float, log: bool) -> list[dict[str, Any]]:
    """Where each line's name stands: beside its last value, moved up or down by as little as keeps them apart.

    Args:
        rows: name, step, value, and low, high and chance, which stretch the axis.
        height: Of the panel, in points.
        log: Whether the axis is logarithmic.

    Returns:
        name, label (without the probe set where that is enough), step and value (of the label's place) of each.
    """
    spread = rows[["value", "low", "high", "chance"]].to_numpy(float).ravel()
    spread = spread[np.isfinite(spread) & ((spread > 0) | (not log))]
    if not spread.size or not spread.max() > spread.min():
        return []
    low, high = (math.log(v) if log else v for v in (float(spread.min()), float(spread.max())))
    last = rows.sort_values("step").groupby("name", sort=False).tail(1).sort_values("value")
    at = [((math.log(v) if log else v) - low) / (high - low) * height for v in last["value"].astype(float)]
    for i in range(1, len(at)):
        at[i] = max(at[i], at[i - 1] + GAP)
    over = max(0.0, at[-1] - height)
    for i in reversed(range(len(at))):  # those pushed over the top come down, and push in turn
        at[i] = min(at[i], height) if i == len(at) - 1 else min(at[i], at[i + 1] - GAP) if over else at[i]
    values = [low + place / height * (high - low) for place in at]
    names = [str(name) for name in last["name"]]
    short = [name.rpartition("/")[2] for name in names]
    labels = short if len(set(short)) == len(short) else names
    return [
        {"name": name, "label": label, "step": float(step), "value": math.exp(v) if log else v}
        for name, label, step, v in zip(names, labels, last["step"], values, strict=True)
    ]


def end_names(places: list[dict[str, Any]], x: Any, y: Any, color: Any) -> Any:
    """The names as a layer."""
    text = alt.Chart(alt.Data(values=places)).mark_text(align="left", dx=3, fontSize=8, limit=ROOM - 4, clip=False)
    return text.encode(x=x, y=y, text="label:N", color=color)

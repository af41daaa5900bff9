"""The same weights count once: the rule on a walk's tables."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pythia_geometry.analysis.events.rules import counts_once
from pythia_geometry.analysis.tables.reading import RUN, unmarked


def mark_same_weights(table: pd.DataFrame, checkpoints: pd.DataFrame) -> pd.DataFrame:
    """A reason for every row of a step whose weights a later step of the same run holds too (assumption A17).

    How it misleads: see `rules.counts_once`.

    Args:
        table: Geometry or behaviour with suite, model, seed, step and reason.
        checkpoints: The `checkpoints` table of the same walk.

    Returns:
        The table with reasons; a row's own reason is kept.
    """
    twins: dict[tuple[Any, ...], int] = {}
    groups: Any = checkpoints.groupby(RUN, sort=False)
    for run, points in groups:
        weights = points["weight_sha256"].astype(object).where(points["weight_sha256"].notna(), "").to_numpy()
        steps = points["step"].to_numpy(dtype=float)
        counts = counts_once(steps, weights)
        last = {name: int(step) for name, step in zip(weights[counts], steps[counts], strict=True)}
        twins |= {(*run, int(s)): last[w] for s, w in zip(steps[~counts], weights[~counts], strict=True)}
    told = {point: f"same weights as step {step}" for point, step in twins.items()}
    rows: Any = zip(*(table[column] for column in (*RUN, "step")), strict=True)
    reasons = pd.Series([told.get((*run, int(step)), pd.NA) for *run, step in rows], index=table.index, dtype=object)
    return table.assign(reason=table["reason"].mask(unmarked(table) & reasons.notna(), reasons))

"""The two onsets of every capability of every run: its attention pattern's and its behaviour's, in checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events.onsets import EMERGES, UP, onsets
from pythia_geometry.analysis.tables.reading import check_columns

UNIT = ["model", "seed", "probe", "task"]
MODEL_SITE = "model"


def paired_onsets(
    geometry: pd.DataFrame,
    behaviour: pd.DataFrame,
    metric: str,
    measure: str = "target_mass",
    head: tuple[str, int] | None = None,
) -> pd.DataFrame:
    """Pairs the half-way points (rule F50) of a head measure and a behaviour.

    Both are read at the steps that both have, and onsets are counted in these steps.

    How it misleads: the sum over all heads is the better clock. The head that ends with the largest mass is often not
    the one that was first; and a head chosen by when it jumped would have to be chosen anew in every pairing of the
    null.

    Args:
        geometry: The `geometry` table with rows of a head measure.
        behaviour: The `behaviour` table, or rows of `probability`.
        metric: Which behaviour.
        measure: Which head measure.
        head: Layer and head; the sum over all heads of the model where None.

    Returns:
        One row a unit, as `coincidence` reads them: model, seed, probe, task, cell (model, probe/task), run (seed),
        pattern and behaviour (index of the first step past each onset; NaN where it was not seen before the last step),
        pattern_by and behaviour_by (these steps).

    Raises:
        PythiaGeometryError: If a table lacks a column or holds nothing of the measure or metric.
    """
    check_columns(geometry, ("model", "seed", "task", "layer", "head", "measure", "step", "value"), "geometry")
    check_columns(behaviour, ("model", "seed", "task", "metric", "step", "value"), "behaviour")
    layer, number = head or (MODEL_SITE, None)
    rows = geometry[(geometry["measure"] == measure) & (geometry["layer"] == layer)]
    pattern = rows[rows["head"].isna() if number is None else rows["head"] == number]
    shown = behaviour[behaviour["metric"] == metric]
    check_columns(pattern, (), f"geometry, {measure} of {layer}")
    check_columns(shown, (), f"behaviour, {metric}")
    keys = [key for key in UNIT if key in pattern and key in shown]
    both = pattern[[*keys, "step"]].merge(shown[[*keys, "step"]]).drop_duplicates()
    found = [
        onset_indices(table.merge(both, on=[*keys, "step"]), keys)[[*keys, "index", "by"]].rename(
            columns={"index": name, "by": f"{name}_by"}
        )
        for table, name in ((pattern, "pattern"), (shown, "behaviour"))
    ]
    units = found[0].merge(found[1], on=keys)
    probe = units["probe"].astype(str) + "/" if "probe" in units else ""
    cell = units["model"].astype(str) + " " + probe + units["task"].astype(str)
    return units.assign(cell=cell, run=units["seed"].astype(str))


def onset_indices(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The half-way point (rule F50, upwards) of the one curve of each unit.

    Args:
        table: Rows of one measure or metric.
        keys: Columns that tell units apart.

    Returns:
        One row a unit: the keys, after and by (steps; NaN where the onset was not seen before the last step), index (of
        `by` among the unit's steps), last (its last step).

    Raises:
        PythiaGeometryError: If a unit has several curves: then it holds a step twice.
    """
    kind = "measure" if "measure" in table else "metric"
    points = table[[*keys, kind, *(column for column in _OF_A_POINT if column in table)]]
    rose = onsets(points, rules=("F50",), direction=UP)
    came = rose["label"] == EMERGES
    steps = {unit: np.sort(step.to_numpy(dtype=float)) for unit, step in points.groupby(list(keys))["step"]}
    grids = [steps[unit] for unit in rose[list(keys)].itertuples(index=False, name=None)]
    index = [float(np.searchsorted(grid, by)) for grid, by in zip(grids, rose["by"], strict=True)]
    dated: dict[str, Any] = {column: rose[column].where(came) for column in ("after", "by")}
    dated |= {"index": np.where(came, index, np.nan), "last": [grid[-1] for grid in grids]}
    return rose[list(keys)].assign(**dated)


_OF_A_POINT = ("step", "value", "error", "n", "chance", "majority", "reason", "source")

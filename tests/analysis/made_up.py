"""Made-up runs as curves and as tidy tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pythia_geometry.analysis.precursor.task_matched_lag import MatchedRun
from pythia_geometry.analysis.tables.step_curves import StepCurves
from pythia_geometry.analysis.worlds.designs import GRID_154, Design
from pythia_geometry.analysis.worlds.made_up import Drawn, draw, world

LAYERS = ("embed", "resid_1", "resid_2", "resid_3", "resid_4", "final_norm")


def make(name: str, seed: int = 0, tasks: int = 8, **about: object) -> Drawn:
    """One run of a world on Pythia's steps; tasks are spread evenly unless the design says otherwise."""
    mid = np.linspace(2.6, 4.6, tasks)
    measured = {"midpoints": mid, "gains": np.full(tasks, 0.5), "items": np.full(tasks, 1000.0), **about}
    return draw(world(name), Design(GRID_154, tasks, **measured), np.random.default_rng(seed))  # type: ignore[arg-type]


def matched(drawn: Drawn, metric: str = "accuracy") -> MatchedRun:
    return MatchedRun(StepCurves(drawn.steps, drawn.geometry), StepCurves(drawn.steps, getattr(drawn, metric)))


def behaviour_table(
    drawn: Drawn, model: str = "m", seed: int = 0, metrics: Sequence[str] = ("accuracy", "log_prob")
) -> pd.DataFrame:
    """Tidy behaviour of tasks t0, t1 … of the probe set `p`."""
    parts = []
    for metric in metrics:
        for t, curve in enumerate(getattr(drawn, metric)):
            about = {
                "model": model,
                "seed": seed,
                "probe": "p",
                "task": f"t{t}",
                "metric": metric,
                "chance": drawn.baseline[t],
            }
            parts.append(pd.DataFrame({**about, "step": drawn.steps.astype(int), "value": curve, "n": 1000}))
    return pd.concat(parts, ignore_index=True)


def geometry_table(drawn: Drawn, model: str = "m", seed: int = 0, probe: str = "p") -> pd.DataFrame:
    """Tidy RankMe: the drawn geometry in the last block, something else in the others, no value in the embedding."""
    parts = []
    for t, curve in enumerate(drawn.geometry):
        for index, layer in enumerate(LAYERS):
            value = np.exp(curve) if layer == "resid_4" else np.exp(curve[::-1])
            about = {
                "model": model,
                "seed": seed,
                "probe": probe,
                "task": f"t{t}",
                "layer": layer,
                "layer_index": index,
            }
            about |= {"measure": "rankme_centred", "position": "last", "reason": ""}
            if layer == "embed":
                value, about["reason"] = np.full(len(curve), np.nan), "all rows are the same"
            parts.append(pd.DataFrame({**about, "step": drawn.steps.astype(int), "value": value}))
    return pd.concat(parts, ignore_index=True)


def tables(name: str, seed: int = 0, companion: str = "EARLY", **about: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(geometry, behaviour) of one run, with shuffled prompts whose geometry is another world's."""
    drawn = make(name, seed, **about)  # type: ignore[arg-type]
    geometry = geometry_table(drawn)
    if companion:
        other = make(companion, seed + 1000, **about)  # type: ignore[arg-type]
        geometry = pd.concat([geometry, geometry_table(other, probe="p:shuffled")], ignore_index=True)
    return geometry, behaviour_table(drawn)

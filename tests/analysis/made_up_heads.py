"""Tables of made-up runs in which a pattern and a behaviour rise at known steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

STEPS = np.array([0, *(2**k for k in range(10)), *range(1000, 40_001, 1000)])
N = 128


def rise(at: float, width: float = 0.02, low: float = 0.02, high: float = 0.9) -> np.ndarray:
    """A curve over `STEPS` that is halfway at a step; `width` in decades."""
    x = np.log10(np.maximum(STEPS, 0.5))
    return low + (high - low) / (1 + np.exp(-(x - np.log10(at)) / width))


def tables(
    onset: Callable[[str, int, str], tuple[float, float]],
    models: tuple[str, ...] = ("pythia-160m",),
    seeds: int = 8,
    tasks: tuple[str, ...] = ("ioi_short", "resume_6", "recall_2"),
    width: float = 0.02,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Geometry and behaviour; `onset(model, seed, task)` gives the steps of pattern and behaviour."""
    geometry, behaviour = [], []
    for model in models:
        for seed in range(seeds):
            for task in tasks:
                about = {"suite": "pythia", "model": model, "seed": seed, "probe": "capabilities", "task": task}
                pattern, shown = onset(model, seed, task)
                for step, mass, p in zip(STEPS, 8 * rise(pattern, width), rise(shown, width), strict=True):
                    row = {**about, "step": step, "error": 0.01, "n": N, "reason": ""}
                    geometry.append({**row, "layer": "model", "head": None, "measure": "target_mass", "value": mass})
                    geometry.append({**row, "layer": "resid_2", "head": 3, "measure": "target_mass", "value": mass / 8})
                    behaviour.append({**row, "metric": "probability", "value": p, "chance": np.nan, "majority": np.nan})
                    behaviour.append({**row, "metric": "accuracy", "value": p, "chance": 0.1, "majority": 0.1})
    return pd.DataFrame(geometry), pd.DataFrame(behaviour)

"""The largest run that a page must hold: every step of Pythia, 25 layers, 40 tasks, 12 measures. Made up, hard to pack."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pythia_geometry.measures import MEASURES, REPRESENTATION
from pythia_geometry.store.tables import ANSWERS, BEHAVIOUR, CHECKPOINTS, GEOMETRY, Tables
from tests.report.tables import typed

STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *range(1000, 144_000, 1000))
LAYERS = ("embed", *(f"resid_{i}" for i in range(1, 24)), "final_norm")
TASKS, NUMBERS = 40, 12


def large_tables(
    steps: int = len(STEPS), layers: int = len(LAYERS), tasks: int = TASKS, numbers: int = NUMBERS
) -> Tables:
    """Values and errors with every digit random about a slow course, so that nothing of them compresses well."""
    rng = np.random.default_rng(0)
    measures = [name for name, measure in MEASURES.items() if measure.group == REPRESENTATION][:numbers]
    names = [*measures, *(f"measure_{i}" for i in range(numbers - len(measures)))]
    t, s, la, m = (a.ravel() for a in np.meshgrid(*map(np.arange, (tasks, steps, layers, numbers)), indexing="ij"))
    value = 20 * np.exp(rng.normal(size=t.size)) * (1 + la / 25) / (1 + s / 60)
    missing = rng.random(t.size) < 0.001
    frame = pd.DataFrame(
        {
            "suite": "made up", "model": "large", "seed": 0, "step": np.array(STEPS)[s], "probe": "set",
            "task": np.array([f"task_{i}" for i in range(tasks)])[t], "layer": np.array(LAYERS)[la], "layer_index": la,
            "measure": np.array(names)[m], "settings": "", "value": np.where(missing, np.nan, value),
            "error": np.where(missing, np.nan, value * np.exp(rng.normal(size=t.size)) / 50), "ceiling": 256.0,
            "n": 256, "reason": np.where(missing, "not computed", ""), "position": "last",
        }
    )  # fmt: skip
    geometry = frame.reindex(columns=list(GEOMETRY)).astype(GEOMETRY)
    return Tables(geometry, typed([], BEHAVIOUR), typed([], CHECKPOINTS), typed([], ANSWERS))

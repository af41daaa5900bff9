"""Made-up onsets of patterns and behaviours, of which it is known whether they come together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pythia_geometry.analysis.worlds.designs import MIDPOINTS


@dataclass(frozen=True)
class OnsetWorld:
    """How the onsets of made-up runs come about, in decades of steps.

    Attributes:
        name: For the table.
        coincides: Whether the behaviour follows its own pattern; otherwise each scatters by itself.
        scatter: Standard deviation over seeds of an onset around its capability's trend.
        lead: By how much the pattern's trend is earlier than the behaviour's.
        jitter: Where they coincide, the standard deviation of the behaviour about its pattern.
        speed: Standard deviation of a run's own speed, which moves all its onsets alike.
    """

    name: str
    coincides: bool
    scatter: float = 0.15
    lead: float = 0.0
    jitter: float = 0.02
    speed: float = 0.0


ONSET_WORLDS = (
    OnsetWorld("independent around a common trend", coincides=False),
    OnsetWorld("independent, pattern trend earlier", coincides=False, lead=0.2),
    OnsetWorld("independent, fast and slow runs", coincides=False, speed=0.15),
    OnsetWorld("independent, runs of very unlike speed", coincides=False, speed=0.3),
    OnsetWorld("coincident", coincides=True),
    OnsetWorld("coincident, pattern a little earlier", coincides=True, lead=0.05),
    OnsetWorld("coincident, fast and slow runs", coincides=True, speed=0.15),
)


def draw_units(
    world: OnsetWorld, n_runs: int, n_cells: int, steps: NDArray[np.float64], rng: np.random.Generator
) -> pd.DataFrame:
    """The units of one made-up suite, as `coincidence` reads them."""
    shape = (n_cells, n_runs)
    trend = rng.uniform(*MIDPOINTS, (n_cells, 1)) + world.speed * rng.normal(size=(1, n_runs))
    pattern = trend + world.scatter * rng.normal(size=shape)
    own = world.jitter * rng.normal(size=shape)
    behaviour = pattern + own if world.coincides else trend + world.scatter * rng.normal(size=shape)
    cells, runs = np.indices(shape)
    columns = {"cell": cells.ravel().astype(str), "run": runs.ravel().astype(str)}
    onsets = {"pattern": pattern - world.lead, "behaviour": behaviour}
    found = {name: _on_grid(times.ravel(), steps) for name, times in onsets.items()}
    by = {f"{name}_by": _steps_of(index, steps) for name, index in found.items()}
    return pd.DataFrame(columns | found | by)


def _on_grid(times: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Index of the first checkpoint past each onset; NaN past the last."""
    index = np.searchsorted(steps, 10.0**times).astype(float)
    return np.where(index < len(steps), index, np.nan)


def _steps_of(index: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(index)
    return np.where(known, steps[np.where(known, index, 0).astype(int)], np.nan)

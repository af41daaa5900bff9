"""How often the coincidence test says "coincides" where the truth is known, by number of seeds.

Onsets are drawn around a trend that pattern and behaviour have in common (the same schedule, the same difficulty), and
read on a grid of checkpoints like real ones. Shuffled pairs would prove nothing: for them the test is exact by
construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pythia_geometry.analysis.events.coincidence import COINCIDES, NOT_TESTABLE, coincidence
from pythia_geometry.analysis.events.rules import share_error
from pythia_geometry.analysis.worlds.designs import GRID_154, MIDPOINTS
from pythia_geometry.errors import PythiaGeometryError

PERMUTATIONS = 199


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
    OnsetWorld("coincident", coincides=True),
    OnsetWorld("coincident, pattern a little earlier", coincides=True, lead=0.05),
    OnsetWorld("coincident, fast and slow runs", coincides=True, speed=0.15),
)


def coincidence_rates(
    seeds: Sequence[int] = (4, 6, 8, 10),
    worlds: Sequence[OnsetWorld] = ONSET_WORLDS,
    n_cells: int = 4,
    draws: int = 200,
    steps: NDArray[np.float64] = GRID_154,
    seed: int = 0,
) -> pd.DataFrame:
    """False-positive rate and power of `coincidence` by number of seeds.

    Args:
        seeds: Runs of each capability.
        worlds: Truths to draw from.
        n_cells: Capabilities of a run.
        draws: Made-up suites a number of seeds and world.
        steps: The grid of checkpoints.
        seed: Of the draws.

    Returns:
        One row a world and number of seeds: world, seeds, cells, rate (share called coincident), se, testable (share
        that could be tested), draws.

    Raises:
        PythiaGeometryError: If there is nothing to draw.
    """
    if draws < 1 or n_cells < 1 or min(seeds, default=0) < 1:
        raise PythiaGeometryError("coincidence_rates needs at least 1 draw, 1 capability and 1 seed")
    rows = []
    for number, world in enumerate(worlds):
        for n in seeds:
            rng = np.random.default_rng([seed, number, n])
            drawn = [draw_units(world, n, n_cells, steps, rng) for _ in range(draws)]
            labels = [coincidence(one, draws=PERMUTATIONS, seed=i).label for i, one in enumerate(drawn)]
            rate = labels.count(COINCIDES) / draws
            error = float(share_error(np.array([rate]), np.array([draws]))[0])
            testable = 1 - labels.count(NOT_TESTABLE) / draws
            rows.append([world.name, n, n_cells, rate, error, testable, draws])
    return pd.DataFrame(rows, columns=["world", "seeds", "cells", "rate", "se", "testable", "draws"])


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
    return pd.DataFrame(columns | {name: _on_grid(times.ravel(), steps) for name, times in onsets.items()})


def _on_grid(times: NDArray[np.float64], steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Index of the first checkpoint past each onset; NaN past the last."""
    index = np.searchsorted(steps, 10.0**times).astype(float)
    return np.where(index < len(steps), index, np.nan)

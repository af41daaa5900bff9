"""How often the coincidence test says "coincides" where the truth is known, by number of seeds.

Onsets are drawn around a trend that pattern and behaviour have in common (the same schedule, the same difficulty), and
read on a grid of checkpoints like real ones. Shuffled pairs would prove nothing: for them the test is exact by
construction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pythia_geometry.analysis.events.coincidence import COINCIDES, NOT_TESTABLE, coincidence
from pythia_geometry.analysis.events.rules import share_error
from pythia_geometry.analysis.worlds.designs import GRID_154
from pythia_geometry.analysis.worlds.onset_worlds import ONSET_WORLDS, OnsetWorld, draw_units
from pythia_geometry.errors import PythiaGeometryError

PERMUTATIONS = 199


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

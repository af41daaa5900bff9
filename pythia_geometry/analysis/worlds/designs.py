"""What a made-up training run is made of: steps, tasks, and the ranges that the worlds draw from.

docs/definitions.md, "Worlds". Ranges that nobody has measured are marked *; none was changed after a rate was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rng = np.random.Generator

GRID_154 = np.array([2.0**k for k in range(10)] + [1000.0 * k for k in range(1, 144)])
GRID_27 = np.array([2.0**k for k in range(10)] + [1000.0, 3000.0] + [1000.0 * k for k in range(13, 144, 10)])
"""Pythia's own and the published evaluations' steps; step 0, which equals step 1, has no place on a log axis."""
EVAL_ITEMS = (5153, 2376, 1838, 1267, 1172, 1000, 651, 104)  # sizes of the published evaluations' tasks
MIDPOINTS = (2.4, 4.8)  # log10(step) of behaviour's midpoints where none are measured
COLLAPSE = 1.8
FAMILY_SPREAD = 0.1  # decades, between the levels of a family


@dataclass(frozen=True)
class Shape:
    """Ranges of the generator's numbers; those marked * are choices, the others as measured on Pythia."""

    width: tuple[float, float] = (0.25, 0.45)
    gain: tuple[float, float] = (0.12, 0.60)
    baseline: tuple[float, float] = (0.2, 0.5)  # *
    depth: tuple[float, float] = (1.5, 3.0)  # * D, one a run
    rise: tuple[float, float] = (0.4, 1.2)  # * U, one a task
    recovery_width: tuple[float, float] = (0.15, 0.35)  # * w_g
    compression: tuple[float, float] = (0.0, 0.3)  # * ln units lost from step 30,000 to 143,000, one a run
    own_noise: float = 0.03
    shared_noise: float = 0.018
    persistence: float = 0.5  # * of the AR(1) noise, from one checkpoint to the next
    wander: float = 0.3  # * standard deviation that the random walk gains in a decade


@dataclass(frozen=True)
class Design:
    """What a user's run fixes before geometry is looked at: steps, tasks, and when each task's behaviour rises.

    Args:
        steps: Optimiser steps [n], from 1 on.
        n_tasks: Tasks.
        midpoints: log10(step) at which each task is halfway [T]; drawn anew for each run where None.
        baselines: Accuracy of each task before its rise [T]; drawn where None.
        gains: Rise of each task's accuracy [T]; drawn where None.
        items: Items of each task [T]; drawn from the released tasks' sizes where None.
        levels: Tasks come in families of so many levels (COPY1, COPY2, COPY3), which share their timing, behaviour's
            and unrelated geometry's, up to .1 decade. 1: every task on its own.
    """

    steps: Array = field(default_factory=lambda: GRID_154)
    n_tasks: int = 8
    midpoints: Array | None = None
    baselines: Array | None = None
    gains: Array | None = None
    items: Array | None = None
    levels: int = 1

    @property
    def collapse(self) -> float:
        """log10(step) of the shared collapse: .6 decades before the earliest midpoint can lie, at most 1.8."""
        return COLLAPSE if self.midpoints is None else min(COLLAPSE, float(self.midpoints.min()) - 0.6)


def by_family(low: float, high: float, design: Design, rng: Rng) -> Array:
    """A time for each task, uniform; levels of a family lie about one time."""
    if design.levels == 1:
        return rng.uniform(low, high, design.n_tasks)
    families = rng.uniform(low, high, -(-design.n_tasks // design.levels))
    times = np.repeat(families, design.levels)[: design.n_tasks]
    return np.asarray(times + rng.normal(0, FAMILY_SPREAD, design.n_tasks))

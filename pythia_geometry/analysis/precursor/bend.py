"""How bent would the measure have to be to explain a lead? Timing alone cannot tell a lead from a concave scale.

A geometry that is a concave function of what behaviour shows moves earlier *in its own range* without moving earlier.
No test of timing can tell the two apart, so every lead is shown with the smallest bend that would explain it: the own
range of each task's geometry, from its floor to its peak, r in [0, 1], is replaced by r^e, and e grows until the legs
no longer lead. After the peak r stays 1: what geometry loses again later says nothing of when it came.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pythia_geometry.analysis.precursor.task_matched_lag import LEVEL, Families, MatchedRun, task_matched_lag
from pythia_geometry.analysis.tables.step_curves import StepCurves, running_median

EXPONENTS = (1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
BEND_LINE = 3.0


def bent(geometry: StepCurves, exponent: float) -> StepCurves:
    """Each curve's own range from its floor to its peak, to a power; 0 before the floor, 1 after the peak."""
    curve, place = running_median(geometry.values), np.arange(geometry.values.shape[1])
    after = place >= curve.argmin(axis=1)[:, None]
    risen = np.where(after, curve, -np.inf)
    floor, top = curve.min(axis=1, keepdims=True), risen.max(axis=1, keepdims=True)
    share = np.clip((geometry.values - floor) / np.where(top > floor, top - floor, 1.0), 0.0, 1.0)
    share = np.where(place > risen.argmax(axis=1)[:, None], 1.0, share)
    return StepCurves(geometry.steps, np.where(after, share, 0.0) ** exponent, geometry.what)


def explaining_bend(
    legs: Sequence[Sequence[MatchedRun]], seed: int, families: Families = None, to_the_line: bool = False
) -> float:
    """The smallest exponent of `EXPONENTS` at which not all legs lead; infinity where none of them ends the lead.

    How it misleads: it speaks of power laws of the own range. Another concave scale, such as a logarithm, may need
    more or less.

    Args:
        legs: By metric, the runs of `task_matched_lag`, all of which lead at exponent 1.
        seed: Of permutations and bootstraps.
        families: As for `task_matched_lag`.
        to_the_line: Whether exponents from the line on are not tried; the answer is then infinity.
    """
    for exponent in EXPONENTS:
        if to_the_line and exponent >= BEND_LINE:
            break
        for runs in legs:
            moved = [MatchedRun(bent(run.geometry, exponent), run.behaviour) for run in runs]
            if task_matched_lag(moved, seed, families).p > LEVEL:
                return exponent
    return float("inf")

"""The mean of a score over prompts, with its standard error, and a reason where there is none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.attention.pattern import Array
from pythia_geometry.geometry.cloud import Estimate, unknown

NON_FINITE = "non-finite attention"


def mean_over_prompts(values: Array, present: NDArray[np.bool_], absent: str, ceiling: float = 1.0) -> Estimate:
    """The mean over the prompts that have something to score; its n says how many those are.

    Args:
        values: One number a prompt [N].
        present: Whether the prompt has something to score [N].
        absent: Why one has not.
        ceiling: The largest value.
    """
    n, left_out = int(present.sum()), int((~present).sum())
    if n < 2:
        absence = f"{absent} in {left_out} of {len(values)} prompts" if left_out else ""
        return unknown(n, ceiling, absence or f"{n} prompt; an error needs at least 2")
    known = values[present]
    bad = int((~np.isfinite(known)).sum())
    if bad:
        return unknown(n, ceiling, f"{NON_FINITE} in {bad} of {n} prompts")
    return Estimate(float(known.mean()), float(known.std(ddof=1) / np.sqrt(n)), ceiling, n)

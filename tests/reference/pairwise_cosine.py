"""Anisotropy by a loop over all pairs of rows."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def anisotropy(z: Array) -> float:
    """Mean of cos(z_i, z_j) over i < j."""
    cosines = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in itertools.combinations(z, 2)]
    return float(np.mean(cosines))

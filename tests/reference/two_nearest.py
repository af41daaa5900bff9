"""TwoNN by a double loop over the points."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def twonn(z: Array) -> float:
    """(m − 1) / Σ log(r₂/r₁) over the m distinct rows."""
    points = [np.array(row) for row in sorted({tuple(row) for row in z})]
    total = 0.0
    for i, here in enumerate(points):
        nearest = second = math.inf
        for j, there in enumerate(points):
            distance = math.sqrt(((here - there) ** 2).sum())
            if i == j or distance >= second:
                continue
            nearest, second = sorted((nearest, distance))
        total += math.log(second / nearest)
    return (len(points) - 1) / total

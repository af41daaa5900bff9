"""Standard errors by leaving out one row at a time and computing everything anew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def delete_one_error(value: Callable[..., float], *clouds: Array) -> float:
    """√((n − 1)/n Σ (v_i − v̄)²) over v_i = value(clouds without row i), the same row left out of each."""
    n = len(clouds[0])
    values = np.array([value(*(np.delete(cloud, i, axis=0) for cloud in clouds)) for i in range(n)])
    return float(np.sqrt((n - 1) / n * ((values - values.mean()) ** 2).sum()))

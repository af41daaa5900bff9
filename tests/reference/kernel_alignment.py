"""Linear CKA from its definition, with the centring matrix written out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def linear_cka(x: Array, y: Array) -> float:
    """tr(KH LH) / √(tr(KH KH) tr(LH LH)) with K = x xᵀ, L = y yᵀ and H = I − 1/n."""
    n = len(x)
    h = np.eye(n) - np.full((n, n), 1 / n)
    return float(_hsic(x @ x.T, y @ y.T, h) / np.sqrt(_hsic(x @ x.T, x @ x.T, h) * _hsic(y @ y.T, y @ y.T, h)))


def _hsic(k: Array, m: Array, h: Array) -> float:
    """(n − 1)² times the Hilbert-Schmidt independence criterion, tr(K H L H)."""
    return float(np.trace(k @ h @ m @ h))

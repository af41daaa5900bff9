"""Unbiased HSIC as a sum over all quadruples of different rows, and what else compares two clouds, the slow way."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def debiased_cka(x: Array, y: Array) -> float:
    """CKA of three U-statistics; a cost of n⁴."""
    k, m = x @ x.T, y @ y.T
    return float(_hsic(k, m) / np.sqrt(_hsic(k, k) * _hsic(m, m)))


def procrustes(x: Array, y: Array) -> float:
    """1 − half the squared distance after scipy's best rotation of unit-norm clouds."""
    from scipy.linalg import orthogonal_procrustes

    a, b = (z - z.mean(axis=0) for z in (x, y))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    width = max(a.shape[1], b.shape[1])
    a, b = (np.pad(z, ((0, 0), (0, width - z.shape[1]))) for z in (a, b))
    rotation, _ = orthogonal_procrustes(a, b)
    return float(1 - np.linalg.norm(a @ rotation - b) ** 2 / 2)


def neighbourhood_overlap(x: Array, y: Array, neighbours: int) -> float:
    """Neighbours one row at a time."""
    shares = []
    for i in range(len(x)):
        near = [
            set(
                sorted((j for j in range(len(z)) if j != i), key=lambda j: float(np.linalg.norm(z[i] - z[j])))[
                    :neighbours
                ]
            )
            for z in (x, y)
        ]
        shares.append(len(near[0] & near[1]) / neighbours)
    return float(np.mean(shares))


def _hsic(k: Array, m: Array) -> float:
    total = 0.0
    for i, j, q, r in permutations(range(len(k)), 4):
        total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
    return total

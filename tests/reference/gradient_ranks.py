"""Ranks and noise of gradients [n, P] from the definitions, with the P × P matrices written out."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def fisher_rank(g: Array) -> float:
    """exp of the entropy of the eigenvalues of (1/n) Σ g gᵀ."""
    return _entropy_rank(np.linalg.eigvalsh(g.T @ g / len(g)))


def covariance_rank(g: Array) -> float:
    """The same of the covariance."""
    return _entropy_rank(np.linalg.eigvalsh(np.cov(g, rowvar=False)))


def gradient_rank_unit(g: Array) -> float:
    """The same of gradients divided by their lengths."""
    return fisher_rank(np.array([row / np.linalg.norm(row) for row in g]))


def gradient_participation(g: Array) -> float:
    """Pairs of different examples, one after the other."""
    pairs = list(permutations(range(len(g)), 2))
    return sum((g[i] @ g[i]) * (g[j] @ g[j]) for i, j in pairs) / sum((g[i] @ g[j]) ** 2 for i, j in pairs)


def gradient_cosine(g: Array) -> float:
    """Mean cosine over pairs of different examples."""
    pairs = permutations(range(len(g)), 2)
    return float(np.mean([g[i] @ g[j] / np.linalg.norm(g[i]) / np.linalg.norm(g[j]) for i, j in pairs]))


def noise_scale(g: Array) -> float:
    """Trace of the covariance over the unbiased squared norm of the mean."""
    trace = np.trace(np.atleast_2d(np.cov(g, rowvar=False)))
    return float(trace / (np.square(g.mean(axis=0)).sum() - trace / len(g)))


def gradient_largest_share(g: Array) -> float:
    """Largest squared length over their sum."""
    squares = (g**2).sum(axis=1)
    return float(squares.max() / squares.sum())


def _entropy_rank(values: Array) -> float:
    p = values[values > 1e-12 * values.max()] / values[values > 1e-12 * values.max()].sum()
    return float(np.exp(-(p * np.log(p)).sum()))

"""Clouds of points with a known shape; every one takes a seeded generator, so that a failure repeats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Generator = np.random.Generator


def isotropic(rng: Generator, n: int, d: int) -> Array:
    """Standard normal noise [n, d]: no direction is special."""
    return rng.normal(size=(n, d))


def gaussian_power_law(rng: Generator, n: int, d: int, exponent: float) -> Array:
    """Gaussian rows [n, d] whose k-th coordinate has standard deviation k^-exponent."""
    return rng.normal(size=(n, d)) * np.arange(1.0, d + 1) ** -exponent


def exact_spectrum(rng: Generator, n: int, d: int, sigma: Array) -> Array:
    """An array [n, d] with these singular values, in random directions on both sides."""
    k = len(sigma)
    return (orthonormal(rng, n, k) * sigma) @ orthonormal(rng, d, k).T


def power_law_spectrum(rng: Generator, n: int, d: int, exponent: float) -> Array:
    """An array [n, d] whose k-th singular value is k^-exponent."""
    return exact_spectrum(rng, n, d, np.arange(1.0, min(n, d) + 1) ** -exponent)


def clusters(rng: Generator, n: int, d: int, count: int = 8, spread: float = 0.3) -> Array:
    """Rows [n, d] around `count` random centres, each row `spread` as wide as the centres."""
    return rng.normal(size=(count, d))[rng.integers(0, count, n)] + spread * rng.normal(size=(n, d))


def heavy_tailed(rng: Generator, n: int, d: int, freedom: float) -> Array:
    """Rows [n, d] of a multivariate Student t with power-law coordinates: some rows are many times longer."""
    lengths = np.sqrt(freedom / rng.chisquare(freedom, size=(n, 1)))
    return lengths * gaussian_power_law(rng, n, d, 0.5)


def ball(rng: Generator, n: int, dimension: int, d: int) -> Array:
    """Points [n, d] uniform in a ball of `dimension`, turned into a random place of d-dimensional space."""
    directions = rng.normal(size=(n, dimension))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = directions * rng.random((n, 1)) ** (1 / dimension)
    return points @ orthonormal(rng, d, dimension).T + rng.normal(size=d)


def orthonormal(rng: Generator, d: int, k: int) -> Array:
    """k orthonormal columns [d, k], uniformly at random."""
    return np.linalg.qr(rng.normal(size=(d, k)))[0]

"""The distribution of a matrix's entries: shape and scale of a Weibull law fitted to their sizes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pythia_geometry.geometry.cloud import Estimate, unknown

_DROPPED_BITS = 13  # of a float32: bins are 2^-10 of a value wide
_HALF_BIN = 1 << (_DROPPED_BITS - 1)
_NEWTON_STEPS = 50
_AT_ONCE = 1 << 20


def weibull(weights: ArrayLike) -> Mapping[str, Estimate]:
    """Shape k and scale λ of the Weibull law p(w) ∝ (w/λ)^(k−1) exp(−(w/λ)^k) of |w|, by maximum likelihood.

    Range above 0; the shape has no unit, the scale is a weight's. Gaussian entries of standard deviation s give
    k = 1.26 and λ = .86 s (they follow no Weibull law: the fit is the nearest one). k falls as the tail grows heavier.

    How it misleads: entries are not independent draws, so the errors, which treat them so, are far too small; zeros are
    left out, and float16 files round small weights to a grid. Other fits give other shapes (the source's 1.20 for
    Gaussian entries): compare values of one fit only.

    Args:
        weights: All entries of one matrix, any shape.

    Returns:
        `weibull_shape` and `weibull_scale`, with likelihood errors; their n counts the entries that are not 0.

    Source: arXiv 2605.18898 for the use; likelihood equation as in any textbook, on the entries' first eleven bits.

    Example:
        >>> found = weibull(np.random.default_rng(0).weibull(1.5, 100_000))
        >>> round(found["weibull_shape"].value, 2), round(found["weibull_scale"].value, 2)
        (1.5, 1.0)
    """
    sizes = np.abs(np.asarray(weights, dtype=np.float32)).ravel()
    n, inf = int(np.count_nonzero(sizes)), float("inf")
    fault = "non-finite weights" if not np.isfinite(sizes).all() else "" if n else "all weights are zero"
    if fault:
        return {name: unknown(len(sizes), inf, fault) for name in ("weibull_shape", "weibull_scale")}
    places, counts = _binned(sizes)
    logs = np.log(places)
    if len(logs) < 3:
        fault = "all weights have the same size"
        return {name: unknown(n, inf, fault) for name in ("weibull_shape", "weibull_scale")}
    shape = _shape(logs - logs.max(), counts / n)
    scale = float(np.exp(logs.max() + np.log((counts / n) @ np.exp(shape * (logs - logs.max()))) / shape))
    # Fisher information of the Weibull law: var k = .608 k²/n, var ln λ = 1.109/(n k²).
    errors = (shape * np.sqrt(0.6079 / n), scale * np.sqrt(1.1087 / n) / shape)
    return {
        "weibull_shape": Estimate(shape, float(errors[0]), inf, n),
        "weibull_scale": Estimate(scale, float(errors[1]), inf, n),
    }


def _binned(sizes: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles and counts of the bins that a float32's first bits make; a million logarithms become a few thousand."""
    counts = np.zeros(1 << (31 - _DROPPED_BITS), dtype=np.int64)
    for start in range(0, len(sizes), _AT_ONCE):  # what fits the cache
        bits = sizes[start : start + _AT_ONCE].view(np.int32) >> _DROPPED_BITS
        counts += np.bincount(bits, minlength=len(counts))
    counts[0] -= np.count_nonzero(sizes == 0)
    used = np.flatnonzero(counts)
    middles = ((used << _DROPPED_BITS) + _HALF_BIN).astype(np.int32).view(np.float32)
    return middles.astype(np.float64), counts[used].astype(np.float64)


def _shape(logs: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    """The root of Σ w^k ln w / Σ w^k − 1/k = mean ln w, by Newton's method from the spread of the logarithms."""
    mean = shares @ logs
    k = float(np.pi / np.sqrt(6 * (shares @ (logs - mean) ** 2)))
    for _ in range(_NEWTON_STEPS):
        powers = shares * np.exp(k * logs)
        total = powers.sum()
        first, second = powers @ logs / total, powers @ logs**2 / total
        change = (first - 1 / k - mean) / (second - first**2 + 1 / k**2)
        k = max(k - change, k / 4)
        if abs(change) < 1e-10 * k:
            break
    return float(k)

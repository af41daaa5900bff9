"""Slow twins of what is fitted to spectra and entries: each definition, straight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import weibull_min

Array = NDArray[np.float64]


def alpha_req(z: Array, first: int, last: int) -> float:
    """Minus the slope of a line through ln λ_i and ln i, λ the eigenvalues of the covariance."""
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(z.T)))[::-1][first - 1 : last]
    return -float(np.polyfit(np.log(np.arange(first, last + 1)), np.log(eigenvalues), 1)[0])


def tail_exponent(eigenvalues: Array, fewest: int) -> tuple[float, int]:
    """Every tail is fitted by maximum likelihood; the one with the smallest Kolmogorov-Smirnov distance is taken."""
    ordered = np.sort(eigenvalues)
    best = (np.inf, np.nan, 0)
    for start in range(len(ordered) - fewest + 1):
        tail = ordered[start:]
        alpha = 1 + len(tail) / sum(np.log(x / tail[0]) for x in tail)
        distance = 0.0
        for i, x in enumerate(tail):
            fitted = 1 - (x / tail[0]) ** (1 - alpha)
            distance = max(distance, abs((i + 1) / len(tail) - fitted), abs(i / len(tail) - fitted))
        if distance < best[0]:
            best = (distance, alpha, len(tail))
    return float(best[1]), best[2]


def weibull(entries: Array) -> tuple[float, float]:
    """Shape and scale by scipy's maximum likelihood."""
    shape, _, scale = weibull_min.fit(np.abs(entries[entries != 0]).ravel(), floc=0)
    return float(shape), float(scale)


def updates(before: dict[str, Array], now: dict[str, Array], after: dict[str, Array]) -> tuple[float, float, float]:
    """Size, relative size and cosine of moves, from all weights as one vector."""
    one, two, three = (np.concatenate([t[name].ravel() for name in sorted(t)]) for t in (before, now, after))
    size = float(np.linalg.norm(two - one))
    cosine = float((two - one) @ (three - two) / (size * np.linalg.norm(three - two)))
    return size, size / float(np.linalg.norm(one)), cosine

"""What the spectrum of isotropic noise must give when n and d are large, from the Marchenko-Pastur law."""

from __future__ import annotations

import numpy as np


def rankme_of_noise(n: int, d: int, points: int = 200_000) -> float:
    """k E[s] exp(−E[s log s] / E[s]) over the singular values s of n × d noise, k = min(n, d)."""
    small, large = sorted((n, d))
    ratio = small / large
    low, high = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2
    angle = (np.arange(points) + 0.5) * np.pi / points
    eigenvalue = (low + high) / 2 + (high - low) / 2 * np.cos(angle)
    weight = ((high - low) / 2 * np.sin(angle)) ** 2 / eigenvalue
    weight /= weight.sum()
    s = np.sqrt(eigenvalue)
    mean = weight @ s
    return float(small * mean * np.exp(-(weight @ (s * np.log(s))) / mean))


def participation_ratio_of_noise(n: int, d: int) -> float:
    """nd / (n + d): (tr C)² / tr C² with tr C² = d + d²/n."""
    return n * d / (n + d)


def stable_rank_of_noise(n: int, d: int) -> float:
    """nd / (√n + √d)²: the largest singular value sits at the edge of the law."""
    return float(n * d / (np.sqrt(n) + np.sqrt(d)) ** 2)


def linear_cka_of_noise(n: int, d: int) -> float:
    """d / (n + d) for two unrelated clouds: the bias of CKA."""
    return d / (n + d)

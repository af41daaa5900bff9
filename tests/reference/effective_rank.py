"""Effective ranks by a float64 SVD of the array itself, the slow and exact way, one line of formula each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rankme(z: Array) -> float:
    """exp(−Σ p log p) with p = σ/Σσ; singular values of exactly zero contribute nothing."""
    return _entropy_rank(np.linalg.svd(z, compute_uv=False))


def rankme_centred(z: Array) -> float:
    """RankMe of z − mean(z), whose smallest of min(n, d) singular values is zero where n ≤ d."""
    n, d = z.shape
    return _entropy_rank(np.linalg.svd(z - z.mean(axis=0), compute_uv=False)[: min(n - 1, d)])


def rankme_rownorm(z: Array) -> float:
    """RankMe of the rows divided by their lengths."""
    return rankme(np.array([row / np.linalg.norm(row) for row in z]))


def participation_ratio(z: Array) -> float:
    """(tr C)² / tr C² of the d × d covariance C of the rows."""
    covariance = np.atleast_2d(np.cov(z, rowvar=False))
    return float(np.trace(covariance) ** 2 / np.trace(covariance @ covariance))


def stable_rank(z: Array) -> float:
    """‖z‖_F² / ‖z‖₂²."""
    return float((np.linalg.norm(z, "fro") / np.linalg.norm(z, 2)) ** 2)


def _entropy_rank(sigma: NDArray[np.floating]) -> float:
    p = sigma[sigma > 0] / sigma.sum()
    return float(np.exp(-sum(share * np.log(share) for share in p)))

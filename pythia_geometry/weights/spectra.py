"""Singular values of one weight matrix: how many directions it uses, how large it is, how heavy its tail.

Nothing is sampled here: where an estimate's error is 0 the number is exact, up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg.blas import dsyrk

from pythia_geometry.geometry.cloud import Array, Estimate, unknown

_ROWS_AT_ONCE = 4096
_FEWEST_IN_TAIL = 10
_ROUNDING = 1e-7  # of the largest singular value: what a float64 Gram matrix and float32 weights leave of 0
_EVEN = 1e-5  # spread of ln λ that float32 weights have by rounding


def singular_values(matrix: ArrayLike) -> Array:
    """All min(m, n) singular values, descending, from the float64 Gram matrix of the smaller side.

    An unembedding of 50,304 × 768 takes its 768 × 768 Gram matrix, a few thousand rows at a time.

    Raises:
        ValueError: If it is not a matrix.
    """
    w = np.asarray(matrix)
    if w.ndim != 2 or min(w.shape) == 0:
        raise ValueError(f"needs a matrix; got shape {w.shape}")
    tall = w if w.shape[0] >= w.shape[1] else w.T
    gram = np.zeros((tall.shape[1], tall.shape[1]), order="F")
    for start in range(0, len(tall), _ROWS_AT_ONCE):
        rows = np.asarray(tall[start : start + _ROWS_AT_ONCE], dtype=np.float64)
        gram = dsyrk(1.0, rows.T, beta=1.0, c=gram, overwrite_c=1, lower=1)
    if not np.isfinite(gram).all():
        return np.full(tall.shape[1], np.nan)
    values = np.linalg.eigvalsh(gram, UPLO="L")[::-1]
    return np.asarray(np.sqrt(np.clip(values, 0.0, None)))


def spectrum_measures(matrix: ArrayLike) -> Mapping[str, Estimate]:
    """Every number of this file of one matrix, from one decomposition, by the name it has in the tables."""
    sigma = singular_values(matrix)
    return {
        "weight_rank": effective_rank(sigma),
        "weight_stable_rank": stable_rank(sigma),
        "weight_norm": frobenius_norm(sigma),
        "weight_spectral_norm": spectral_norm(sigma),
        "weight_tail": tail_exponent(sigma),
    }


def effective_rank(sigma: ArrayLike) -> Estimate:
    """Effective rank: exp(−Σ p log p) with p = σ/Σσ. Range 1 … min(m, n); no unit.

    Of the unembedding it is `unembedding_rank` in the tables.

    How it misleads: a random matrix has nearly full rank, so training lowers it from the start whatever is learnt; it
    follows batch size and weight decay more than performance (arXiv 2602.20433, 108 models: no such number predicts
    downstream reliably). Singular values under 1e-7 of the largest are rounding, and count for nothing.

    Args:
        sigma: Singular values.

    Source: Roy and Vetterli 2007; of the unembedding in arXiv 2602.20433.

    Example:
        >>> round(effective_rank([2.0, 2.0, 2.0, 0.0]).value, 6)
        3.0
    """
    values = _checked(sigma)
    if isinstance(values, Estimate):
        return values
    p = values[values > 0] / values.sum()
    return Estimate(float(np.exp(-(p * np.log(p)).sum())), 0.0, float(len(values)), len(values))


def stable_rank(sigma: ArrayLike) -> Estimate:
    """Stable rank ‖W‖_F² / ‖W‖₂². Range 1 … min(m, n); no unit.

    How it misleads: one outlier alone, such as a mean row of an embedding, brings it to 1.

    Args:
        sigma: Singular values.

    Source: Rudelson and Vershynin 2007, section 1.

    Example:
        >>> stable_rank([2.0, 1.0, 1.0]).value
        1.5
    """
    values = _checked(sigma)
    if isinstance(values, Estimate):
        return values
    return Estimate(float((values**2).sum() / values[0] ** 2), 0.0, float(len(values)), len(values))


def frobenius_norm(sigma: ArrayLike) -> Estimate:
    """‖W‖_F, the length of all entries. Range 0 or more; the unit is that of a weight.

    How it misleads: it follows the schedule of learning rate and weight decay; before a normed layer its
    scale has no effect.

    Args:
        sigma: Singular values.
    """
    values = np.asarray(sigma, dtype=np.float64)
    if not np.isfinite(values).all():
        return unknown(len(values), float("inf"), "non-finite weights")
    return Estimate(float(np.linalg.norm(values)), 0.0, float("inf"), len(values))


def spectral_norm(sigma: ArrayLike) -> Estimate:
    """‖W‖₂, the largest stretch of any input. Range 0 or more; the unit is that of a weight.

    How it misleads: as `frobenius_norm`; one direction that no input takes decides it.

    Args:
        sigma: Singular values.
    """
    values = np.asarray(sigma, dtype=np.float64)
    if not np.isfinite(values).all():
        return unknown(len(values), float("inf"), "non-finite weights")
    return Estimate(float(values.max()), 0.0, float("inf"), len(values))


def tail_exponent(sigma: ArrayLike) -> Estimate:
    """Exponent α of a power law p(λ) ∝ λ^−α fitted to the upper tail of the eigenvalues λ = σ².

    Maximum likelihood α = 1 + k / Σ ln(λ_i/λ_min), with λ_min chosen to make the largest gap between the fitted and the
    seen distribution smallest. Range above 1; no unit. 2 to 4 is called well trained by WeightWatcher.

    How it misleads: it always finds an exponent, also for a random matrix, which has no power law (α from 4 to over 10
    there, by the choice of the tail); λ_min jumps from step to step and takes α with it; its error sees neither.

    Args:
        sigma: Singular values.

    Returns:
        Estimate with the likelihood's standard error (α − 1)/√k; n is k, the eigenvalues in the tail.

    Source: Clauset et al. 2009, section 3; of weights Martin and Mahoney 2021, section 3.2.

    Example:
        >>> bool(1.9 < tail_exponent(np.linspace(1e-3, 1, 1000) ** -0.5).value < 2.1)
        True
    """
    values = _checked(sigma)
    if isinstance(values, Estimate):
        return values
    eigenvalues = np.sort(values[values > _ROUNDING * values[0]] ** 2)
    n = len(eigenvalues)
    if n < 2 * _FEWEST_IN_TAIL:
        return unknown(n, float("inf"), f"needs {2 * _FEWEST_IN_TAIL} eigenvalues; got {n}")
    logs = np.log(eigenvalues)
    if logs[-1] - logs[0] < _EVEN:
        return unknown(n, float("inf"), "all eigenvalues are the same: there is no tail")
    starts = np.arange(n - _FEWEST_IN_TAIL + 1)
    in_tail = n - starts
    above = (np.cumsum(logs[::-1])[::-1])[starts] - in_tail * logs[starts]  # Σ ln(λ/λ_min)
    alphas = 1 + in_tail / np.maximum(above, 1e-12)
    gaps = [_gap(logs[start:] - logs[start], alpha) for start, alpha in zip(starts, alphas, strict=True)]
    best = int(np.argmin(gaps))
    alpha = float(alphas[best])
    return Estimate(alpha, float((alpha - 1) / np.sqrt(in_tail[best])), float("inf"), int(in_tail[best]))


def _gap(logs: NDArray[np.float64], alpha: float) -> float:
    """Kolmogorov-Smirnov distance of the tail from its power law; logs of λ/λ_min, ascending."""
    fitted = -np.expm1((1 - alpha) * logs)
    k = len(logs)
    return float(max((np.arange(1, k + 1) / k - fitted).max(), (fitted - np.arange(k) / k).max()))


def _checked(sigma: ArrayLike) -> Array | Estimate:
    """Descending singular values without rounding; an estimate with the reason where they say nothing."""
    values = np.sort(np.asarray(sigma, dtype=np.float64))[::-1]
    if not np.isfinite(values).all():
        return unknown(len(values), float(len(values)), "non-finite weights")
    if values[0] == 0:
        return unknown(len(values), float(len(values)), "all weights are zero")
    return np.where(values > _ROUNDING * values[0], values, 0.0)

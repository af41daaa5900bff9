"""A cloud of points and the spectra that several measures share.

Spectra come from the float64 Gram matrix of the smaller side: several times cheaper than an SVD and, in
float64 only, as exact. The Gram matrix squares the spectrum, so singular values below about 1e-8 of the
largest drown in rounding; where they could move an entropy, the SVD is taken instead (`_drowned`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
_EPSILON = float(np.finfo(np.float64).eps)
_TRUSTED = 1e-10  # relative eigenvalue above which the Gram matrix resolves singular values to 1e-6 relative
_NEGLIGIBLE = 2e-7  # relative error of RankMe that the small singular values may cause before the SVD is taken


class Estimate(NamedTuple):
    """A number with its error.

    Attributes:
        value: The number; NaN where it could not be computed.
        error: One standard error over prompts; NaN where it could not be computed.
        ceiling: The largest value that arrays of this shape can give.
        n: Rows that entered; fewer than the cloud has where some were left out, as repeated rows are by TwoNN.
        reason: Why the value is NaN, or must not be believed; empty where it is sound. Nothing that has one is tested.
    """

    value: float
    error: float
    ceiling: float
    n: int
    reason: str = ""


def unknown(n: int, ceiling: float, reason: str) -> Estimate:
    """An estimate that could not be computed, and why."""
    return Estimate(float("nan"), float("nan"), ceiling, n, reason)


@dataclass(frozen=True)
class Spectrum:
    """Singular values σ [k], descending, and the squared left singular vectors [n, k].

    `leverage[i, k]` is the share of σ_k² that row i carries.
    """

    sigma: Array
    leverage: Array


class Cloud:
    """An n × d array of row vectors, with each decomposition computed once.

    Args:
        rows: Array [n, d], n ≥ 2; any float type, computed in float64.
        clusters: Number of each row's cluster [n], from 0, where rows come from few templates: errors are then over
            clusters. None where rows are independent.

    Raises:
        ValueError: If it is not two-dimensional or has fewer than two rows.
    """

    def __init__(self, rows: ArrayLike, clusters: NDArray[np.int64] | None = None) -> None:
        self.clusters = clusters
        self.rows: Array = np.asarray(rows, dtype=np.float64)
        if self.rows.ndim != 2 or self.rows.shape[0] < 2:
            raise ValueError(
                f"needs at least 2 rows; got activations of shape {self.rows.shape}. Did you pool over tokens?"
            )

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.rows.shape[0])

    @property
    def d(self) -> int:
        """Columns."""
        return int(self.rows.shape[1])

    @cached_property
    def fault(self) -> str:
        """Why no measure of this cloud means anything; empty where it is sound."""
        bad = int((~np.isfinite(self.rows).all(axis=1)).sum())
        if bad:
            return f"non-finite activations in {bad} of {self.n} rows"
        return "" if np.any(self.rows) else "all activations are zero"

    @cached_property
    def centred_rows(self) -> Array:
        """Rows minus their mean [n, d]."""
        return np.asarray(self.rows - self.rows.mean(axis=0))

    @cached_property
    def unit_rows(self) -> Array:
        """Rows of length 1 [n, d]; a zero row stays zero."""
        norms = np.linalg.norm(self.rows, axis=1, keepdims=True)
        unit: Array = np.divide(self.rows, norms, out=np.zeros_like(self.rows), where=norms > 0)
        return unit

    @cached_property
    def spectrum(self) -> Spectrum:
        """Spectrum of the rows as they are."""
        return _spectrum(self.rows, min(self.n, self.d))

    @cached_property
    def centred_spectrum(self) -> Spectrum:
        """Spectrum of the centred rows: at most n − 1 directions."""
        return _spectrum(self.centred_rows, min(self.n - 1, self.d))

    @cached_property
    def unit_spectrum(self) -> Spectrum:
        """Spectrum of the rows scaled to length 1."""
        return _spectrum(self.unit_rows, min(self.n, self.d))

    @cached_property
    def is_constant(self) -> bool:
        """Whether all rows are the same up to rounding, so that nothing is left after centring."""
        spread = np.abs(self.centred_rows).max()
        return bool(spread <= self.n * _EPSILON * np.abs(self.rows).max())


def _spectrum(z: Array, rank: int) -> Spectrum:
    """The leading `rank` singular values and leverages of z [n, d]."""
    n, d = z.shape
    gram = z @ z.T if n <= d else z.T @ z
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    if _drowned(values):
        left, sigma, _ = np.linalg.svd(z, full_matrices=False)
        sigma, left = sigma[:rank], left[:, :rank]
        return Spectrum(sigma, left**2)
    sigma = np.sqrt(np.clip(values, 0.0, None))
    left = vectors if n <= d else (z @ vectors) / np.where(sigma > 0, sigma, 1.0)
    return Spectrum(sigma, left**2)


def _drowned(values: Array) -> bool:
    """Whether singular values that the Gram matrix cannot resolve could move RankMe by 1e-6 relative.

    An eigenvalue is known to about ±4ε λ₁. Below `_TRUSTED` its square root p may be wrong by up to
    √(λ + 4ελ₁), which moves the entropy by at most p (1 + |log p|).
    """
    if values[0] <= 0:
        return True
    small = values[values < _TRUSTED * values[0]]
    slack = 4 * _EPSILON * values[0]
    wrong = np.minimum(slack / np.sqrt(np.maximum(small, slack)), np.sqrt(slack)) / np.sqrt(values[0])
    return bool(np.sum(wrong * (1 + np.abs(np.log(wrong)))) > _NEGLIGIBLE)

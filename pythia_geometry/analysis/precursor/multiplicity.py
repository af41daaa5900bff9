"""Many p-values, one honest answer: Holm, Benjamini–Hochberg, Benjamini–Yekutieli, Westfall–Young."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pythia_geometry.errors import PythiaGeometryError

Array = NDArray[np.float64]
TIE = 1e-12


def holm(p: ArrayLike) -> Array:
    """Adjusted p-values that control the chance of any false claim, under any dependence.

    p̃_(k) = max_{j ≤ k} min(1, (m − j + 1) p_(j)). For several measures or models of the primary test.

    Args:
        p: p-values [m] in [0, 1].

    Returns:
        Adjusted p-values in the order given; compare them with .05.

    Source: Holm 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    values, order = _sorted(p)
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return _back(np.minimum(steps, 1.0), order)


def benjamini_hochberg(p: ArrayLike) -> Array:
    """Adjusted p-values that control the share of false claims among the claims made.

    p̃_(k) = min_{j ≥ k} min(1, m p_(j) / j). For the labels of single tasks at q = .10. It holds for independent or
    positively dependent p-values; where one number is shown by layer use `benjamini_yekutieli`.

    Source: Benjamini and Hochberg 1995.

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.04, 0.04]
    """
    return _step_up(p, 1.0)


def benjamini_yekutieli(p: ArrayLike) -> Array:
    """Benjamini–Hochberg made safe under any dependence: times Σ 1/j, about ln m.

    Source: Benjamini and Yekutieli 2001.
    """
    count = len(np.atleast_1d(np.asarray(p)))
    return _step_up(p, float((1 / np.arange(1, count + 1)).sum()))


def westfall_young(statistics: Array) -> Array:
    """Adjusted p-values from permutations that were the same for all hypotheses (single-step max).

    p̃_h = share of permutations whose largest statistic over hypotheses reaches the observed statistic of h. It
    keeps the dependence between neighbouring layers, which Bonferroni throws away. The statistics must be on one
    scale.

    Args:
        statistics: One row a permutation, one column a hypothesis [P, m]; the first row is what was observed.

    Returns:
        Adjusted p-values [m].

    Source: Westfall and Young 1993, algorithm 2.5, single-step.
    """
    largest = statistics.max(axis=1)
    return np.asarray((largest[:, None] >= statistics[0] - TIE).mean(axis=0))


def _step_up(p: ArrayLike, factor: float) -> Array:
    values, order = _sorted(p)
    ranks = np.arange(1, len(values) + 1)
    steps = np.minimum.accumulate((values[order] * factor * len(values) / ranks)[::-1])[::-1]
    return _back(np.minimum(steps, 1.0), order)


def _sorted(p: ArrayLike) -> tuple[Array, NDArray[np.int64]]:
    values = np.asarray(p, dtype=float)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise PythiaGeometryError(f"p-values must be one row of numbers in [0, 1]; got {_short(values)}")
    return values, np.argsort(values, kind="stable")


def _back(adjusted: Array, order: NDArray[np.int64]) -> Array:
    result = np.empty_like(adjusted)
    result[order] = adjusted
    return result


def _short(values: Array) -> Sequence[float] | str:
    return values.ravel()[:6].tolist() if values.size <= 6 else f"{values.size} values, such as {values.ravel()[0]}"

"""Intrinsic dimension: how many coordinates the points need locally, however curved their surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pythia_geometry.geometry.cloud import Array, Cloud, Estimate, unknown
from pythia_geometry.geometry.deletion import jackknife_error
from pythia_geometry.geometry.representation import NO_ERROR, as_cloud

_TWINS = 1e-5
"""Distance, as a share of the cloud's radius, within which two float32 rows of one prompt lie; other prompts do not."""


def twonn(z: ArrayLike | Cloud) -> Estimate:
    """TwoNN intrinsic dimension, maximum-likelihood form: (m − 1) / Σ log(r₂/r₁).

    r₁ and r₂ are a point's distances to its two nearest neighbours; m is the number of distinct rows.
    Range above 0, without a ceiling (evenly spaced points give any large number); the unit is dimensions.
    Unlike RankMe it does not see stretching: a long thin curve has dimension 1.

    How it misleads: distinct points that come in tight pairs (templates filled with near-synonyms) pull it
    down or up without any change of the surface; identical rows are removed first, since even one pair of
    twins makes r₂/r₁ = 1 for a third point; so are rows that repeat another up to rounding (one prompt in two
    batches), nearer than 1e-5 of the cloud's radius. In bfloat16 or float16 such rows lie farther apart, and stay.
    With 100 to 200 points, dimensions above about 10 are underestimated (a 10-d Gaussian of 1,000 points gives 9.5).
    Its jackknife error is 1.8 times the true spread on d-balls. Compare only at equal n.
    Common estimators of intrinsic dimension do not track that of a representation (arXiv 2604.20276): read changes,
    against a null.

    Args:
        z: Activations [n, d].

    Returns:
        Estimate whose n counts the distinct rows, with an exact delete-one jackknife error.

    Source: Facco et al. 2017, section "Estimating the dimension"; maximum likelihood instead of the
    fitted line (assumption A8).

    Example:
        >>> line = np.random.default_rng(0).random((64, 1)) * np.ones(3)
        >>> 0.8 < twonn(line).value < 1.2
        True
    """
    cloud = as_cloud(z)
    ceiling = float("inf")
    if cloud.fault:
        return unknown(cloud.n, ceiling, cloud.fault)
    points = _apart(_distinct(cloud.rows))
    m = len(points)
    if m < 5:
        return unknown(m, ceiling, f"only {m} distinct rows; TwoNN needs 5")
    neighbours, distances = _three_nearest(points)
    if np.any(distances[:, 0] <= 0):
        return unknown(m, ceiling, "two rows differ by less than rounding")
    log_d = np.log(distances)
    total = float((log_d[:, 1] - log_d[:, 0]).sum())
    if total <= 0:
        return unknown(m, ceiling, "every point has two nearest neighbours at one distance")
    without = _totals_without_each(neighbours, log_d, total)
    has_error = without.min() > 1e-9 * total
    error = jackknife_error((m - 2) / without) if has_error else float("nan")
    return Estimate((m - 1) / total, error, ceiling, m, "" if has_error else NO_ERROR)


def _distinct(rows: Array) -> Array:
    """The distinct rows in lexicographic order.

    Where no two rows share their first coordinate, that alone orders them: the general sort compares whole rows
    and would take longer than everything else here.
    """
    order = np.argsort(rows[:, 0])
    first = rows[order, 0]
    return rows[order] if np.all(first[1:] > first[:-1]) else np.unique(rows, axis=0)


def _apart(points: Array) -> Array:
    """The rows without those that repeat an earlier one up to rounding."""
    centred = points - points.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    near = _TWINS**2 * squares.mean()
    squared = squares[:, None] + squares[None, :] - 2 * centred @ centred.T
    pairs = np.argwhere(np.tril(squared <= 2 * near, k=-1))  # the Gram form loses digits: below exactly
    exact = ((points[pairs[:, 0]] - points[pairs[:, 1]]) ** 2).sum(axis=1)
    return np.delete(points, np.unique(pairs[exact <= near, 0]), axis=0)


def _three_nearest(points: Array) -> tuple[np.ndarray, Array]:
    """Indices and distances [m, 3] of each point's three nearest neighbours, by brute force.

    Direct differences would need m × m × d floats; centring first keeps the Gram form exact enough.
    """
    centred = points - points.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    squared = np.clip(squares[:, None] + squares[None, :] - 2 * centred @ centred.T, 0.0, None)
    np.fill_diagonal(squared, np.inf)
    nearest = np.argsort(squared, axis=1, kind="stable")[:, :3]
    # Exact distances for the three that matter: the Gram form loses digits between close points.
    exact = np.stack([np.linalg.norm(points - points[nearest[:, k]], axis=1) for k in range(3)], axis=1)
    order = np.argsort(exact, axis=1, kind="stable")
    return np.take_along_axis(nearest, order, 1), np.take_along_axis(exact, order, 1)


def _totals_without_each(neighbours: np.ndarray, log_d: Array, total: float) -> Array:
    """Σ log(r₂/r₁) [m] after deleting each point: whoever had it as a neighbour falls back on the third."""
    own = log_d[:, 1] - log_d[:, 0]
    totals = total - own
    np.add.at(totals, neighbours[:, 0], (log_d[:, 2] - log_d[:, 1]) - own)
    np.add.at(totals, neighbours[:, 1], (log_d[:, 2] - log_d[:, 0]) - own)
    return totals

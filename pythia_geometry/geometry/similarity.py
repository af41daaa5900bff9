"""How alike two checkpoints arrange the same prompts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pythia_geometry.geometry.cloud import Array, Cloud, Estimate, unknown
from pythia_geometry.geometry.deletion import jackknife_error
from pythia_geometry.geometry.representation import as_cloud


def linear_cka(x: ArrayLike | Cloud, y: ArrayLike | Cloud) -> Estimate:
    """Linear centred kernel alignment: ⟨K, L⟩ / (‖K‖ ‖L‖) with K, L the centred Gram matrices [n, n].

    Range 0 … 1; no unit. 1: the same arrangement up to rotation, reflection and one common scale.

    How it misleads: it is biased upwards when n is not much larger than d: two unrelated Gaussian clouds
    of 128 rows in 768 dimensions score about .86. Compare it only with itself, at equal n and d, and read
    changes, not levels. A few prompts of large norm decide it.

    Args:
        x: Activations [n, d] of one checkpoint.
        y: Activations [n, e] of the other, the same prompts in the same order.

    Returns:
        Estimate with an infinitesimal-jackknife error over prompts.

    Raises:
        ValueError: If the row counts differ.

    Source: Kornblith et al. 2019, section 3, equation 1 with linear kernels.

    Example:
        >>> x = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]])
        >>> round(linear_cka(x, 3 * x[:, ::-1] + 7).value, 6)
        1.0
    """
    a, b = _pair(x, y, "linear_cka")
    fault = _pair_fault(a, b)
    if fault:
        return unknown(a.n, 1.0, fault)
    k, m = _unit_gram(a.centred_rows), _unit_gram(b.centred_rows)
    value = float((k * m).sum())
    # Influence of row i on each of the three inner products (each Gram matrix has norm 1).
    km, kk, mm = (2 * (p * q).sum(axis=1) for p, q in ((k, m), (k, k), (m, m)))
    influence = km - value * (kk + mm) / 2
    error = float(np.sqrt((a.n - 1) / a.n * np.sum((influence - influence.mean()) ** 2)))
    return Estimate(float(np.clip(value, 0.0, 1.0)), error, 1.0, a.n)


def debiased_cka(x: ArrayLike | Cloud, y: ArrayLike | Cloud) -> Estimate:
    """Linear CKA with each of its three inner products replaced by its unbiased estimate.

    HSIC_u(K, L) / √(HSIC_u(K, K) HSIC_u(L, L)). Range −1 … 1 in expectation, no unit; a draw can lie outside, nothing
    is clipped. Unrelated clouds score near 0 whatever n and d (`linear_cka` gives two Gaussian clouds of 128 rows in
    768 dimensions .86).

    How it misleads: the ratio of unbiased numbers is not unbiased, and where a cloud has no shared structure at all the
    denominator can fail to be positive: NaN with a reason. It needs 5 rows; with few it is noisy. Rows of large
    norm decide it as they do the biased one.

    Args:
        x: Activations [n, d] of one checkpoint.
        y: Activations [n, e] of the other, the same prompts in the same order.

    Returns:
        Estimate with an exact delete-one jackknife error.

    Raises:
        ValueError: If the row counts differ.

    Source: Song et al. 2012, equation 5, for HSIC_u; for CKA Nguyen et al. 2021, section 3.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(20, 3))
        >>> round(debiased_cka(x, 2 * x[:, ::-1] + 7).value, 6)
        1.0
    """
    a, b = _pair(x, y, "debiased_cka")
    fault = _pair_fault(a, b) or (f"needs 5 rows; got {a.n}" if a.n < 5 else "")
    if fault:
        return unknown(a.n, 1.0, fault)
    k, m = (_hollow_gram(cloud.centred_rows) for cloud in (a, b))
    (km, km_without), (kk, kk_without), (mm, mm_without) = (_hsic(*pair) for pair in ((k, m), (k, k), (m, m)))
    if min(kk, mm, kk_without.min(), mm_without.min()) <= 0:
        return unknown(a.n, 1.0, "no structure that two rows share: the unbiased norm is not positive")
    error = jackknife_error(km_without / np.sqrt(kk_without * mm_without))
    return Estimate(float(km / np.sqrt(kk * mm)), error, 1.0, a.n)


def procrustes(x: ArrayLike | Cloud, y: ArrayLike | Cloud) -> Estimate:
    """How well one cloud fits on the other after the best rotation: ‖XᵀY‖_* / (‖X‖_F ‖Y‖_F), both centred.

    Range 0 … 1; no unit. 1: the same up to rotation, reflection, shift and scale. The Procrustes distance of the two
    scaled clouds is √(2 − 2 value).

    How it misleads: biased upwards as CKA is: with n ≤ d two unrelated clouds always fit partly (.96 for 128 rows
    in 768 dimensions). Compare at equal n and d.

    Args:
        x: Activations [n, d] of one checkpoint.
        y: Activations [n, e] of the other, the same prompts in the same order.

    Returns:
        Estimate with an infinitesimal-jackknife error over prompts.

    Raises:
        ValueError: If the row counts differ.

    Source: Williams et al. 2021, Generalized shape metrics, section 2; Schönemann 1966.

    Example:
        >>> x = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]])
        >>> round(procrustes(x, 3 * x[:, ::-1] + 7).value, 6)
        1.0
    """
    a, b = _pair(x, y, "procrustes")
    fault = _pair_fault(a, b)
    if fault:
        return unknown(a.n, 1.0, fault)
    p, q = _coordinates(a.centred_rows), _coordinates(b.centred_rows)
    left, sigma, right = np.linalg.svd(p.T @ q, full_matrices=False)
    value = float(sigma.sum())
    # By the envelope theorem the best rotation may be held fixed while a row's weight changes.
    aligned = ((p @ left) * (q @ right.T)).sum(axis=1)
    influence = aligned - value * ((p**2).sum(axis=1) + (q**2).sum(axis=1)) / 2
    error = float(np.sqrt(a.n / (a.n - 1) * np.sum((influence - influence.mean()) ** 2)))
    return Estimate(float(np.clip(value, 0.0, 1.0)), error, 1.0, a.n)


def neighbourhood_overlap(x: ArrayLike | Cloud, y: ArrayLike | Cloud, neighbours: int = 10) -> Estimate:
    """Share of each prompt's nearest neighbours that it keeps: mean of |N_x(i) ∩ N_y(i)| / k.

    Range 0 … 1; no unit. Unrelated clouds score k/(n − 1).

    How it misleads: it sees near neighbours and no large-scale shape, which CKA sees alone: read both. Chance depends
    on n and k; templates that differ in one word are each other's neighbours at every step.

    Args:
        x: Activations [n, d] of one checkpoint.
        y: Activations [n, e] of the other, the same prompts in the same order.
        neighbours: k, by Euclidean distance; at most half the rows.

    Returns:
        Estimate whose error is the spread of the rows' shares over √n: rows share neighbours, so it is a little small.

    Raises:
        ValueError: If the row counts differ.

    Source: Doimo et al. 2020, Hierarchical nucleation in deep neural networks, section 2.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(40, 3))
        >>> neighbourhood_overlap(x, 2 * x).value
        1.0
    """
    a, b = _pair(x, y, "neighbourhood_overlap")
    fault = _pair_fault(a, b) or (f"needs {2 * neighbours} rows; got {a.n}" if a.n < 2 * neighbours else "")
    if fault:
        return unknown(a.n, 1.0, fault)
    near = [_nearest(cloud.centred_rows, neighbours) for cloud in (a, b)]
    kept = (near[0] & near[1]).sum(axis=1) / neighbours
    return Estimate(float(kept.mean()), float(kept.std(ddof=1) / np.sqrt(a.n)), 1.0, a.n)


def _pair(x: ArrayLike | Cloud, y: ArrayLike | Cloud, name: str) -> tuple[Cloud, Cloud]:
    a, b = as_cloud(x), as_cloud(y)
    if a.n != b.n:
        raise ValueError(f"{name} needs the same prompts in both; got {a.n} and {b.n} rows")
    return a, b


def _pair_fault(a: Cloud, b: Cloud) -> str:
    return a.fault or b.fault or ("all rows are the same" if a.is_constant or b.is_constant else "")


def _hollow_gram(rows: Array) -> Array:
    gram = rows @ rows.T
    np.fill_diagonal(gram, 0.0)
    return np.asarray(gram / np.linalg.norm(gram))


def _hsic(k: Array, m: Array) -> tuple[float, Array]:
    """Unbiased HSIC of two Gram matrices with empty diagonals, and without each row [n]."""
    n = len(k)
    rows_k, rows_m = k.sum(axis=1), m.sum(axis=1)
    products = k * m
    cross = rows_k @ rows_m
    whole = _hsic_of(n, products.sum(), rows_k.sum(), rows_m.sum(), cross)
    # The other rows' sums each lose one entry: Σ_{a≠i} (k_a − K_ai)(m_a − M_ai).
    cross_without = cross - rows_k * rows_m - m @ rows_k - k @ rows_m + products.sum(axis=1)
    without = _hsic_of(
        n - 1,
        products.sum() - 2 * products.sum(axis=1),
        rows_k.sum() - 2 * rows_k,
        rows_m.sum() - 2 * rows_m,
        cross_without,
    )
    return float(whole), np.asarray(without)


def _hsic_of(n: int, products: Array, total_k: Array, total_m: Array, cross: Array) -> Array:
    return np.asarray((products + total_k * total_m / ((n - 1) * (n - 2)) - 2 * cross / (n - 2)) / (n * (n - 3)))


def _coordinates(rows: Array) -> Array:
    """The rows in their own n directions [n, n], scaled to unit norm: their Gram matrix, and nothing else, is kept."""
    if rows.shape[0] > rows.shape[1]:
        return np.asarray(rows / np.linalg.norm(rows))
    values, vectors = np.linalg.eigh(rows @ rows.T)
    own = vectors * np.sqrt(np.clip(values, 0.0, None))
    return np.asarray(own / np.linalg.norm(own))


def _nearest(rows: Array, neighbours: int) -> NDArray[np.bool_]:
    """Which rows are among the nearest of which [n, n]."""
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * rows @ rows.T
    np.fill_diagonal(distances, np.inf)
    near = np.zeros(distances.shape, dtype=bool)
    np.put_along_axis(near, np.argsort(distances, axis=1, kind="stable")[:, :neighbours], True, axis=1)
    return near


def _unit_gram(rows: Array) -> Array:
    gram = rows @ rows.T
    return np.asarray(gram / np.linalg.norm(gram))

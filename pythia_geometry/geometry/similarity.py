"""How alike two checkpoints arrange the same prompts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pythia_geometry.geometry.cloud import Array, Cloud, Estimate, unknown
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
    a, b = as_cloud(x), as_cloud(y)
    if a.n != b.n:
        raise ValueError(f"linear_cka needs the same prompts in both; got {a.n} and {b.n} rows")
    fault = a.fault or b.fault or ("all rows are the same" if a.is_constant or b.is_constant else "")
    if fault:
        return unknown(a.n, 1.0, fault)
    k, m = _unit_gram(a.centred_rows), _unit_gram(b.centred_rows)
    value = float((k * m).sum())
    # Influence of row i on each of the three inner products (each Gram matrix has norm 1).
    km, kk, mm = (2 * (p * q).sum(axis=1) for p, q in ((k, m), (k, k), (m, m)))
    influence = km - value * (kk + mm) / 2
    error = float(np.sqrt((a.n - 1) / a.n * np.sum((influence - influence.mean()) ** 2)))
    return Estimate(float(np.clip(value, 0.0, 1.0)), error, 1.0, a.n)


def _unit_gram(rows: Array) -> Array:
    gram = rows @ rows.T
    return np.asarray(gram / np.linalg.norm(gram))

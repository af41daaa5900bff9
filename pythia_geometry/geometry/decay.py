"""How fast the spectrum of a cloud falls off."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from pythia_geometry.geometry.cloud import Array, Cloud, Estimate, unknown
from pythia_geometry.geometry.deletion import jackknife_error
from pythia_geometry.geometry.representation import as_cloud

FEWEST_ROWS = 100
FIRST = 5
FEWEST_POINTS = 8
ROWS_PER_INDEX = 4
STRAIGHT = 0.9


def alpha_req(z: ArrayLike | Cloud, first: int = FIRST, last: int | None = None) -> Mapping[str, Estimate]:
    """α-ReQ: minus the slope of ln λ_i on ln i, λ_i the eigenvalues of the covariance from `first` to `last`.

    Range 0 or more, usually 0 … 3; no unit. Near 1: many directions matter; large: few do. 0 is an even spread.

    How it misleads: the slope depends on the range of the fit and on the number of rows. The last eigenvalues of few
    rows fall steeply whatever the truth, so the fit ends at min(n, d)/4 unless told otherwise; and even then 128
    rows in 768 dimensions read a planted exponent of 1 as .81, 1,000 as .96. Under 100 rows it is NaN.
    An R² below .9 (a second estimate, named in the reason) says that there is no power law to have an exponent. Like
    every rank it follows batch size and weight decay too (arXiv 2602.20433).

    Args:
        z: Activations [n, d].
        first: First index of the fit, from 1; it leaves out the few largest directions.
        last: Last index; min(n, d) // 4 if None.

    Returns:
        `alpha_req` with a first-order jackknife error over rows, and `alpha_req_r2`, the fit's R².

    Source: Agrawal et al. 2022, α-ReQ, section 3; over checkpoints in arXiv 2509.23024.

    Example:
        >>> rows = np.linalg.qr(np.random.default_rng(0).normal(size=(400, 100)))[0] * np.arange(1, 101) ** -0.5
        >>> 0.9 < alpha_req(rows)["alpha_req"].value < 1.1
        True
    """
    cloud = as_cloud(z)
    n, inf = cloud.n, float("inf")
    end = min(n, cloud.d) // ROWS_PER_INDEX if last is None else last
    fault = cloud.fault or ("all rows are the same" if cloud.is_constant else "") or _too_few(cloud, first, end)
    if fault:
        return {"alpha_req": unknown(n, inf, fault), "alpha_req_r2": unknown(n, 1.0, fault)}
    eigenvalues = cloud.centred_spectrum.sigma[first - 1 : end] ** 2
    if eigenvalues[-1] <= 1e-12 * cloud.centred_spectrum.sigma[0] ** 2:
        fault = f"fewer than {end} directions: nothing to fit a power law to"
        return {"alpha_req": unknown(n, inf, fault), "alpha_req_r2": unknown(n, 1.0, fault)}
    x, y = np.log(np.arange(first, end + 1)), np.log(eigenvalues)
    pull = (x - x.mean()) / ((x - x.mean()) ** 2).sum()  # slope = pull · y
    slope = float(pull @ y)
    rest = y - y.mean() - slope * (x - x.mean())
    r2 = 1 - float((rest**2).sum() / ((y - y.mean()) ** 2).sum()) if np.ptp(y) > 0 else 1.0
    reason = f"no power law: R² {r2:.2f} over indices {first} to {end}" if r2 < STRAIGHT else ""
    error = jackknife_error(_shifts(cloud.centred_spectrum.leverage[:, first - 1 : end], pull), cloud.clusters)
    return {
        "alpha_req": Estimate(-slope, error, inf, n, reason),
        "alpha_req_r2": Estimate(r2, float("nan"), 1.0, n),
    }


def _too_few(cloud: Cloud, first: int, last: int) -> str:
    if cloud.n < FEWEST_ROWS:
        return f"needs {FEWEST_ROWS} rows; got {cloud.n}"
    if first < 1 or last > min(cloud.n - 1, cloud.d) or last - first + 1 < FEWEST_POINTS:
        return f"needs {FEWEST_POINTS} eigenvalues to fit; indices {first} to {last} of {min(cloud.n - 1, cloud.d)}"
    return ""


def _shifts(leverage: Array, pull: Array) -> Array:
    """By how much each row's deletion moves the slope, to first order: d ln λ_k = −n/(n − 1) u_ik²."""
    n = len(leverage)
    return np.asarray(-(n / (n - 1)) * leverage @ pull)

"""How many directions a layer's activations fill, and how evenly.

Every function takes an array [n, d] of n prompts (or a `Cloud`, which shares the decompositions) and
returns an `Estimate`. Errors are delete-one jackknife standard errors over prompts, over templates where the cloud
names them, computed from the one decomposition there is (`pythia_geometry.geometry.deletion`). Never bootstrap prompts
here: resampled duplicates alone take RankMe from 114 to 75 (docs/assumptions.md A9).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pythia_geometry.geometry.cloud import Array, Cloud, Estimate, Spectrum, unknown
from pythia_geometry.geometry.deletion import (
    deleted_first_eigenvalue,
    deleted_moments,
    deleted_sums,
    jackknife_error,
)

NO_ERROR = "no error: deleting one row leaves nothing to measure"


def as_cloud(z: ArrayLike | Cloud) -> Cloud:
    """The argument itself where it is a `Cloud`, else a new one."""
    return z if isinstance(z, Cloud) else Cloud(z)


def rankme(z: ArrayLike | Cloud) -> Estimate:
    """RankMe of the rows as they are: the effective number of directions, mean vector included.

    exp(−Σ p_k log p_k) with p_k = σ_k / Σσ over the singular values of z; 0 log 0 = 0, and no constant is
    added inside the logarithm (assumption A7).

    Range 1 … min(n, d); no unit. 1 is a single direction, the ceiling an even spread over all.

    How it misleads: the start value is a cap set by the number of prompts, not a property of the model
    (200 isotropic rows give 193 in 768 dimensions and 198 in 2560). One mean vector ten times the spread
    drags it from 115 to 15; one row of a hundred times the norm, or one massive dimension, does the like. Read it
    beside `rankme_centred` and `rankme_rownorm`; where only this one collapses, the mean took over. Effective ranks
    follow batch size and weight decay more than they follow performance (arXiv 2602.20433).

    Args:
        z: Activations [n, d].

    Returns:
        Estimate with an exact delete-one jackknife error.

    Source: Garrido et al. 2023, RankMe, section 3.1 (there with 1e-7 added to p); entropy form of the
    effective rank of Roy and Vetterli 2007.

    Example:
        >>> round(rankme(np.eye(4)).value, 6)
        4.0
    """
    cloud = as_cloud(z)
    ceiling = float(min(cloud.n, cloud.d))
    if cloud.fault:
        return unknown(cloud.n, ceiling, cloud.fault)
    return _rankme(cloud, cloud.spectrum, ceiling, deleted_share=1.0)


def rankme_centred(z: ArrayLike | Cloud) -> Estimate:
    """RankMe of the rows minus their mean: the effective number of directions in which prompts differ.

    Same formula as `rankme` on z − mean(z). Range 1 … min(n − 1, d).

    How it misleads: a collapse of the uncentred value that this one does not share is the mean vector
    taking over. At a position where every prompt has the same token the embedding is constant: undefined,
    reported as NaN with the reason.

    Args:
        z: Activations [n, d].

    Returns:
        Estimate with an exact delete-one jackknife error.

    Example:
        >>> round(rankme_centred([[5.0, 1.0], [5.0, -1.0]]).value, 6)
        1.0
    """
    cloud = as_cloud(z)
    ceiling = float(min(cloud.n - 1, cloud.d))
    if cloud.fault or cloud.is_constant:
        return unknown(cloud.n, ceiling, cloud.fault or "all rows are the same: nothing is left after centring")
    return _rankme(cloud, cloud.centred_spectrum, ceiling, deleted_share=cloud.n / (cloud.n - 1))


def rankme_rownorm(z: ArrayLike | Cloud) -> Estimate:
    """RankMe of the rows scaled to length 1: directions only, no prompt counts more than another.

    Same formula as `rankme` on z_i / |z_i|. Range 1 … min(n, d).

    How it misleads: after a LayerNorm rows already have nearly one length, so it repeats `rankme`; on the
    residual stream it answers whether a few high-norm prompts made the uncentred value small.

    Args:
        z: Activations [n, d].

    Returns:
        Estimate with an exact delete-one jackknife error.

    Example:
        >>> round(rankme_rownorm([[9.0, 0.0], [0.0, 1.0]]).value, 6)
        2.0
    """
    cloud = as_cloud(z)
    ceiling = float(min(cloud.n, cloud.d))
    if cloud.fault:
        return unknown(cloud.n, ceiling, cloud.fault)
    return _rankme(cloud, cloud.unit_spectrum, ceiling, deleted_share=1.0)


def participation_ratio(z: ArrayLike | Cloud) -> Estimate:
    """Participation ratio of the covariance: (Σλ)² / Σλ² over the eigenvalues λ of the centred rows.

    Range 1 … min(n − 1, d); no unit.

    How it misleads: it squares the spectrum, so one massive dimension decides it; RankMe, on σ = √λ, still
    sees the tail. Values of different d or n are not comparable without the ceiling.

    Args:
        z: Activations [n, d].

    Returns:
        Estimate with an exact delete-one jackknife error.

    Source: Gao et al. 2017, A theory of multineuronal dimensionality, section 2.

    Example:
        >>> round(participation_ratio(np.vstack([np.eye(3), -np.eye(3)])).value, 6)
        3.0
    """
    cloud = as_cloud(z)
    ceiling = float(min(cloud.n - 1, cloud.d))
    if cloud.fault or cloud.is_constant:
        return unknown(cloud.n, ceiling, cloud.fault or "all rows are the same: nothing is left after centring")
    eigenvalues = cloud.centred_spectrum.sigma**2
    total, squares = deleted_moments(cloud.centred_spectrum, cloud.n / (cloud.n - 1))
    value = float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())
    return _estimate(cloud, value, total**2, squares, ceiling)


def stable_rank(z: ArrayLike | Cloud) -> Estimate:
    """Stable rank of the rows as they are: ‖z‖_F² / σ₁².

    Range 1 … min(n, d); no unit. One over it is the share of the squared norm along the first direction.

    How it misleads: it is all about the first direction. A large mean vector alone brings it to 1 whatever
    the other directions do.

    Args:
        z: Activations [n, d].

    Returns:
        Estimate with an exact delete-one jackknife error.

    Source: Rudelson and Vershynin 2007, section 1.

    Example:
        >>> round(stable_rank(np.diag([2.0, 1.0, 1.0])).value, 6)
        1.5
    """
    cloud = as_cloud(z)
    ceiling = float(min(cloud.n, cloud.d))
    if cloud.fault:
        return unknown(cloud.n, ceiling, cloud.fault)
    eigenvalues = cloud.spectrum.sigma**2
    total, _ = deleted_moments(cloud.spectrum, 1.0)
    value = float(eigenvalues.sum() / eigenvalues[0])
    return _estimate(cloud, value, total, deleted_first_eigenvalue(cloud.spectrum), ceiling)


def anisotropy(z: ArrayLike | Cloud) -> Estimate:
    """Mean cosine similarity between the activations of two different prompts.

    (|Σ ẑ_i|² − n) / (n (n − 1)) with ẑ_i = z_i / |z_i|. Range −1/(n − 1) … 1; no unit. Near 0: directions
    spread around the origin; 1: all prompts point the same way.

    How it misleads: it measures where the cloud sits, not its shape: a shift of the mean changes it and
    leaves every centred measure alone. A single massive dimension brings it near 1.

    Args:
        z: Activations [n, d] without zero rows.

    Returns:
        Estimate with an exact delete-one jackknife error.

    Source: Ethayarajh 2019, How contextual are contextualized word representations, section 3.2.

    Example:
        >>> anisotropy(np.eye(3)).value
        0.0
    """
    cloud = as_cloud(z)
    n = cloud.n
    if cloud.fault:
        return unknown(n, 1.0, cloud.fault)
    unit = cloud.unit_rows
    zero_rows = int((~unit.any(axis=1)).sum())
    if zero_rows:
        return unknown(n, 1.0, f"{zero_rows} of {n} rows are zero: no direction")
    total = unit.sum(axis=0)
    value = (total @ total - n) / (n * (n - 1))
    value = float(np.clip(value, -1.0 / (n - 1), 1.0))
    if n < 3:
        return Estimate(value, float("nan"), 1.0, n, NO_ERROR)
    without = total @ total - 2 * unit @ total + 1.0
    replicates = (without - (n - 1)) / ((n - 1) * (n - 2))
    return Estimate(value, jackknife_error(replicates, cloud.clusters), 1.0, n)


def _rankme(cloud: Cloud, spectrum: Spectrum, ceiling: float, deleted_share: float) -> Estimate:
    """exp(H) with H = log S − T/S, S = Σσ and T = Σσ log σ, for all rows and without each of them."""
    sigma = spectrum.sigma[spectrum.sigma > 0]
    total, entropy_sum = sigma.sum(), (sigma * np.log(sigma)).sum()
    value = float(np.exp(np.log(total) - entropy_sum / total))
    without, entropy_without = deleted_sums(spectrum, deleted_share)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_rankme = np.log(without) - entropy_without / without
    return _estimate(cloud, value, np.exp(log_rankme), np.ones(cloud.n), ceiling)


def _estimate(cloud: Cloud, value: float, numerator: Array, denominator: Array, ceiling: float) -> Estimate:
    """A value with the jackknife error of the leave-one-out ratios; no error where one row carries all."""
    clipped = float(np.clip(value, 1.0, ceiling))
    sound = np.isfinite(numerator) & (denominator > 0)
    n = cloud.n
    if n < 3 or not sound.all():
        return Estimate(clipped, float("nan"), ceiling, n, NO_ERROR)
    return Estimate(clipped, jackknife_error(numerator / denominator, cloud.clusters), ceiling, n)

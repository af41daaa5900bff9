"""In how many directions a head's outputs differ over the prompts of a probe."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pythia_geometry.geometry.cloud import Cloud, Estimate, unknown


def output_rank(outputs: ArrayLike) -> Estimate:
    """Effective rank of a head's output: exp(−Σ p ln p) with p = σ² / Σσ² over the singular values of [n, D].

    Range 1 … min(n, D); no unit. The rows are not centred: a head that writes the same vector for every prompt has 1.

    How it misleads: it squares the singular values (RankMe does not), so one strong direction decides it. It is capped
    by the number of prompts, and a head that rests on the first token writes nearly one vector: rank 1 is often rest.

    Args:
        outputs: What the head gives to the output projection at the query that predicts the answer [n, D].

    Returns:
        Estimate with an infinitesimal-jackknife error over prompts.

    Source: arXiv 2605.24059, there called PR; entropy form of Roy and Vetterli 2007.

    Example:
        >>> round(output_rank(np.diag([2.0, 2.0, 2.0])).value, 6)
        3.0
    """
    cloud = Cloud(outputs)
    ceiling = float(min(cloud.n, cloud.d))
    if cloud.fault:
        return unknown(cloud.n, ceiling, cloud.fault.replace("activations", "head outputs"))
    eigenvalues = cloud.spectrum.sigma**2
    kept = eigenvalues > 0
    p = eigenvalues[kept] / eigenvalues.sum()
    entropy = -float((p * np.log(p)).sum())
    value = float(np.exp(entropy))
    # Deleting row i takes the share u_ik² of eigenvalue k: dH = Σ_k p_k u_ik² (ln p_k + H) to first order.
    influence = value * (cloud.spectrum.leverage[:, kept] @ (p * (np.log(p) + entropy)))
    error = float(np.sqrt((cloud.n - 1) / cloud.n * np.sum((influence - influence.mean()) ** 2)))
    return Estimate(value, error, ceiling, cloud.n)

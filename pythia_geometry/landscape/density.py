"""The spectral density of a symmetric operator by stochastic Lanczos quadrature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pythia_geometry.geometry.cloud import Estimate, unknown
from pythia_geometry.landscape.hessian import lanczos
from pythia_geometry.landscape.operator import Operator

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Density:
    """Shares of the eigenvalues at some places: `weights` [probes, steps] at `nodes` [probes, steps].

    Each probe's weights sum to 1.
    """

    nodes: Array
    weights: Array

    def below(self, places: ArrayLike) -> Array:
        """Share of the eigenvalues at or below each place, for every probe [probes, places]."""
        at = np.asarray(places, dtype=np.float64)
        return np.stack([(w * (x <= at[:, None])).sum(axis=1) for x, w in zip(self.nodes, self.weights, strict=True)])


def spectral_density(operator: Operator, probes: int = 4, steps: int = 30, seed: int = 0) -> Density:
    """The distribution of the eigenvalues: `probes` Lanczos runs of `steps` products each.

    How it misleads: it is exact for polynomials up to degree 2 × steps − 1, so it smears the bulk; outside ± 2 % of
    the largest eigenvalue its distribution is right to about .002. Its trace is not: an outlier is one of millions
    of eigenvalues and gets its weight from a random probe (40 % wrong with four probes; use `hessian_trace`).

    Args:
        operator: A symmetric matrix.
        probes: Random start vectors.
        steps: Products a probe, and vectors in memory.
        seed: Of the start vectors.

    Returns:
        Nodes and weights. A run that exhausts its space early is filled up with weights of 0.

    Source: Ubaru, Chen and Saad 2017, section 3; full re-orthogonalisation.
    """
    nodes, weights = np.zeros((probes, steps)), np.zeros((probes, steps))
    for probe in range(probes):
        alpha, beta, _ = lanczos(operator, steps, seed + probe)
        if not np.isfinite(alpha).all():
            nodes[probe] = weights[probe] = np.nan
            continue
        tridiagonal = np.diag(alpha) + np.diag(beta[: len(alpha) - 1], 1) + np.diag(beta[: len(alpha) - 1], -1)
        values, vectors = np.linalg.eigh(tridiagonal)
        nodes[probe, : len(values)], weights[probe, : len(values)] = values, vectors[0] ** 2
    return Density(nodes, weights)


def hessian_negative_share(density: Density, n: int, margin: float = 0.02) -> Estimate:
    """Share of the eigenvalues below −`margin` times the largest: how much of the surface clearly curves down.

    Range 0 … 1; no unit.

    How it misleads: nearly all directions are flat, so the number is tiny wherever it is not 0, and what lies within
    the margin of zero has no sign that four probes can tell.

    Args:
        density: From `spectral_density`.
        n: Examples behind it, for the record.
        margin: Share of the largest eigenvalue.

    Returns:
        Estimate with the standard error over probes.
    """
    if not np.isfinite(density.nodes).all():
        return unknown(n, 1.0, "non-finite Hessian product")
    if density.nodes.max() <= 0:
        return unknown(n, 1.0, "the surface curves up nowhere: there is no largest eigenvalue to measure against")
    below = density.below([-margin * density.nodes.max()])[:, 0]
    error = float(below.std(ddof=1) / np.sqrt(len(below))) if len(below) > 1 else float("nan")
    return Estimate(float(below.mean()), error, 1.0, n)

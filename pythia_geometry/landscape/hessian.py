"""Eigenvalues and trace of a symmetric operator, the Hessian of a loss above all.

A trained network's Hessian has a few outliers and a bulk at zero. So the largest eigenvalue converges in about a dozen
products and the smallest does not, and a plain random-probe trace is wrong by 40 % (one outlier carries half of it).
Start vectors and probes come from a seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pythia_geometry.geometry.cloud import Estimate, unknown
from pythia_geometry.landscape.operator import Hessian, Operator

INFINITE = float("inf")
_ROUNDING = 1e-6  # relative: double backward in float32 is symmetric to about this


@dataclass(frozen=True)
class Eigenpair:
    """An eigenvalue with its vector [size], and how far the vector is from being one: ‖Hv − λv‖."""

    value: float
    vector: Tensor
    residual: float


class NotConvergedError(ArithmeticError):
    """The Lanczos iteration ended before its tolerance was reached."""


def top_eigenpair(operator: Operator, tolerance: float = 1e-3, kept: int = 12, seed: int = 0) -> Eigenpair:
    """The largest (algebraic) eigenvalue, by ARPACK's restarted Lanczos.

    Args:
        operator: A symmetric matrix.
        tolerance: Relative accuracy at which ARPACK stops.
        kept: Lanczos vectors in memory: `kept` × size numbers (7.8 GB at 160M).
        seed: Of the start vector.

    Raises:
        NotConvergedError: After 20 restarts, or where a product is not finite.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    narrow = np.float32 if operator.dtype == torch.float32 else np.float64

    def product(vector: NDArray[np.floating]) -> NDArray[np.floating]:
        given = torch.as_tensor(vector.reshape(-1), dtype=operator.dtype, device=operator.device)
        found = operator.times(given)
        if not bool(torch.isfinite(found).all()):
            raise NotConvergedError("non-finite Hessian product")
        return np.asarray(found.cpu().numpy())

    if operator.size < 3:
        return _small(operator)
    matrix: Any = LinearOperator((operator.size, operator.size), matvec=product, dtype=narrow)
    start: Any = np.random.default_rng(seed).normal(size=operator.size).astype(narrow)
    try:
        values, vectors = eigsh(
            matrix, k=1, which="LA", tol=tolerance, ncv=min(kept, operator.size), v0=start, maxiter=20
        )
    except ArpackError as error:
        raise NotConvergedError("no convergence in 20 restarts of Lanczos") from error
    vector = torch.as_tensor(vectors[:, 0], dtype=operator.dtype, device=operator.device)
    residual = operator.times(vector) - float(values[0]) * vector
    return Eigenpair(float(values[0]), vector, float(residual.norm()))


def hessian_top(hessian: Hessian, tolerance: float = 1e-3, kept: int = 12, seed: int = 0) -> Estimate:
    """Largest eigenvalue of the Hessian of the mean loss: how sharp the surface is in its sharpest direction.

    Range any real number (negative where the surface curves down everywhere); the unit is nats per squared weight.

    How it misleads: the curvature of a solved task falls with its loss (185 at loss 1.7, 2.0 at loss .001 on one lab
    run), so a falling curve may say no more than that: read it beside the loss. Rescaling weights of a normed layer
    changes it without changing the function. That of n examples is biased upwards. The error is first-order, the
    spread of vᵀH_i v over examples: it sees which examples were drawn, not whether Lanczos stopped at a lower
    eigenvalue (a residual above 1 % adds a reason).

    Args:
        hessian: Of the surface; needs attention that can be differentiated twice, which it sees to itself.
        tolerance: Relative accuracy at which Lanczos stops; 1e-3 gives about 1e-6 in the eigenvalue.
        kept: Lanczos vectors in memory.
        seed: Of the start vector.

    Returns:
        Estimate with a standard error over examples. About 13 products and one third derivative.

    Source: Lehoucq et al. 1998, ARPACK; double backward after Pearlmutter 1994.
    """
    n = hessian.surface.n
    try:
        pair = top_eigenpair(hessian, tolerance, kept, seed)
    except NotConvergedError as error:
        return unknown(n, INFINITE, str(error))
    own = hessian.curvatures(pair.vector).double()
    error_over_examples = float(own.std() / math.sqrt(n)) if n > 1 else float("nan")
    loose = pair.residual > 0.01 * abs(pair.value)
    reason = f"the residual is {pair.residual:.3g}, over 1 % of the eigenvalue" if loose else ""
    return Estimate(pair.value, error_over_examples, INFINITE, n, reason)


def both_ends(operator: Operator, n: int, steps: int = 60, seed: int = 0) -> Mapping[str, Estimate]:
    """Smallest and largest eigenvalue from one Lanczos run with full re-orthogonalisation.

    How it misleads: the smallest sits at the edge of the bulk at zero and converges 10 to 20 times later than the
    largest; the error here is the residual ‖Hv − λv‖, which bounds the distance to *some* eigenvalue. A value within
    its residual of zero does not even tell the sign.

    Args:
        operator: A symmetric matrix.
        n: Examples behind it, for the record.
        steps: Products, and vectors in memory (9.6 GB for 15 at 160M).
        seed: Of the start vector.

    Returns:
        `hessian_bottom` and `hessian_top_lanczos`, each with its residual as error.
    """
    alpha, beta, basis = lanczos(operator, steps, seed)
    if not np.isfinite(alpha).all():
        return {name: unknown(n, INFINITE, "non-finite Hessian product") for name in _ENDS}
    values, vectors = np.linalg.eigh(np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1))
    found = {}
    for name, end in _ENDS.items():
        residual = float(abs(beta[-1] * vectors[-1, end]))
        wide = residual > 0.01 * abs(values[end])
        reason = f"not converged in {len(basis)} products: the error is the residual" if wide else ""
        found[name] = Estimate(float(values[end]), residual, INFINITE, n, reason)
    return found


_ENDS = {"hessian_bottom": 0, "hessian_top_lanczos": -1}


def hessian_trace(operator: Operator, n: int, products: int = 64, seed: int = 0) -> Estimate:
    """Trace by Hutch++: exact on a sketch of the large directions, random probes for the rest.

    tr(QᵀHQ) + (1/m) Σ gᵀ(I − QQᵀ) H (I − QQᵀ) g, with Q an orthonormal basis of H S; unbiased. Range any real number;
    the unit is nats per squared weight.

    How it misleads: plain Hutchinson has an error of √2 ‖H‖_F/√probes, 40 % with four probes where one outlier
    carries half the trace; this one removes the outliers first. Positive and negative curvature cancel in it. The
    error is that of the probes alone: nothing about which examples were drawn.

    Args:
        operator: A symmetric matrix.
        n: Examples behind it, for the record.
        products: In all, a third of them for the sketch, which holds `products`/3 vectors in memory.
        seed: Of sketch and probes.

    Returns:
        Estimate with the standard error of the probes.

    Source: Meyer et al. 2021, Hutch++, algorithm 1.
    """
    generator = torch.Generator().manual_seed(seed)
    sketched = max(1, min(products // 3, operator.size))
    basis: list[Tensor] = []
    for _ in range(sketched):
        column = _orthogonal(operator.times(_signs(operator, generator)), basis)
        if column is not None:
            basis.append(column)
    exact = sum(float(q @ operator.times(q)) for q in basis)
    rest = []
    for _ in range(max(products - sketched - len(basis), 2)):
        probe = _signs(operator, generator)
        for q in basis:
            probe -= (q @ probe) * q
        rest.append(float(probe @ operator.times(probe)))
    value = exact + float(np.mean(rest))
    if not math.isfinite(value):
        return unknown(n, INFINITE, "non-finite Hessian product")
    return Estimate(value, float(np.std(rest, ddof=1) / math.sqrt(len(rest))), INFINITE, n)


def lanczos(
    operator: Operator, steps: int, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[Tensor]]:
    """Lanczos with full re-orthogonalisation: the diagonal, what stands beside it (one more), and the basis.

    Ends early where the space is exhausted; the last number beside the diagonal is then 0.
    """
    generator = torch.Generator().manual_seed(seed)
    vector = torch.randn(operator.size, generator=generator, dtype=torch.float64)
    vector = (vector / vector.norm()).to(operator.device, operator.dtype)
    basis, alpha, beta = [vector], [], []
    for _ in range(min(steps, operator.size)):
        product = operator.times(basis[-1])
        alpha.append(float(basis[-1] @ product))
        size = float(product.norm())
        for _ in range(2):
            for q in basis:
                product -= (q @ product) * q
        norm = float(product.norm())
        beta.append(norm if norm > _ROUNDING * size else 0.0)
        if beta[-1] == 0.0 or not math.isfinite(norm) or len(basis) == steps:
            break
        basis.append(product / norm)
    return np.array(alpha), np.array(beta), basis


def _orthogonal(vector: Tensor, basis: list[Tensor]) -> Tensor | None:
    """What is left of a vector outside a basis, at length 1; None where only rounding is left."""
    size = float(vector.norm())
    for _ in range(2):
        for q in basis:
            vector -= (q @ vector) * q
    norm = float(vector.norm())
    return vector / norm if norm > _ROUNDING * size or not math.isfinite(norm) else None


def _signs(operator: Operator, generator: torch.Generator) -> Tensor:
    signs = torch.randint(2, (operator.size,), generator=generator) * 2 - 1
    return signs.to(operator.device, operator.dtype)


def _small(operator: Operator) -> Eigenpair:
    """A matrix too small for ARPACK, whole."""
    unit = torch.eye(operator.size, dtype=operator.dtype, device=operator.device)
    values, vectors = torch.linalg.eigh(torch.stack([operator.times(e) for e in unit]))
    return Eigenpair(float(values[-1]), vectors[:, -1], 0.0)

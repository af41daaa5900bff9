"""A symmetric matrix that is known by its products with vectors, and the Hessian as one.

Estimators (`hessian.py`, `density.py`) see an `Operator`, never a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from pythia_geometry.landscape.surface import Surface, flat, shaped, twice_differentiable


class Operator(Protocol):
    """A symmetric matrix [size, size]."""

    size: int
    device: torch.device
    dtype: torch.dtype

    def times(self, vector: Tensor) -> Tensor:
        """The product with a vector [size]."""
        ...


class Hessian:
    """The Hessian of a surface's mean loss, by double backward: about 3.2 forward and backward passes a product.

    Attributes:
        size: Parameters that may vary.
        products: Products taken so far.
    """

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.size = surface.n_parameters
        self.device = surface.device
        self.dtype = next(iter(surface.weights.values())).dtype
        self.products = 0

    def times(self, vector: Tensor) -> Tensor:
        """H v, the mean over all examples [size]."""
        self.products += 1
        total = torch.zeros_like(vector)
        with twice_differentiable():
            for batch in self.surface.batches():
                leaves = self.surface.leaves()
                loss = self.surface.losses_at(leaves, batch).sum() / self.surface.n
                gradient = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
                direction = shaped(vector, leaves)
                slope = _dot(gradient, list(direction.values()))
                total += _gradient(slope, leaves)
        return total

    def curvatures(self, vector: Tensor) -> Tensor:
        """vᵀ H_i v of every example's own Hessian [n]: its mean is vᵀ H v, its spread says how sure that is.

        By a third derivative, with respect to weights u_i of the examples in the loss.
        """
        found = []
        with twice_differentiable():
            for batch in self.surface.batches():
                leaves = self.surface.leaves()
                losses = self.surface.losses_at(leaves, batch)
                u = torch.ones_like(losses, requires_grad=True)
                first = torch.autograd.grad((u * losses).sum(), list(leaves.values()), create_graph=True)
                direction = list(shaped(vector, leaves).values())
                slope = _dot(first, direction)
                second = torch.autograd.grad(slope, list(leaves.values()), create_graph=True, materialize_grads=True)
                bend = _dot(second, direction)
                found.append(torch.autograd.grad(bend, u)[0])
        return torch.cat(found)


def gradient(surface: Surface) -> Tensor:
    """Gradient of the mean loss over all examples [size]."""
    total = torch.zeros(surface.n_parameters, device=surface.device, dtype=next(iter(surface.weights.values())).dtype)
    for batch in surface.batches():
        leaves = surface.leaves()
        total += _gradient(surface.losses_at(leaves, batch).sum() / surface.n, leaves)
    return total


def _dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """The inner product of two vectors that lie in pieces."""
    return torch.stack([(a * b).sum() for a, b in zip(left, right, strict=True)]).sum()


def _gradient(value: Tensor, leaves: dict[str, Tensor]) -> Tensor:
    """Flat gradient; zero where nothing depends on a leaf, as for a loss that is linear in it."""
    if not value.requires_grad:
        return torch.zeros_like(flat(leaves)).detach()
    parts = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
    return flat(parts)

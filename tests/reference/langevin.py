"""Slow twins of what walks on a surface: Langevin steps and a search along a line, one number at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pythia_geometry.landscape.surface import Surface, flat, shaped

Array = NDArray[np.float64]


def rises(
    surface: Surface, step: float, n_beta: float, pull: float, batches: Sequence[Tensor], noise: Sequence[Tensor]
) -> Array:
    """Before every step, the batch's mean loss minus that at the start: w ← w − ε/2 (nβ ∇L + γ (w − w₀)) + √ε ξ."""
    start = flat(surface.weights).clone()
    now, found = start.clone(), []
    for index, xi in zip(batches, noise, strict=True):
        point = now.clone().requires_grad_()
        loss = surface.losses_at(shaped(point, surface.weights), surface.rows(index)).mean()
        at_start = surface.losses_at(shaped(start, surface.weights), surface.rows(index)).mean()
        found.append(float((loss - at_start).detach()))
        (gradient,) = torch.autograd.grad(loss, point)
        now = now - step / 2 * (n_beta * gradient + pull * (now - start)) + step**0.5 * xi
    return np.array(found)


def first_rise(height: Callable[[float], float], largest: float, grid: int = 20_000) -> float:
    """The smallest step of a fine grid that raises the height."""
    here = height(0.0)
    return next(eta for eta in np.linspace(0, largest, grid + 1)[1:] if height(float(eta)) > here)

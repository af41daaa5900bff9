"""Gradients and Hessians of a loss surface one example and one column at a time, with the model's own backward pass."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pythia_geometry.landscape.surface import Surface

Array = NDArray[np.float64]


def example_gradients(surface: Surface) -> Array:
    """The gradient of every example's loss [n, P], by n ordinary backward passes of the module itself."""
    parameters = [p for name, p in surface.module.named_parameters() if name in surface.weights]
    rows = []
    for parameter in parameters:
        parameter.requires_grad_(True)
    for i in range(surface.n):
        loss = surface.losses(surface.module, surface.rows(slice(i, i + 1)))[0]
        parts = torch.autograd.grad(loss, parameters, allow_unused=True)
        rows.append(
            torch.cat(
                [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, parts, strict=True)]
            )
        )
    for parameter in parameters:
        parameter.requires_grad_(False)
    return torch.stack(rows).double().numpy()


def dense_hessian(surface: Surface) -> Array:
    """The whole Hessian [P, P] of the mean loss, symmetrised: double backward against every unit vector."""
    parameters = [p.requires_grad_(True) for p in surface.module.parameters()]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        loss = surface.losses(surface.module, surface.rows(slice(None))).mean()
        first = torch.autograd.grad(loss, parameters, create_graph=True)
        whole = torch.cat([g.flatten() for g in first])
        columns = []
        for units in torch.eye(len(whole)).split(128):
            parts = torch.autograd.grad(whole, parameters, grad_outputs=units, retain_graph=True, is_grads_batched=True)
            columns.append(torch.cat([p.flatten(1) for p in parts], dim=1))
    for parameter in parameters:
        parameter.requires_grad_(False)
    matrix = torch.cat(columns).detach().double().numpy()
    return (matrix + matrix.T) / 2


def parabola_llc(curvatures: Array, n_beta: float, gamma: float) -> float:
    """What SGLD with small steps must find on ½ Σ h w²: ½ Σ nβ h / (nβ h + γ)."""
    return float((n_beta * curvatures / (n_beta * curvatures + gamma)).sum() / 2)

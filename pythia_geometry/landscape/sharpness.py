"""How far along the way to the suite's next checkpoint the loss begins to rise: a few forward passes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from pythia_geometry.geometry.cloud import Estimate, unknown
from pythia_geometry.landscape.surface import Surface

_SMALLEST, _LARGEST = 2.0**-6, 2.0**6
_BISECTIONS = 5


def checkpoint_sharpness(
    surface: Surface, following: Mapping[str, Tensor], start: Mapping[str, Tensor] | None = None
) -> Estimate:
    """Critical sharpness λ_c = 2/η_c along w(next) − w, with η_c the smallest step along it that raises the loss.

    A step of η = 1 is the way to the next checkpoint. On a parabola λ_c is the curvature along the way divided by the
    slope: 1 if the next checkpoint sits at its bottom, 2 if it has climbed to the old height. Range above 0; no unit.

    How it misleads: the published measure goes along the optimiser's next *step*; this is the way to the suite's next
    *checkpoint*, a thousand steps on, so its level depends on the spacing of the grid: compare equal spacings only.
    Sought among steps of 1/64 to 64 times the way; beyond, a reason and no number. A path that first climbs over
    a ridge between two searched steps is not seen.

    Args:
        surface: At the checkpoint, or at another one if `start` is given.
        following: The next checkpoint's weights by parameter name.
        start: The checkpoint's own weights, where the surface's model holds others.

    Returns:
        Estimate; the middle of the search's last bracket, with half its width as error: not one over examples. 6 to 18
        forward passes of the examples.

    Source: arXiv 2601.16979 (critical sharpness), with the direction changed and named for it.
    """
    own = surface.weights
    start = own if start is None else {name: start[name].to(w.device, w.dtype) for name, w in own.items()}
    way = {name: following[name].to(w.device, w.dtype) - w for name, w in start.items()}
    if not any(bool(step.any()) for step in way.values()):
        return unknown(surface.n, math.inf, "the next checkpoint has the same weights")

    def height(eta: float) -> float:
        moved = {name: torch.add(w, way[name], alpha=eta) for name, w in start.items()}
        return float(surface.all_losses(moved).double().mean())

    here = height(0.0)
    if not math.isfinite(here):
        return unknown(surface.n, math.inf, "non-finite loss")
    low, high = _bracket(height, here)
    if low == 0.0:
        return unknown(surface.n, math.inf, "the way to the next checkpoint raises this loss from its first step")
    if high > _LARGEST:
        return unknown(surface.n, math.inf, f"the loss is not raised within {_LARGEST:.0f} times the way")
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if _raised(height(middle), here) else (middle, high)
    return Estimate(1 / low + 1 / high, 1 / low - 1 / high, math.inf, surface.n)


def _bracket(height: object, here: float) -> tuple[float, float]:
    """The largest searched step that does not raise the loss, 0 if none, and the one after it."""
    assert callable(height)
    eta = 1.0
    if _raised(height(eta), here):
        while eta > _SMALLEST:
            eta /= 2
            if not _raised(height(eta), here):
                return eta, 2 * eta
        return 0.0, eta
    while eta <= _LARGEST:
        eta *= 2
        if _raised(height(eta), here):
            return eta / 2, eta
    return eta / 2, eta


def _raised(height: float, here: float) -> bool:
    return not height <= here  # a loss that is not finite counts as raised

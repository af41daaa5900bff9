"""Critical sharpness along a given way, where a parabola gives the answer."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from pythia_geometry.landscape.sharpness import checkpoint_sharpness
from pythia_geometry.landscape.surface import Surface
from tests.landscape.small_surfaces import parabola


def _at(place: list[float], curvatures: list[float]) -> Surface:
    surface = parabola(torch.tensor(curvatures), n=4)
    surface.module.get_parameter("w").copy_(torch.tensor(place))
    return surface


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0, 1.9, 2.5, 30.0])
def test_on_a_parabola_it_is_curvature_over_slope(share: float) -> None:
    surface = _at([1.0, -2.0], [3.0, 3.0])
    following = {"w": torch.tensor([1.0, -2.0]) * (1 - share)}
    found = checkpoint_sharpness(surface, following)
    assert found.value == pytest.approx(share, rel=0.04)
    assert abs(found.value - share) <= found.error + 1e-6


def test_ways_that_have_no_such_step() -> None:
    surface = _at([1.0, 0.0], [3.0, 0.0])
    uphill = checkpoint_sharpness(surface, {"w": torch.tensor([2.0, 0.0])})
    assert math.isnan(uphill.value) and "from its first step" in uphill.reason
    flat = checkpoint_sharpness(surface, {"w": torch.tensor([1.0, 1.0])})
    assert math.isnan(flat.value) and "not raised within" in flat.reason
    same = checkpoint_sharpness(surface, {"w": torch.tensor([1.0, 0.0])})
    assert math.isnan(same.value) and "same weights" in same.reason
    broken = replace(surface, losses=lambda module, batch: batch["slopes"][:, 0] / 0)
    assert "non-finite" in checkpoint_sharpness(broken, {"w": torch.zeros(2)}).reason

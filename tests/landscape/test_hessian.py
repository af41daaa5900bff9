"""Eigenvalues, trace and density against the dense Hessian of two architectures, within a bounded number of products."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from pythia_geometry.landscape.density import hessian_negative_share, spectral_density
from pythia_geometry.landscape.hessian import both_ends, hessian_top, hessian_trace, top_eigenpair
from pythia_geometry.landscape.operator import Hessian, gradient
from tests.landscape.small_surfaces import parabola, trained
from tests.reference.loss_surface import dense_hessian, example_gradients

ARCHITECTURES = ["gpt-neox", "gpt2"]


@cache
def _case(architecture: str) -> tuple[Hessian, np.ndarray]:
    surface = trained(architecture)
    return Hessian(surface), dense_hessian(surface)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_products_and_gradient(architecture: str) -> None:
    hessian, dense = _case(architecture)
    vector = torch.randn(hessian.size, generator=torch.Generator().manual_seed(0))
    expected = dense @ vector.double().numpy()
    assert np.abs(hessian.times(vector).numpy() - expected).max() < 1e-5 * np.abs(expected).max()
    own = example_gradients(hessian.surface).mean(0)
    assert np.allclose(gradient(hessian.surface).numpy(), own, atol=1e-6)
    curvatures = hessian.curvatures(vector)
    assert len(curvatures) == 32
    assert float(curvatures.mean()) == pytest.approx(float(vector.double().numpy() @ expected), rel=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_largest_eigenvalue_in_21_products(architecture: str) -> None:
    hessian, dense = _case(architecture)
    before = hessian.products
    pair = top_eigenpair(hessian)
    assert hessian.products - before <= 21
    values, vectors = np.linalg.eigh(dense)
    assert pair.value == pytest.approx(values[-1], rel=1e-4)
    assert abs(pair.vector.double().numpy() @ vectors[:, -1]) == pytest.approx(1, abs=1e-4)


def test_its_error_is_the_spread_over_examples() -> None:
    hessian, _ = _case("gpt-neox")
    found, pair = hessian_top(hessian), top_eigenpair(hessian)
    own = [float(Hessian(hessian.surface.first(i + 1)).curvatures(pair.vector)[-1]) for i in range(32)]
    assert found.error == pytest.approx(np.std(own, ddof=1) / np.sqrt(32), rel=1e-3)
    assert not found.reason and found.n == 32


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_both_ends_from_one_run(architecture: str) -> None:
    hessian, dense = _case(architecture)
    values = np.linalg.eigvalsh(dense)
    found = both_ends(hessian, 32)
    assert found["hessian_top_lanczos"].value == pytest.approx(values[-1], rel=1e-4)
    bottom = found["hessian_bottom"]
    assert bottom.value == pytest.approx(values[0], abs=max(2 * bottom.error, 1e-3 * abs(values[0])))
    early = both_ends(hessian, 32, steps=6)["hessian_bottom"]
    assert "not converged" in early.reason
    assert np.abs(values - early.value).min() <= early.error + 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_trace_to_two_per_cent_in_64_products(architecture: str) -> None:
    hessian, dense = _case(architecture)
    before = hessian.products
    found = hessian_trace(hessian, 32, products=64)
    assert hessian.products - before <= 64
    assert found.value == pytest.approx(np.trace(dense), rel=0.02)
    assert abs(found.value - np.trace(dense)) < 4 * found.error


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_density_outside_the_bulk(architecture: str) -> None:
    hessian, dense = _case(architecture)
    values = np.linalg.eigvalsh(dense)
    places = np.linspace(1.1 * min(values[0], -values[-1] / 10), 1.1 * values[-1], 4000)
    places = places[np.abs(places) > 0.02 * values[-1]]
    found = spectral_density(hessian)
    gap = np.abs(found.below(places).mean(axis=0) - (values[:, None] <= places).mean(axis=0))
    assert gap.max() <= 0.01
    assert hessian_negative_share(found, 32).value == pytest.approx((values < -0.02 * values[-1]).mean(), abs=0.01)


@pytest.mark.parametrize("curvatures", [[3.0], [3.0, -1.0], [3.0, -1.0, 0.5, 0.0]])
def test_matrices_of_a_few_rows(curvatures: list[float]) -> None:
    hessian = Hessian(parabola(torch.tensor(curvatures), n=8))
    assert hessian_top(hessian).value == pytest.approx(3.0, rel=1e-5)
    ends = both_ends(hessian, 8)
    assert ends["hessian_bottom"].value == pytest.approx(min(curvatures), rel=1e-4)
    trace = hessian_trace(hessian, 8)
    assert abs(trace.value - sum(curvatures)) < 4 * trace.error + 1e-4


def test_a_loss_that_is_not_finite_is_a_reason() -> None:
    hessian = Hessian(parabola(torch.tensor([np.inf, 1.0, 1.0, 1.0]), n=8))
    assert np.isnan(hessian_top(hessian).value) and "non-finite" in hessian_top(hessian).reason
    assert "non-finite" in both_ends(hessian, 8)["hessian_bottom"].reason
    assert "non-finite" in hessian_trace(hessian, 8).reason
    assert "non-finite" in hessian_negative_share(spectral_density(hessian), 8).reason


def test_a_flat_surface_has_no_share_that_curves_down() -> None:
    flat = Hessian(parabola(torch.zeros(5), n=8))
    assert "curves up nowhere" in hessian_negative_share(spectral_density(flat, probes=2, steps=4), 8).reason
    top = hessian_top(flat)
    assert top.value == 0 or top.reason
    assert hessian_trace(flat, 8).value == 0

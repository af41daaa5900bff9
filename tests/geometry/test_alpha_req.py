"""α-ReQ on planted power laws, and where it must be silent."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.geometry.decay import alpha_req
from tests.reference.clouds import gaussian_power_law, isotropic, orthonormal
from tests.reference.jackknife import delete_one_error


def _planted(n: int, d: int, alpha: float) -> np.ndarray:
    """Centred rows whose covariance has exactly the eigenvalues i^−α."""
    rng = np.random.default_rng(0)
    left = orthonormal(rng, n, d + 1)
    left = np.linalg.qr(np.c_[np.ones(n), left])[0][:, 1 : d + 1]
    return (left * np.arange(1, d + 1) ** (-alpha / 2)) @ orthonormal(rng, d, d).T


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0])
def test_an_exact_power_law(alpha: float) -> None:
    found = alpha_req(_planted(150, 60, alpha))
    assert found["alpha_req"].value == pytest.approx(alpha, abs=1e-8)
    assert found["alpha_req_r2"].value == pytest.approx(1) or alpha == 0
    assert found["alpha_req"].n == 150


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.5])
def test_gaussian_rows_in_many_dimensions(alpha: float) -> None:
    rng = np.random.default_rng(1)
    found = alpha_req(gaussian_power_law(rng, 1500, 300, alpha / 2))["alpha_req"]
    assert found.value == pytest.approx(alpha, abs=0.06)


def test_its_error_is_near_that_of_leaving_one_out() -> None:
    z = gaussian_power_law(np.random.default_rng(2), 120, 60, 0.5)
    found = alpha_req(z, last=15)["alpha_req"]
    full = delete_one_error(lambda a: alpha_req(a, last=15)["alpha_req"].value, z)
    assert found.error == pytest.approx(full, rel=0.2)


def test_no_power_law_is_named() -> None:
    rng = np.random.default_rng(3)
    two_levels = isotropic(rng, 400, 100) * np.r_[np.full(20, 10.0), np.full(80, 1.0)]
    found = alpha_req(two_levels)
    assert found["alpha_req_r2"].value < 0.9
    assert "no power law: R²" in found["alpha_req"].reason and "indices 5 to 25" in found["alpha_req"].reason


@pytest.mark.parametrize(
    ("shape", "words"),
    [((99, 400), "needs 100 rows; got 99"), ((200, 30), "needs 8 eigenvalues to fit; indices 5 to 7")],
)
def test_too_little_to_fit(shape: tuple[int, int], words: str) -> None:
    found = alpha_req(isotropic(np.random.default_rng(4), *shape))
    assert np.isnan(found["alpha_req"].value) and words in found["alpha_req"].reason


def test_degenerate_clouds_have_a_reason() -> None:
    flat = np.outer(np.random.default_rng(5).normal(size=200), np.ones(80))
    assert "nothing to fit" in alpha_req(flat)["alpha_req"].reason
    assert "same" in alpha_req(np.ones((200, 80)))["alpha_req"].reason
    assert "non-finite" in alpha_req(np.full((200, 80), np.inf))["alpha_req_r2"].reason

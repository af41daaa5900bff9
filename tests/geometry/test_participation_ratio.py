"""Participation ratio: the covariance written out, theory, and its invariances."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.geometry import participation_ratio
from tests.reference import clouds, effective_rank, noise_theory


@pytest.mark.parametrize("n, d", [(20, 64), (64, 20), (30, 30), (9, 1)])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 4.0])
def test_agrees_with_the_covariance_matrix(n: int, d: int, exponent: float) -> None:
    z = clouds.gaussian_power_law(np.random.default_rng(0), n, d, exponent) + 3
    assert participation_ratio(z).value == pytest.approx(effective_rank.participation_ratio(z), rel=1e-9)


@pytest.mark.parametrize("factor", [1e3, 1e5, 1e7])
def test_one_massive_dimension_is_all_it_sees(factor: float) -> None:
    z = clouds.isotropic(np.random.default_rng(1), 40, 60)
    z[:, 5] *= factor
    assert participation_ratio(z).value == pytest.approx(effective_rank.participation_ratio(z), rel=1e-9)
    assert participation_ratio(z).value < 1.001


@pytest.mark.parametrize("n, d", [(200, 768), (400, 200), (1000, 16)])
def test_noise_gives_nd_over_n_plus_d(n: int, d: int) -> None:
    value = participation_ratio(clouds.isotropic(np.random.default_rng(2), n, d)).value
    assert value == pytest.approx(noise_theory.participation_ratio_of_noise(n - 1, d), rel=0.015)


def test_known_variances_give_the_formula() -> None:
    axes = np.diag([3.0, 2.0, 1.0])
    value = participation_ratio(np.vstack([axes, -axes])).value
    assert value == pytest.approx((9 + 4 + 1) ** 2 / (81 + 16 + 1), rel=1e-12)


def test_one_direction_is_one() -> None:
    rng = np.random.default_rng(3)
    line = np.outer(rng.normal(size=30), rng.normal(size=12)) + rng.normal(size=12)
    assert participation_ratio(line).value == pytest.approx(1.0, abs=1e-9)


def test_scale_rotation_and_shift_change_nothing() -> None:
    rng = np.random.default_rng(4)
    z = clouds.gaussian_power_law(rng, 30, 50, 0.5)
    expected = participation_ratio(z)
    for same in (1e-30 * z, 1e30 * z, -3 * z, z @ clouds.orthonormal(rng, 50, 50), z + 100 * rng.normal(size=50)):
        assert participation_ratio(same).value == pytest.approx(expected.value, rel=1e-9)
        assert participation_ratio(same).error == pytest.approx(expected.error, rel=1e-6)


@pytest.mark.parametrize("n, d, ceiling", [(10, 30, 9), (30, 10, 10)])
def test_centring_takes_one_direction_from_the_ceiling(n: int, d: int, ceiling: int) -> None:
    assert participation_ratio(clouds.isotropic(np.random.default_rng(5), n, d)).ceiling == ceiling

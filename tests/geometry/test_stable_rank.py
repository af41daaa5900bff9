"""Stable rank: matrix norms, known diagonals, and that the mean counts."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.geometry import stable_rank
from tests.reference import clouds, effective_rank, noise_theory


@pytest.mark.parametrize("n, d", [(20, 64), (64, 20), (30, 30), (9, 1)])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 4.0])
def test_agrees_with_the_two_matrix_norms(n: int, d: int, exponent: float) -> None:
    z = clouds.gaussian_power_law(np.random.default_rng(0), n, d, exponent) + 0.1
    assert stable_rank(z).value == pytest.approx(effective_rank.stable_rank(z), rel=1e-9)


@pytest.mark.parametrize(
    "diagonal, expected",
    [([1, 1, 1, 1], 4.0), ([2, 1, 1], 1.5), ([3, 4, 0], 25 / 16), ([-10, 1, 1e-9], 1.01), ([1, 0, 0], 1.0)],
)
def test_known_diagonals(diagonal: list[float], expected: float) -> None:
    rows = np.vstack([np.diag(diagonal).astype(float)] * 2)  # twice: no direction hangs on one row alone
    assert stable_rank(rows).value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n, d", [(200, 768), (400, 200)])
def test_noise_gives_the_edge_of_the_spectrum(n: int, d: int) -> None:
    value = stable_rank(clouds.isotropic(np.random.default_rng(1), n, d)).value
    assert value == pytest.approx(noise_theory.stable_rank_of_noise(n, d), rel=0.04)


def test_a_large_mean_alone_brings_it_to_one() -> None:
    rng = np.random.default_rng(2)
    assert stable_rank(clouds.isotropic(rng, 50, 80) + 100 * rng.normal(size=80)).value < 1.001


def test_scale_and_rotation_change_nothing() -> None:
    rng = np.random.default_rng(3)
    z = clouds.gaussian_power_law(rng, 30, 50, 0.5)
    expected = stable_rank(z)
    for same in (1e-30 * z, 1e30 * z, -3 * z, z @ clouds.orthonormal(rng, 50, 50)):
        assert stable_rank(same).value == pytest.approx(expected.value, rel=1e-9)
        assert stable_rank(same).error == pytest.approx(expected.error, rel=1e-6)


@pytest.mark.parametrize("n, d", [(10, 30), (30, 10)])
def test_the_ceiling_is_the_smaller_side(n: int, d: int) -> None:
    assert stable_rank(clouds.isotropic(np.random.default_rng(4), n, d)).ceiling == min(n, d)

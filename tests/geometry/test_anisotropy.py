"""Anisotropy: a loop over all pairs, known arrangements, and its exact jackknife."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.geometry import anisotropy
from tests.reference import clouds, pairwise_cosine
from tests.reference.jackknife import delete_one_error


@pytest.mark.parametrize("n, d", [(12, 40), (40, 12), (3, 5), (2, 5)])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_is_the_mean_over_all_pairs(n: int, d: int, shift: float) -> None:
    z = clouds.isotropic(np.random.default_rng(0), n, d) + shift
    assert anisotropy(z).value == pytest.approx(pairwise_cosine.anisotropy(z), abs=1e-12)


@pytest.mark.parametrize("n, d", [(12, 40), (25, 6), (3, 5)])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_its_error_is_the_full_delete_one_jackknife(n: int, d: int, shift: float) -> None:
    z = clouds.isotropic(np.random.default_rng(1), n, d) + shift
    assert anisotropy(z).error == pytest.approx(delete_one_error(pairwise_cosine.anisotropy, z), rel=1e-9)


def test_two_rows_have_a_value_and_no_error() -> None:
    estimate = anisotropy([[1.0, 0.0], [1.0, 1.0]])
    assert estimate.value == pytest.approx(np.sqrt(0.5))
    assert np.isnan(estimate.error)


@pytest.mark.parametrize("n", [3, 10])
def test_a_simplex_is_as_spread_as_rows_can_be(n: int) -> None:
    simplex = np.eye(n) - 1 / n
    assert anisotropy(simplex).value == pytest.approx(-1 / (n - 1), rel=1e-12)


def test_parallel_rows_are_one_whatever_their_lengths() -> None:
    rows = np.outer([1.0, 5.0, 0.1, 1e-6, 1e6], [3.0, -1.0, 2.0])
    assert anisotropy(rows).value == pytest.approx(1.0, abs=1e-12)
    assert anisotropy(rows).value <= 1.0


def test_noise_is_zero_within_its_error() -> None:
    estimate = anisotropy(clouds.isotropic(np.random.default_rng(2), 300, 100))
    assert abs(estimate.value) < 3 * estimate.error < 0.01


def test_a_common_mean_gives_its_share_of_the_squared_length() -> None:
    rng = np.random.default_rng(3)
    mean = rng.normal(size=2000)
    value = anisotropy(clouds.isotropic(rng, 100, 2000) + mean).value
    assert value == pytest.approx(mean @ mean / (mean @ mean + 2000), abs=0.02)


def test_rotation_and_row_lengths_change_nothing_and_a_shift_does() -> None:
    rng = np.random.default_rng(4)
    z = clouds.isotropic(rng, 30, 20) + 0.5
    expected = anisotropy(z).value
    for same in (1e-30 * z, 1e30 * z, z @ clouds.orthonormal(rng, 20, 20), z * rng.uniform(0.1, 9, (30, 1))):
        assert anisotropy(same).value == pytest.approx(expected, rel=1e-9)
    assert anisotropy(z + 5).value > expected + 0.1


def test_zero_rows_have_no_direction_and_are_counted() -> None:
    z = clouds.isotropic(np.random.default_rng(5), 8, 4)
    z[[2, 6]] = 0
    estimate = anisotropy(z)
    assert np.isnan(estimate.value)
    assert np.isnan(estimate.error)
    assert estimate.reason == "2 of 8 rows are zero: no direction"

"""Linear CKA: its definition with the centring matrix, invariances, its bias, and its error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pythia_geometry.geometry import linear_cka
from tests.reference import clouds, kernel_alignment, noise_theory
from tests.reference.jackknife import delete_one_error

Array = NDArray[np.float64]


def related(seed: int, n: int, d: int, exponent: float, noise: float) -> tuple[Array, Array]:
    """A cloud, and the same cloud rotated with noise of its own kind added."""
    rng = np.random.default_rng(seed)
    x = clouds.gaussian_power_law(rng, n, d, exponent)
    y = x @ clouds.orthonormal(rng, d, d) + noise * clouds.gaussian_power_law(rng, n, d, exponent)
    return x, y


@pytest.mark.parametrize("n, d, e", [(20, 64, 64), (64, 20, 20), (30, 7, 50), (3, 2, 5)])
@pytest.mark.parametrize("shift", [0.0, 10.0])
def test_equals_the_definition(n: int, d: int, e: int, shift: float) -> None:
    rng = np.random.default_rng(0)
    x, y = clouds.isotropic(rng, n, d) + shift, clouds.gaussian_power_law(rng, n, e, 1.0) - shift
    y[:, 0] += x[:, 0]
    assert linear_cka(x, y).value == pytest.approx(kernel_alignment.linear_cka(x, y), abs=1e-10)


def test_a_cloud_is_one_with_itself_exactly_known() -> None:
    x = clouds.isotropic(np.random.default_rng(1), 30, 50)
    estimate = linear_cka(x, x)
    assert estimate.value == pytest.approx(1.0, abs=1e-12)
    assert estimate.value <= 1.0
    assert estimate.error == pytest.approx(0.0, abs=1e-9)


def test_rotation_scale_shift_and_exchange_change_nothing() -> None:
    rng = np.random.default_rng(2)
    x, y = related(2, 30, 20, 0.5, 0.5)
    expected = linear_cka(x, y)
    for same in (1e-30 * y, 1e30 * y, -3 * y, y @ clouds.orthonormal(rng, 20, 20), y + 50 * rng.normal(size=20)):
        assert linear_cka(x, same).value == pytest.approx(expected.value, rel=1e-9)
        assert linear_cka(x, same).error == pytest.approx(expected.error, rel=1e-6)
    assert linear_cka(y, x).value == pytest.approx(expected.value, rel=1e-12)


def test_stretching_one_direction_changes_it() -> None:
    x = clouds.isotropic(np.random.default_rng(3), 100, 5)
    assert linear_cka(x, x * [5.0, 1, 1, 1, 1]).value < 0.8


def test_it_compares_row_by_row() -> None:
    x = clouds.isotropic(np.random.default_rng(4), 200, 5)
    assert linear_cka(x, x[::-1]).value < 0.2


def test_orthogonal_arrangements_are_zero() -> None:
    x = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    y = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    assert linear_cka(x, y).value == 0.0


@pytest.mark.parametrize("n, d", [(128, 768), (100, 100), (500, 20)])
def test_unrelated_noise_gives_the_known_bias(n: int, d: int) -> None:
    rng = np.random.default_rng(5)
    value = linear_cka(clouds.isotropic(rng, n, d), clouds.isotropic(rng, n, d)).value
    assert value == pytest.approx(noise_theory.linear_cka_of_noise(n, d), abs=0.01)


def test_unrelated_noise_gives_the_documented_86_percent() -> None:
    rng = np.random.default_rng(6)
    value = linear_cka(clouds.isotropic(rng, 128, 768), clouds.isotropic(rng, 128, 768)).value
    assert value == pytest.approx(0.86, abs=0.005)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_its_error_is_near_the_full_delete_one_jackknife(exponent: float, noise: float) -> None:
    x, y = related(7, 60, 100, exponent, noise)
    full = delete_one_error(kernel_alignment.linear_cka, x, y)
    assert linear_cka(x, y).error == pytest.approx(full, rel=0.25)


@pytest.mark.parametrize(
    "cloud, low, high",
    [
        (lambda rng: clouds.gaussian_power_law(rng, 60, 100, 1.0), 0.55, 1.25),
        (lambda rng: clouds.gaussian_power_law(rng, 60, 100, 0.5), 0.55, 1.25),
        (lambda rng: clouds.heavy_tailed(rng, 60, 100, 3), 0.7, 1.6),
    ],
    ids=["power law 1", "power law 0.5", "heavy-tailed rows"],
)
def test_its_error_on_unrelated_clouds_stays_within_measured_bounds(
    cloud: Callable[[np.random.Generator], Array], low: float, high: float
) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, y = cloud(rng), cloud(rng)
        ratio = linear_cka(x, y).error / delete_one_error(kernel_alignment.linear_cka, x, y)
        assert low < ratio < high


def test_its_error_is_the_spread_over_fresh_clouds() -> None:
    estimates = [linear_cka(*related(seed, 80, 60, 1.0, 0.5)) for seed in range(200)]
    spread = np.std([e.value for e in estimates], ddof=1)
    assert np.mean([e.error for e in estimates]) == pytest.approx(spread, rel=0.35)


def test_clouds_of_different_row_counts_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match=r"^linear_cka needs the same prompts in both; got 5 and 6 rows$"):
        linear_cka(np.eye(5), np.eye(6))


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(
    "spoilt, reason",
    [
        (np.where(np.eye(6, 4) > 0, np.nan, 1.0), "non-finite activations in 4 of 6 rows"),
        (np.zeros((6, 4)), "all activations are zero"),
        (np.full((6, 4), 0.1), "all rows are the same"),
    ],
    ids=["nan", "zero", "constant"],
)
def test_one_spoilt_cloud_spoils_the_comparison(swap: bool, spoilt: Array, reason: str) -> None:
    sound = clouds.isotropic(np.random.default_rng(8), 6, 4)
    estimate = linear_cka(spoilt, sound) if swap else linear_cka(sound, spoilt)
    assert np.isnan(estimate.value)
    assert np.isnan(estimate.error)
    assert (estimate.n, estimate.reason) == (6, reason)

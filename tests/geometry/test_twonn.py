"""TwoNN: a double loop, balls and curves of known dimension, twins, and its exact jackknife."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.geometry import twonn
from pythia_geometry.geometry.dimension import _distinct
from tests.reference import clouds, two_nearest
from tests.reference.jackknife import delete_one_error


@pytest.mark.parametrize("n, d", [(40, 10), (30, 60), (5, 3), (25, 1)])
def test_agrees_with_a_double_loop(n: int, d: int) -> None:
    z = clouds.isotropic(np.random.default_rng(0), n, d)
    assert twonn(z).value == pytest.approx(two_nearest.twonn(z), rel=1e-9)


@pytest.mark.parametrize("distance", [1e3, 1e8])
def test_agrees_with_a_double_loop_far_from_the_origin(distance: float) -> None:
    z = distance + clouds.isotropic(np.random.default_rng(1), 30, 20)
    assert twonn(z).value == pytest.approx(two_nearest.twonn(z), rel=1e-9)


@pytest.mark.parametrize("spread", [1e-2, 1e-4])
def test_agrees_with_a_double_loop_in_tight_groups_of_four(spread: float) -> None:
    rng = np.random.default_rng(1)
    z = np.repeat(rng.normal(size=(6, 20)), 4, axis=0) + spread * rng.normal(size=(24, 20))
    assert twonn(z).value == pytest.approx(two_nearest.twonn(z), rel=1e-9)


@pytest.mark.parametrize("seed, n, d", [(0, 25, 2), (1, 25, 30), (2, 12, 1), (3, 6, 4)])
def test_its_error_is_the_full_delete_one_jackknife(seed: int, n: int, d: int) -> None:
    z = clouds.isotropic(np.random.default_rng(seed), n, d)
    assert twonn(z).error == pytest.approx(delete_one_error(two_nearest.twonn, z), rel=1e-9)


def test_with_twins_the_jackknife_leaves_out_distinct_rows() -> None:
    z = clouds.isotropic(np.random.default_rng(4), 20, 3)
    with_twins = twonn(np.vstack([z, z[:7], z[:2]]))
    assert with_twins.value == pytest.approx(two_nearest.twonn(z), rel=1e-9)
    assert with_twins.error == pytest.approx(delete_one_error(two_nearest.twonn, z), rel=1e-9)
    assert with_twins.n == 20
    assert with_twins.reason == ""


def test_distinct_rows_leave_nothing_to_say() -> None:
    estimate = twonn(clouds.isotropic(np.random.default_rng(5), 20, 3))
    assert (estimate.n, estimate.reason) == (20, "")


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_rows_that_repeat_another_up_to_rounding_count_once(copies: int, offset: float) -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(150, 12)) @ rng.normal(size=(12, 64))
    rows = [z, *(z[:30] * (1 + 1e-7 * rng.normal(size=(30, 64))) for _ in range(copies))]
    once, again = twonn(z + offset), twonn(np.vstack(rows) + offset)
    assert again.value == pytest.approx(once.value, rel=1e-5)
    assert again.error == pytest.approx(once.error, rel=1e-3)
    assert (again.n, again.reason) == (150, "")


def test_zero_and_minus_zero_are_twins() -> None:
    z = clouds.isotropic(np.random.default_rng(6), 8, 3)
    z[0], z[1] = 0.0, -0.0
    assert twonn(z).n == 7


@pytest.mark.parametrize("dimension, n", [(2, 500), (5, 1000)])
def test_a_ball_in_64_dimensions_has_its_own_dimension(dimension: int, n: int) -> None:
    seeds = range(5)
    values = [twonn(clouds.ball(np.random.default_rng(seed), n, dimension, 64)).value for seed in seeds]
    assert np.mean(values) == pytest.approx(dimension, rel=0.12)


def test_a_closed_curve_has_dimension_one() -> None:
    rng = np.random.default_rng(7)
    angle = rng.uniform(0, 2 * np.pi, 600)
    waves = np.array([f(k * angle) for k in (1, 2, 3) for f in (np.sin, np.cos)]).T
    assert twonn(waves @ clouds.orthonormal(rng, 64, 6).T).value == pytest.approx(1.0, rel=0.12)


def test_its_error_covers_the_spread_over_fresh_balls() -> None:
    estimates = [twonn(clouds.ball(np.random.default_rng(seed), 150, 2, 8)) for seed in range(200)]
    spread = np.std([e.value for e in estimates], ddof=1)
    assert 0.9 < np.mean([e.error for e in estimates]) / spread < 2.2


def test_1000_points_of_a_ten_dimensional_gaussian_give_the_documented_value() -> None:
    values = [twonn(np.random.default_rng(seed).normal(size=(1000, 10))).value for seed in range(6)]
    assert np.mean(values) == pytest.approx(9.4, abs=0.3)


def test_scale_rotation_and_shift_change_nothing() -> None:
    rng = np.random.default_rng(8)
    z = clouds.isotropic(rng, 40, 12)
    expected = twonn(z).value
    for same in (1e-30 * z, 1e30 * z, z @ clouds.orthonormal(rng, 12, 12), z + 10 * rng.normal(size=12)):
        assert twonn(same).value == pytest.approx(expected, rel=1e-9)


def test_there_is_no_ceiling_because_even_spacing_gives_any_number() -> None:
    assert twonn(clouds.isotropic(np.random.default_rng(9), 20, 7)).ceiling == np.inf
    assert twonn(np.arange(64.0)[:, None] ** 1.5 * np.ones(3)).value > 3


@pytest.mark.parametrize(
    "z, n, reason",
    [
        (np.repeat(np.eye(4), 3, axis=0), 4, "only 4 distinct rows; TwoNN needs 5"),
        (np.ones((9, 3)), 1, "only 1 distinct rows; TwoNN needs 5"),
        (np.eye(6), 6, "every point has two nearest neighbours at one distance"),
    ],
    ids=["four distinct rows", "constant rows", "equal distances"],
)
def test_what_has_no_dimension_is_nan_with_a_reason(z: np.ndarray, n: int, reason: str) -> None:
    estimate = twonn(z)
    assert np.isnan(estimate.value)
    assert np.isnan(estimate.error)
    assert (estimate.n, estimate.reason) == (n, reason)


@pytest.mark.parametrize("columns", [1, 3])
def test_distinct_rows_are_those_of_the_general_sort(columns: int) -> None:
    """With ties in the first column and without them, twins and zeros of both signs included."""
    rng = np.random.default_rng(0)
    apart, tied = rng.normal(size=(40, columns)), rng.integers(0, 3, size=(40, columns)).astype(float)
    signed = np.array([[0.0] * columns, [-0.0] * columns, [1.0] * columns])
    for rows in (apart, tied, np.vstack([apart, apart[:3]]), signed):
        np.testing.assert_array_equal(_distinct(rows), np.unique(rows, axis=0))

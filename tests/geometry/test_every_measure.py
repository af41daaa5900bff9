"""What holds for every measure: bounds, number types, order of rows, and what cannot be computed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import DTypeLike, NDArray

from pythia_geometry.geometry import Cloud, Estimate, linear_cka
from pythia_geometry.measures import MEASURES, RESIDUAL, Measure
from tests.reference import clouds

Array = NDArray[np.float64]

CENTRED = ["rankme_centred", "participation_ratio"]

OF_CLOUD = [measure for measure in MEASURES.values() if measure.reads == RESIDUAL and measure.default]
every_measure = pytest.mark.parametrize("measure", OF_CLOUD, ids=lambda measure: measure.name)


def of_array(measure: Measure, z: object) -> Estimate:
    """The measure of a fresh array, in the way a user calls it."""
    estimate: Estimate = measure.compute(z)
    return estimate


def lowest(measure: Measure, n: int) -> float:
    """The lower end of the documented range for n rows."""
    return {"anisotropy": -1 / (n - 1), "twonn": 0.0}.get(measure.name, 1.0)


def is_unknown(estimate: Estimate, reason: str) -> bool:
    """Whether value and error are NaN, for this reason."""
    return bool(np.isnan(estimate.value) and np.isnan(estimate.error) and estimate.reason == reason)


@every_measure
@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(5, 24),
    d=st.integers(1, 24),
    exponent=st.floats(0, 6),
    shift=st.sampled_from([0.0, 1.0, 1e4]),
    scale=st.sampled_from([1e-30, 1e-5, 1.0, 1e5, 1e30]),
)
def test_values_stay_within_the_documented_range(
    measure: Measure, seed: int, n: int, d: int, exponent: float, shift: float, scale: float
) -> None:
    z = (clouds.gaussian_power_law(np.random.default_rng(seed), n, d, exponent) + shift) * scale
    estimate = of_array(measure, z)
    assert estimate.value >= lowest(measure, n) - 1e-12
    if measure.name != "twonn":
        assert estimate.value <= estimate.ceiling
    assert 0 <= estimate.error < np.inf
    assert (estimate.n, estimate.reason) == (n, "")


@pytest.mark.parametrize("seed", range(40))
def test_rounding_carries_no_value_past_its_ceiling(seed: int) -> None:
    rng = np.random.default_rng(seed)
    even = clouds.orthonormal(rng, 16, 6).T
    for name in ("rankme", "rankme_centred", "rankme_rownorm", "participation_ratio", "stable_rank"):
        estimate = of_array(MEASURES[name], even)
        assert estimate.value <= estimate.ceiling
        assert estimate.value == pytest.approx(estimate.ceiling, rel=1e-9)
    parallel = np.outer(rng.uniform(0.1, 9, 8), rng.normal(size=6))
    assert of_array(MEASURES["anisotropy"], parallel).value <= 1.0
    noise = clouds.isotropic(rng, 8, 6)
    assert linear_cka(noise, noise).value <= 1.0


@every_measure
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_any_number_type_is_computed_in_float64(measure: Measure, dtype: DTypeLike) -> None:
    z = (5 * clouds.isotropic(np.random.default_rng(0), 20, 30)).astype(dtype)
    assert of_array(measure, z) == of_array(measure, z.astype(np.float64))


@every_measure
@pytest.mark.parametrize("dtype, limit", [(np.float16, 60_000), (np.float32, 3e38)])
def test_the_largest_numbers_of_a_narrow_type_are_no_problem(measure: Measure, dtype: DTypeLike, limit: float) -> None:
    z = clouds.isotropic(np.random.default_rng(1), 20, 30)
    estimate = of_array(measure, (z * (limit / np.abs(z).max())).astype(dtype))
    assert estimate.value == pytest.approx(of_array(measure, z).value, rel=0.02, abs=1e-3)


@every_measure
def test_a_list_an_array_and_a_cloud_give_the_same(measure: Measure) -> None:
    z = clouds.isotropic(np.random.default_rng(2), 20, 30)
    assert of_array(measure, z) == of_array(measure, z.tolist()) == measure.compute(Cloud(z))


@every_measure
def test_the_order_of_rows_changes_nothing(measure: Measure) -> None:
    rng = np.random.default_rng(3)
    z = clouds.gaussian_power_law(rng, 30, 20, 0.5) + 0.3
    z[7] = z[19]  # twins, too
    expected, found = of_array(measure, z), of_array(measure, rng.permutation(z))
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    assert found.error == pytest.approx(expected.error, rel=1e-9)
    assert found[2:] == expected[2:]


def test_the_common_order_of_rows_does_not_change_cka() -> None:
    rng = np.random.default_rng(4)
    x, y, order = clouds.isotropic(rng, 30, 20), clouds.isotropic(rng, 30, 9), rng.permutation(30)
    y[:, 0] += x[:, 0]
    expected, found = linear_cka(x, y), linear_cka(x[order], y[order])
    assert (found.value, found.error) == pytest.approx((expected.value, expected.error), rel=1e-9)


@every_measure
def test_the_activations_are_left_as_they_were(measure: Measure) -> None:
    z = clouds.isotropic(np.random.default_rng(5), 20, 30) + 2
    before = z.copy()
    of_array(measure, z)
    np.testing.assert_array_equal(z, before)


@every_measure
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_rows_are_counted_and_nothing_is_computed(measure: Measure, bad: float) -> None:
    z = clouds.isotropic(np.random.default_rng(6), 8, 4)
    z[2, 1] = z[5, 0] = z[5, 3] = bad
    estimate = of_array(measure, z)
    assert is_unknown(estimate, "non-finite activations in 2 of 8 rows")
    assert estimate.n == 8


@every_measure
def test_all_zero_activations_have_no_geometry(measure: Measure) -> None:
    assert is_unknown(of_array(measure, np.zeros((8, 4))), "all activations are zero")


@pytest.mark.parametrize("name", CENTRED)
@pytest.mark.parametrize("n, d", [(5, 30), (200, 8)])
@pytest.mark.parametrize("scale", [1e-30, 0.1, 1e30])
def test_constant_rows_leave_nothing_after_centring(name: str, n: int, d: int, scale: float) -> None:
    z = np.tile(scale * np.random.default_rng(7).normal(size=d), (n, 1))
    reason = "all rows are the same: nothing is left after centring"
    assert is_unknown(of_array(MEASURES[name], z), reason)


@pytest.mark.parametrize("name", CENTRED)
def test_rows_that_differ_little_are_not_constant(name: str) -> None:
    z = clouds.isotropic(np.random.default_rng(8), 20, 6)
    near = of_array(MEASURES[name], 1.0 + 1e-9 * z)
    assert near.value == pytest.approx(of_array(MEASURES[name], z).value, rel=1e-4)


@every_measure
@pytest.mark.parametrize("shape", [(1, 768), (0, 768), (768,), (2, 3, 4), ()])
def test_fewer_than_two_rows_or_another_number_of_axes_is_an_error(measure: Measure, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError) as raised:
        of_array(measure, np.ones(shape))
    message = f"needs at least 2 rows; got activations of shape {shape}. Did you pool over tokens?"
    assert str(raised.value) == message


def test_the_message_for_one_row_is_the_one_of_the_design() -> None:
    with pytest.raises(ValueError) as raised:
        Cloud(np.ones((1, 768)))
    expected = "needs at least 2 rows; got activations of shape (1, 768). Did you pool over tokens?"
    assert str(raised.value) == expected

"""RankMe in its three forms: a float64 SVD, theory and what each form must not see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pythia_geometry.geometry import Estimate, rankme, rankme_centred, rankme_rownorm
from tests.reference import clouds, effective_rank, noise_theory

Array = NDArray[np.float64]
Form = Callable[[Array], Estimate]

TWINS: dict[Form, Callable[[Array], float]] = {
    rankme: effective_rank.rankme,
    rankme_centred: effective_rank.rankme_centred,
    rankme_rownorm: effective_rank.rankme_rownorm,
}
SHAPES = {"wide": (20, 64), "tall": (64, 20), "square": (40, 40)}

every_form = pytest.mark.parametrize("form", TWINS, ids=lambda form: form.__name__)
every_shape = pytest.mark.parametrize("n, d", SHAPES.values(), ids=SHAPES)


def agrees_with_svd(form: Form, z: Array) -> None:
    assert form(z).value == pytest.approx(TWINS[form](z), rel=1e-6)


@every_form
@every_shape
def test_noise_agrees_with_an_svd(form: Form, n: int, d: int) -> None:
    agrees_with_svd(form, clouds.isotropic(np.random.default_rng(0), n, d))


@every_form
@every_shape
@pytest.mark.parametrize("exponent", [1, 2, 3, 4, 5, 6])
def test_power_law_spectra_agree_with_an_svd(form: Form, n: int, d: int, exponent: int) -> None:
    agrees_with_svd(form, clouds.power_law_spectrum(np.random.default_rng(exponent), n, d, exponent))


@every_form
@every_shape
@pytest.mark.parametrize("exponent", [0, 1, 3])
@pytest.mark.parametrize("factor", [1e3, 1e5, 1e7])
def test_one_massive_dimension_agrees_with_an_svd(form: Form, n: int, d: int, exponent: int, factor: float) -> None:
    z = clouds.power_law_spectrum(np.random.default_rng(1), n, d, exponent)
    z[:, 3] *= factor
    agrees_with_svd(form, z)


@every_form
@every_shape
@pytest.mark.parametrize("factor", [1e3, 1e5, 1e7])
def test_a_massive_first_direction_agrees_with_an_svd(form: Form, n: int, d: int, factor: float) -> None:
    sigma = 1 / np.arange(1.0, min(n, d) + 1)
    sigma[0] *= factor
    agrees_with_svd(form, clouds.exact_spectrum(np.random.default_rng(2), n, d, sigma))


@every_form
@every_shape
@pytest.mark.parametrize("factor", [1e2, 1e5])
def test_one_long_row_and_a_long_mean_agree_with_an_svd(form: Form, n: int, d: int, factor: float) -> None:
    rng = np.random.default_rng(3)
    z = clouds.gaussian_power_law(rng, n, d, 0.5)
    agrees_with_svd(form, z + factor * rng.normal(size=d))
    agrees_with_svd(form, z * np.where(np.arange(n) == 4, factor, 1.0)[:, None])


@every_form
@every_shape
def test_low_rank_and_duplicated_rows_agree_with_an_svd(form: Form, n: int, d: int) -> None:
    rng = np.random.default_rng(4)
    agrees_with_svd(form, rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)))
    agrees_with_svd(form, np.repeat(rng.normal(size=(n // 2, d)), 2, axis=0))
    agrees_with_svd(form, rng.normal(size=(5, d))[rng.integers(0, 5, n)])


@every_form
@every_shape
def test_one_direction_is_one(form: Form, n: int, d: int) -> None:
    rng = np.random.default_rng(5)
    estimate = form(np.outer(rng.normal(size=n), rng.normal(size=d)))
    assert estimate.value == pytest.approx(1.0, abs=1e-9)
    assert estimate.error == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("form", [rankme, rankme_rownorm])
def test_constant_rows_are_one_direction(form: Form) -> None:
    assert form(np.tile(np.random.default_rng(6).normal(size=30), (20, 1))).value == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("k", [2, 3, 17])
@every_shape
def test_k_equal_singular_values_are_k(k: int, n: int, d: int) -> None:
    z = clouds.exact_spectrum(np.random.default_rng(7), n, d, np.full(k, 0.3))
    assert rankme(z).value == pytest.approx(k, rel=1e-9)


def test_two_singular_values_give_the_formula() -> None:
    z = np.zeros((4, 5))
    z[0, 0], z[1, 1] = 3.0, -1.0
    assert rankme(z).value == pytest.approx(np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25)), rel=1e-12)


@every_form
@pytest.mark.parametrize("n, d", [(200, 768), (400, 200), (200, 200)])
def test_noise_gives_the_value_of_random_matrix_theory(form: Form, n: int, d: int) -> None:
    rows = n - 1 if form is rankme_centred else n
    value = form(clouds.isotropic(np.random.default_rng(8), n, d)).value
    assert value == pytest.approx(noise_theory.rankme_of_noise(rows, d), rel=4e-3)


@pytest.mark.parametrize("d, documented", [(768, 193), (2560, 198)])
def test_200_rows_of_noise_give_the_documented_start_value(d: int, documented: int) -> None:
    assert round(rankme(clouds.isotropic(np.random.default_rng(9), 200, d)).value) == documented


@every_form
@every_shape
def test_scale_rotation_and_reflection_change_nothing(form: Form, n: int, d: int) -> None:
    rng = np.random.default_rng(10)
    z = clouds.gaussian_power_law(rng, n, d, 1.0)
    expected = form(z)
    for same in (1e-30 * z, 1e30 * z, -2 * z, z @ clouds.orthonormal(rng, d, d), z[:, ::-1]):
        assert form(same).value == pytest.approx(expected.value, rel=1e-9)
        assert form(same).error == pytest.approx(expected.error, rel=1e-6)


def test_only_the_centred_form_is_blind_to_the_mean() -> None:
    rng = np.random.default_rng(11)
    z = clouds.isotropic(rng, 60, 200)
    shifted = z + 10 * rng.normal(size=200)
    assert rankme_centred(shifted).value == pytest.approx(rankme_centred(z).value, rel=1e-9)
    assert rankme(shifted).value < 0.6 * rankme(z).value
    assert rankme_rownorm(shifted).value < 0.6 * rankme_rownorm(z).value


def test_only_the_row_normalised_form_is_blind_to_row_lengths() -> None:
    rng = np.random.default_rng(12)
    z = clouds.isotropic(rng, 60, 200)
    z_long = z * np.where(np.arange(60) == 7, 100.0, rng.uniform(0.5, 2, 60))[:, None]
    assert rankme_rownorm(z_long).value == pytest.approx(rankme_rownorm(z).value, rel=1e-9)
    assert rankme(z_long).value < 0.7 * rankme(z).value
    assert rankme_centred(z_long).value < 0.7 * rankme_centred(z).value


def test_a_zero_row_has_no_direction_to_add() -> None:
    z = clouds.isotropic(np.random.default_rng(13), 20, 64)
    with_zero = rankme_rownorm(np.vstack([z, np.zeros((1, 64))]))
    assert with_zero.value == pytest.approx(rankme_rownorm(z).value, rel=1e-9)
    assert with_zero.n == 21


@pytest.mark.parametrize("n, d", [(10, 30), (30, 10)])
def test_the_ceiling_is_the_smaller_side(n: int, d: int) -> None:
    z = clouds.isotropic(np.random.default_rng(14), n, d)
    assert rankme(z).ceiling == rankme_rownorm(z).ceiling == min(n, d)
    assert rankme_centred(z).ceiling == min(n - 1, d)

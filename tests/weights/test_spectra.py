"""Spectra of weight matrices: planted ranks and tails, and NumPy's own SVD."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.weights.spectra import (
    effective_rank,
    singular_values,
    spectrum_measures,
    stable_rank,
    tail_exponent,
)
from tests.reference.clouds import exact_spectrum
from tests.reference.effective_rank import rankme as effective_rank_twin
from tests.reference.effective_rank import stable_rank as stable_rank_twin

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (9000, 8), (5, 5), (1, 7)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_singular_values_are_those_of_an_svd(shape: tuple[int, int], dtype: type) -> None:
    w = RNG.normal(size=shape).astype(dtype)
    expected = np.linalg.svd(w.astype(np.float64), compute_uv=False)
    assert np.allclose(singular_values(w), expected, rtol=1e-9, atol=1e-7 * expected[0])


@pytest.mark.parametrize("rank", [1, 3, 11])
def test_planted_ranks(rank: int) -> None:
    w = exact_spectrum(RNG, 60, 20, np.r_[np.full(rank, 2.0), np.zeros(20 - rank)])
    found = spectrum_measures(w)
    assert found["weight_rank"].value == pytest.approx(rank, rel=1e-6)
    assert found["weight_stable_rank"].value == pytest.approx(rank, rel=1e-6)
    assert found["weight_norm"].value == pytest.approx(2 * rank**0.5)
    assert found["weight_spectral_norm"].value == pytest.approx(2)
    assert found["weight_rank"].ceiling == 20


def test_ranks_are_those_of_the_twins() -> None:
    w = RNG.normal(size=(50, 30)) / np.arange(1, 31)
    sigma = singular_values(w)
    assert effective_rank(sigma).value == pytest.approx(effective_rank_twin(w), rel=1e-6)
    assert stable_rank(sigma).value == pytest.approx(stable_rank_twin(w), rel=1e-9)


@pytest.mark.parametrize("alpha", [2.0, 3.0, 5.0])
def test_planted_tails(alpha: float) -> None:
    eigenvalues = RNG.random(3000) ** (-1 / (alpha - 1))
    bulk = RNG.random(2000)
    found = tail_exponent(np.sqrt(np.r_[eigenvalues, bulk]))
    assert found.value == pytest.approx(alpha, abs=4 * found.error)
    assert 2000 < found.n <= 3500


def test_rounding_is_no_tail() -> None:
    left, right = (np.linalg.qr(RNG.normal(size=(128, 5)))[0] for _ in range(2))
    low = tail_exponent(singular_values((left @ right.T).astype(np.float32)))
    assert np.isnan(low.value) and "needs 20 eigenvalues; got 5" in low.reason
    even = tail_exponent(singular_values(np.linalg.qr(RNG.normal(size=(64, 64)))[0].astype(np.float32)))
    assert np.isnan(even.value) and "all eigenvalues are the same" in even.reason


def test_what_says_nothing_has_a_reason() -> None:
    for w, words in ((np.zeros((5, 4)), "zero"), (np.full((5, 4), np.nan), "non-finite"), (np.eye(12), "eigenvalues")):
        assert words in spectrum_measures(w)["weight_tail"].reason
    assert spectrum_measures(np.zeros((5, 4)))["weight_norm"].value == 0
    with pytest.raises(ValueError, match="needs a matrix"):
        singular_values(np.ones(4))

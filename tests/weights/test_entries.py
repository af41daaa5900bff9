"""The Weibull fit against SciPy's and against laws with a known shape."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import weibull_min

from pythia_geometry.weights.entries import weibull


@pytest.mark.parametrize(("shape", "scale"), [(0.7, 3.0), (1.2, 0.02), (4.0, 1e-4)])
def test_planted_shape_and_scale(shape: float, scale: float) -> None:
    rng = np.random.default_rng(0)
    w = scale * rng.weibull(shape, size=(100, 500)) * rng.choice([-1, 1], size=(100, 500))
    found = weibull(w)
    assert found["weibull_shape"].value == pytest.approx(shape, abs=4 * found["weibull_shape"].error)
    assert found["weibull_scale"].value == pytest.approx(scale, abs=4 * found["weibull_scale"].error)
    fitted, _, size = weibull_min.fit(np.abs(w).ravel(), floc=0)
    assert found["weibull_shape"].value == pytest.approx(fitted, rel=1e-3)
    assert found["weibull_scale"].value == pytest.approx(size, rel=1e-3)


def test_its_errors_are_the_spread_of_independent_draws() -> None:
    rng = np.random.default_rng(1)
    found = [weibull(rng.weibull(1.3, 400)) for _ in range(120)]
    for name in ("weibull_shape", "weibull_scale"):
        seen = np.std([f[name].value for f in found], ddof=1)
        assert np.mean([f[name].error for f in found]) == pytest.approx(seen, rel=0.25)


def test_gaussian_entries_in_half_precision() -> None:
    w = (0.02 * np.random.default_rng(0).normal(size=200_000)).astype(np.float16)
    found = weibull(w)
    assert found["weibull_shape"].value == pytest.approx(1.263, abs=0.01)
    assert found["weibull_scale"].value == pytest.approx(0.856 * 0.02, rel=0.01)


def test_what_cannot_be_fitted_has_a_reason() -> None:
    assert weibull([0.0, 0.0, 1.0, 2.0, 3.0, 5.0])["weibull_shape"].n == 4
    for w, words in (([0.0, 0.0], "all weights are zero"), ([1.0, np.inf], "non-finite"), ([2.0] * 9, "same size")):
        found = weibull(w)
        assert np.isnan(found["weibull_scale"].value) and words in found["weibull_scale"].reason

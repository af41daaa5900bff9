"""Adjusted p-values against SciPy, by hand, and by what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from pythia_geometry.analysis.precursor.multiplicity import (
    benjamini_hochberg,
    benjamini_yekutieli,
    holm,
    westfall_young,
)
from pythia_geometry.errors import PythiaGeometryError

P = [np.random.default_rng(k).uniform(size=k) ** 2 for k in (1, 2, 7, 40)] + [np.array([0.02, 0.02, 0.5])]


@pytest.mark.parametrize("p", P)
def test_false_discovery_rates_agree_with_scipy(p: np.ndarray) -> None:
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p, method="bh"))
    assert benjamini_yekutieli(p) == pytest.approx(false_discovery_control(p, method="by"))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.03]) == pytest.approx([0.03])


@pytest.mark.parametrize("p", P)
def test_holm_lies_between_the_raw_p_and_bonferroni(p: np.ndarray) -> None:
    assert (holm(p) >= p).all()
    assert (holm(p) <= np.minimum(p * len(p), 1) + 1e-12).all()
    assert (np.diff(holm(p)[np.argsort(p)]) >= 0).all()


def test_westfall_young_counts_the_largest_statistic() -> None:
    statistics = np.array([[5.0, 1.0], [4.0, 2.0], [1.0, 6.0], [0.0, 0.0]])
    assert westfall_young(statistics) == pytest.approx([2 / 4, 3 / 4])
    assert westfall_young(statistics[:, :1]) == pytest.approx([1 / 4])


def test_westfall_young_holds_the_family_and_uses_the_dependence() -> None:
    rng = np.random.default_rng(0)
    any_called, least = [], []
    for _ in range(300):
        common = rng.normal(size=(200, 1))
        found = westfall_young(common + 0.3 * rng.normal(size=(200, 12)))
        any_called.append(found.min() <= 0.05)
        least.append(found.min())
    assert np.mean(any_called) <= 0.09
    assert np.mean(any_called) >= 0.02  # Bonferroni would be at .05 / 12 of layers that are nearly one


@pytest.mark.parametrize("p", [[1.2], [-0.1, 0.5], [float("nan")], [[0.1]], list(np.full(9, 2.0))])
def test_what_is_no_p_value_is_refused(p: list[float]) -> None:
    with pytest.raises(PythiaGeometryError, match="p-values must be one row of numbers"):
        holm(p)

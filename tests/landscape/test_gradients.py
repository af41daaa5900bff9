"""Ranks and noise from a Gram matrix are those of the definitions, with the errors of leaving one out."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.landscape.gradients import GRADIENT_MEASURES, gradient_measures, gradient_participation
from tests.reference import gradient_ranks
from tests.reference.jackknife import delete_one_error


def _gradients(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "tail":
        return rng.normal(size=(24, 50)) / np.arange(1, 51) + 0.3
    if kind == "few directions":
        return rng.normal(size=(30, 5)) + 1.0
    return np.vstack([rng.normal(size=(19, 40)) + 0.5, 20 * rng.normal(size=(1, 40))])


@pytest.mark.parametrize("kind", ["tail", "few directions", "one large"])
@pytest.mark.parametrize("name", GRADIENT_MEASURES)
def test_value_and_error_are_those_of_the_twin(name: str, kind: str) -> None:
    g = _gradients(kind)
    found, twin = GRADIENT_MEASURES[name](g @ g.T), getattr(gradient_ranks, name)
    if np.isnan(found.value):
        assert (name, kind) == ("noise_scale", "one large")
        return
    assert found.value == pytest.approx(twin(g), rel=1e-6)
    if name != "gradient_largest_share":
        assert found.error == pytest.approx(delete_one_error(twin, g), rel=1e-4)
    assert found.n == len(g)


@pytest.mark.parametrize("rank", [2, 8, 32])
def test_participation_does_not_depend_on_the_number_of_examples(rank: int) -> None:
    rng = np.random.default_rng(rank)

    def mean(n: int, draws: int) -> float:
        found = []
        for _ in range(draws):
            g = rng.normal(size=(n, rank))
            found.append(gradient_participation(g @ g.T).value)
        return float(np.mean(found))

    few, many = mean(32, 200), mean(512, 10)
    assert few == pytest.approx(many, rel=0.05)
    assert many == pytest.approx(rank, rel=0.05)


def test_one_example_that_carries_the_rest_is_named() -> None:
    g = _gradients("one large")
    found = gradient_measures(g @ g.T)
    assert "one example carries" in found["fisher_rank"].reason
    assert not found["gradient_rank_unit"].reason
    assert "within two errors of zero" in found["noise_scale"].reason


@pytest.mark.parametrize("name", GRADIENT_MEASURES)
def test_what_cannot_be_computed_has_a_reason(name: str) -> None:
    for gram in (np.zeros((5, 5)), np.full((5, 5), np.nan), np.eye(3), np.eye(1)):
        found = GRADIENT_MEASURES[name](gram)
        assert np.isnan(found.value) and found.reason
    assert "needs the gradients of 4 examples; got 3" in GRADIENT_MEASURES[name](np.eye(3)).reason
    with pytest.raises(ValueError, match=r"\[n, n\]"):
        GRADIENT_MEASURES[name](np.ones((3, 4)))


def test_a_zero_gradient_has_no_direction() -> None:
    found = gradient_measures(np.diag([1.0, 1.0, 1.0, 1.0, 0.0]))
    assert found["fisher_rank"].value == pytest.approx(4.0)
    assert "1 of 5 gradients are zero" in found["gradient_cosine"].reason

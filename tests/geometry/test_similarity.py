"""Procrustes, neighbourhood overlap and debiased CKA against their twins, and what they say of unrelated clouds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pythia_geometry.geometry.cloud import Estimate
from pythia_geometry.geometry.similarity import debiased_cka, linear_cka, neighbourhood_overlap, procrustes
from tests.reference import kernel_alignment_unbiased as twins
from tests.reference.jackknife import delete_one_error

Measure = Callable[..., Estimate]
ALL: list[Measure] = [linear_cka, debiased_cka, procrustes, neighbourhood_overlap]


def _related(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)) + 3.0
    return x, x @ np.random.default_rng(9).normal(size=(5, 4)) + 0.7 * rng.normal(size=(n, 4))


def test_values_are_those_of_the_twins() -> None:
    x, y = _related(10)
    assert debiased_cka(x, y).value == pytest.approx(twins.debiased_cka(x, y), rel=1e-9)
    x, y = _related(30)
    assert procrustes(x, y).value == pytest.approx(twins.procrustes(x, y), rel=1e-9)
    assert neighbourhood_overlap(x, y, 7).value == pytest.approx(twins.neighbourhood_overlap(x, y, 7))


@pytest.mark.parametrize("shape", [(12, 40), (40, 12)])
def test_procrustes_on_either_side_of_square(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, *shape))
    assert procrustes(x, y).value == pytest.approx(twins.procrustes(x, y), rel=1e-9)


def test_errors_are_those_of_leaving_one_out() -> None:
    x, y = _related(25)
    assert debiased_cka(x, y).error == pytest.approx(
        delete_one_error(lambda a, b: debiased_cka(a, b).value, x, y), rel=1e-9
    )
    x, y = _related(150)
    assert procrustes(x, y).error == pytest.approx(
        delete_one_error(lambda a, b: procrustes(a, b).value, x, y), rel=0.05
    )


def test_the_error_of_overlap_is_near_its_spread() -> None:
    found = [neighbourhood_overlap(*_related(100, seed)) for seed in range(100)]
    seen = np.std([e.value for e in found], ddof=1)
    assert 0.5 * seen < np.mean([e.error for e in found]) < 1.5 * seen


@pytest.mark.parametrize("measure", ALL)
def test_rotation_shift_and_scale_change_nothing(measure: Measure) -> None:
    x, y = _related(40)
    turned = 3 * x @ np.linalg.qr(np.random.default_rng(5).normal(size=(5, 5)))[0] + 11
    assert measure(x, turned).value == pytest.approx(1)
    assert measure(turned, y).value == pytest.approx(measure(x, y).value)
    assert measure(y, x).value == pytest.approx(measure(x, y).value)


def test_unrelated_clouds_score_zero_only_when_debiased() -> None:
    rng = np.random.default_rng(0)
    found = [[m(*rng.normal(size=(2, 64, 300))).value for m in ALL] for _ in range(20)]
    biased, debiased, fitted, overlap = np.mean(found, axis=0)
    assert abs(debiased) < 0.02
    assert biased > 0.8 and fitted > 0.9
    assert overlap == pytest.approx(10 / 63, abs=0.02)


@pytest.mark.parametrize("measure", ALL)
def test_what_cannot_be_compared(measure: Measure) -> None:
    x, y = _related(40)
    assert "same" in measure(x, np.ones((40, 3))).reason
    with pytest.raises(ValueError, match=r"same prompts in both; got 40 and 39"):
        measure(x, y[:-1])
    few = measure(x[:4], y[:4])
    assert measure in (linear_cka, procrustes) or "needs" in few.reason

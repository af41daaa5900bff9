"""The usual tests do what they are said to do, and what they are said to do wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f as f_distribution

from pythia_geometry.analysis.precursor.usual_tests import (
    CCF_CLEAR,
    CCF_LEVELS,
    CCF_RECOVERY,
    GRANGER_CHANGES,
    HALVES,
    ONSET,
    ccf_calls,
    ccf_scores,
    closeness_scores,
    granger,
    granger_calls,
    onset_calls,
    own_rank_p,
)
from pythia_geometry.analysis.tables.step_curves import LAGS, StepCurves, lagged_products, peak_lag
from pythia_geometry.analysis.worlds.designs import GRID_154, Design
from pythia_geometry.analysis.worlds.made_up import draw, world
from tests.analysis.made_up import make

STEPS = np.unique(np.round(10 ** np.arange(0, 5.01, 0.05)))


def rise(when: float, width: float = 0.15) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-(np.log10(STEPS) - when) / width)))


def curves(*when: float) -> StepCurves:
    return StepCurves(STEPS, np.array([rise(w) for w in when]))


def slow_granger(cause: np.ndarray, effect: np.ndarray) -> float:
    target = effect[2:]
    own = np.stack([np.ones(len(target)), effect[1:-1], effect[:-2]], axis=1)
    full = np.concatenate([own, np.stack([cause[1:-1], cause[:-2]], axis=1)], axis=1)
    rest = [float(((target - x @ np.linalg.lstsq(x, target, rcond=None)[0]) ** 2).sum()) for x in (own, full)]
    freedom = len(target) - 5
    return float(f_distribution.sf((rest[0] - rest[1]) / 2 / (rest[1] / freedom), 2, freedom))


@pytest.mark.parametrize("walk", [False, True])
def test_granger_agrees_with_two_regressions(walk: bool) -> None:
    rng = np.random.default_rng(1)
    cause, effect = rng.normal(size=(3, 50)), rng.normal(size=(2, 50))
    if walk:
        cause, effect = cause.cumsum(axis=1), effect.cumsum(axis=1)
    expected = [[slow_granger(c, e) for e in effect] for c in cause]
    assert granger(cause, effect) == pytest.approx(np.array(expected), rel=1e-6)


def test_granger_finds_a_cause_and_survives_constants() -> None:
    rng = np.random.default_rng(0)
    cause = rng.normal(size=(1, 60))
    effect = np.roll(cause, 1, axis=1) + 0.1 * rng.normal(size=(1, 60))
    assert granger(cause, effect)[0, 0] < 1e-6
    assert granger(np.ones((1, 60)), effect)[0, 0] == pytest.approx(1.0)
    assert granger(cause, np.zeros((1, 60)))[0, 0] == pytest.approx(1.0)
    assert not granger_calls(StepCurves(STEPS, np.ones((1, len(STEPS)))), curves(3))[GRANGER_CHANGES].any()


def test_lagged_products_agree_with_a_loop() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 30)), rng.normal(size=(3, 30))
    found = lagged_products(first, second)
    for i, lag in enumerate(range(-20, 21)):
        pairs = [(k, k + lag) for k in range(30) if 0 <= k + lag < 30]
        assert found[1, 2, i] == pytest.approx(sum(first[1, k] * second[2, j] for k, j in pairs))
    assert lagged_products(first[:, :6], second[:, :6])[0, 0, 0] == 0.0  # no overlap at two decades


def test_peak_is_refined_inside_and_not_at_the_ends() -> None:
    parabola = -((LAGS - 0.33) ** 2)
    assert peak_lag(parabola) == pytest.approx(0.33)
    assert peak_lag(np.stack([LAGS, -LAGS])) == pytest.approx([2.0, -2.0])


@pytest.mark.parametrize(("lead", "called"), [(0.5, True), (-0.5, False)])
def test_shifted_curves_have_the_sign_of_their_shift(lead: float, called: bool) -> None:
    found = ccf_calls(curves(3 - lead), curves(3))
    assert found[CCF_RECOVERY][0, 0] == called
    assert found[CCF_CLEAR][0, 0] == called
    onsets = onset_calls(curves(3 - lead), curves(3), np.full((1, len(STEPS)), 0.01), np.zeros(1))
    assert onsets[HALVES][0, 0] == called


def test_calls_are_for_all_pairs() -> None:
    found = ccf_calls(curves(2, 3, 4), curves(2.5, 3.5))[CCF_RECOVERY]
    assert found.tolist() == [[True, True], [False, True], [False, False]]


def test_significance_calls_a_lead_where_there_is_none_and_halves_do_not() -> None:
    """The same latent curve in both: few items make behaviour late by the paper-style rule alone."""
    noisy = np.full((1, len(STEPS)), np.sqrt(0.25 / 100))
    small = StepCurves(STEPS, 0.25 + 0.15 * rise(3)[None])
    onsets = onset_calls(curves(3), small, noisy, np.array([0.25]))
    assert onsets[ONSET][0, 0]
    assert not onsets[HALVES][0, 0]


def test_levels_call_every_collapse_a_lead() -> None:
    lagging = [make("LEAD -0.5", seed) for seed in range(5)]
    called = [
        np.diag(ccf_calls(StepCurves(d.steps, d.geometry), StepCurves(d.steps, d.accuracy))[CCF_LEVELS])
        for d in lagging
    ]
    assert np.mean(called) > 0.9


def test_rank_of_the_own_geometry() -> None:
    own, controls = np.array([3.0, 1.0]), np.array([[1.0, 1.0], [2.0, 2.0], [0.0, 0.0]])
    assert own_rank_p(own, controls) == pytest.approx([1 / 4, 3 / 4])


def test_scores_are_highest_for_a_lead() -> None:
    geometry, behaviour = curves(2.7, 3.4), curves(3.0)
    score = ccf_scores(geometry, behaviour)[:, 0]
    assert score[0] > 0.9 > score[1]
    near = closeness_scores(geometry, behaviour, np.zeros(1))[:, 0]
    assert near[0] == pytest.approx(-0.3, abs=0.11)
    assert near[1] == -np.inf


def test_onset_order_has_no_level() -> None:
    """One early event for all tasks: most pairs are called."""
    rng = np.random.default_rng(5)
    rate = []
    for _ in range(10):
        drawn = draw(world("EARLY"), Design(GRID_154), rng)
        g, a = StepCurves(drawn.steps, drawn.geometry), StepCurves(drawn.steps, drawn.accuracy)
        rate.append(np.diag(onset_calls(g, a, drawn.error, drawn.baseline)[HALVES]).mean())
    assert np.mean(rate) > 0.4

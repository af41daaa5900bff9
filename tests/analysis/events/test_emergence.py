"""Onset rules on curves made by hand, and against plain loops on random ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pythia_geometry.analysis.events.emergence import (
    EMERGES,
    LAST,
    NEVER,
    RULES,
    UNTESTABLE,
    Curve,
    Onset,
    onset,
    running_median,
    wilson,
)
from pythia_geometry.errors import PythiaGeometryError
from tests.reference import onset_rules

NAN = float("nan")
STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
RISE = (0.25, 0.25, 0.25, 0.25, 0.25, 0.3, 0.5, 0.6, 0.65, 0.65)
FRACTIONS = {"F10": 0.10, "F25": 0.25, "F50": 0.50}


def curve(
    value: Sequence[float], error: float | Sequence[float] = 0.01, step: Sequence[float] = STEPS, **rest: Any
) -> Curve:
    step = step[: len(value)]
    about: dict[str, Any] = {"n": np.full(len(value), 1000.0), "chance": 0.25}
    errors = np.broadcast_to(np.asarray(error, dtype=float), (len(value),))
    return Curve(np.array(step), np.array(value), errors, **(about | rest))


def interval(found: Onset) -> tuple[str, float, float]:
    return found.label, found.after, found.by


def test_every_rule_says_between_which_two_steps() -> None:
    expected = {"E2": (16, 32), "E2x3": (16, 32), "F10": (16, 32), "F25": (32, 64), "F50": (32, 64)}
    for rule, (after, by) in expected.items():
        found = onset(curve(RISE), rule)
        assert interval(found) == (EMERGES, after, by), rule
        assert (found.baseline, found.top, found.reason) == (0.25, 0.65, "")
    assert set(expected) == set(RULES)


def test_a_flat_curve_does_not_emerge_by_any_rule() -> None:
    for rule in RULES:
        found = onset(curve([0.25] * 10), rule)
        assert found.label == NEVER
        assert np.isnan(found.after) and np.isnan(found.by)


def test_only_at_the_last_point_is_its_own_label() -> None:
    late = [0.25] * 9 + [0.65]
    for rule in RULES:
        assert interval(onset(curve(late), rule)) == (LAST, 256, 512), rule


def test_two_points_at_the_end_are_not_yet_three() -> None:
    late = [0.25] * 8 + [0.65] * 2
    assert interval(onset(curve(late), "E2")) == (EMERGES, 128, 256)
    assert onset(curve(late), "E2x3").label == NEVER


def test_three_in_a_row_need_not_last() -> None:
    hump = [0.25] * 5 + [0.5, 0.5, 0.5, 0.25, 0.25]
    assert onset(curve(hump), "E2").label == NEVER
    assert interval(onset(curve(hump), "E2x3")) == (EMERGES, 16, 32)


def test_fractions_bear_a_fifth_of_later_points_below_but_not_more() -> None:
    assert interval(onset(curve([0.25] * 5 + [0.65] * 4 + [0.25]), "F50")) == (EMERGES, 16, 32)  # 4 of 5
    assert onset(curve([0.25] * 6 + [0.65] * 3 + [0.25]), "F50").label == NEVER  # 3 of 4


def test_late_decline_does_not_lower_the_top() -> None:
    found = onset(curve([0.25] * 5 + [0.65, 0.65, 0.65, 0.5, 0.4]), "F25")
    assert found.top == 0.65
    assert interval(found) == (EMERGES, 16, 32)


def test_a_rise_under_three_errors_has_no_fractions_and_says_so() -> None:
    found = onset(curve([0.25] * 5 + [0.30] * 5, error=0.02), "F50")
    assert found.label == NEVER
    assert "2.5 standard errors" in found.reason
    assert onset(curve([0.25] * 5 + [0.30] * 5, error=0.016), "F50").label == EMERGES


def test_a_curve_that_starts_high_has_no_step_before_its_onset() -> None:
    found = onset(curve([0.8, 0.8, 0.8, 0.8], step=(1000, 2000, 3000, 4000)), "E2")
    assert found.label == EMERGES
    assert np.isnan(found.after)
    assert found.by == 1000


@pytest.mark.parametrize(
    ("levels", "expected"),
    [({"chance": 0.5}, 0.5), ({"majority": 0.6}, 0.6), ({"chance": NAN}, 0.25), ({"chance": 0.1}, 0.25)],
)
def test_baseline_is_the_largest_of_chance_majority_and_the_early_mean(
    levels: dict[str, float], expected: float
) -> None:
    assert curve(RISE, **levels).baseline == pytest.approx(expected)


def test_untrained_accuracy_above_chance_is_no_emergence() -> None:
    piqa = [0.53] * 10
    assert onset(curve(piqa, chance=0.5), "E2").label == NEVER
    assert onset(curve(piqa, chance=0.5, step=range(100, 110)), "E2").label == EMERGES  # without early steps it fools


def test_continuous_metrics_have_their_own_baseline_and_error() -> None:
    falling = curve([-11, -11, -11, -11, -11, -8, -5, -4, -4, -4], error=0.1, chance=0.0, is_share=False)
    assert falling.baseline == -11.0  # a chance level is not read
    assert interval(onset(falling, "F50")) == (EMERGES, 32, 64)
    noisy = curve([-11, -11, -11, -11, -11, -8, -5, -4, -4, -4], error=4.0, is_share=False)
    assert onset(noisy, "F50").label == NEVER
    assert onset(noisy, "E2").label == NEVER


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (curve([0.2, 0.9]), "2 steps; 3 are needed"),
        (curve([]), "0 steps; 3 are needed"),
        (curve(RISE, chance=NAN, step=range(100, 110)), "no baseline: no chance level and no step up to 16"),
        (curve(RISE, is_share=False, step=range(100, 110)), "no baseline: no chance level and no step up to 16"),
        (curve(RISE, error=NAN, is_share=False), "no errors"),
        (curve(RISE, error=0.0, n=np.full(10, NAN)), "no errors"),
    ],
)
def test_what_cannot_be_tested_says_why(made: Curve, reason: str) -> None:
    for rule in RULES:
        found = onset(made, rule)
        assert (found.label, found.reason) == (UNTESTABLE, reason)
        assert np.isnan(found.by)


def test_a_share_without_error_takes_wilsons() -> None:
    lambada = [0.0] * 7 + [0.05, 0.3, 0.6]
    known = curve(lambada, error=0.0, chance=0.0, n=np.full(10, 50.0))
    assert (known.standard_error > 0).all()
    assert interval(onset(known, "E2")) == (EMERGES, 64, 128)  # Wilson's lower end is above 0 from the first success
    perfect = curve([0.25] * 5 + [1.0] * 5, error=0.0, chance=0.25, n=np.full(10, 8.0))
    assert perfect.lower(2.0)[-1] == pytest.approx(8 / (8 + 4))
    assert np.isfinite(perfect.rise)


def test_wilson_agrees_with_its_equation() -> None:
    share, n = np.array([0.0, 0.2, 0.9, 1.0]), np.array([10.0, 50.0, 200.0, 30.0])
    for z in (1.0, 2.0):
        for bound in wilson(share, n, z):
            assert (share - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / n, abs=1e-12)


def test_running_median_takes_the_neighbours() -> None:
    assert running_median(np.array([1.0, 9.0, 2.0, 3.0, 8.0])).tolist() == [1.0, 2.0, 3.0, 3.0, 8.0]
    assert running_median(np.array([4.0])).tolist() == [4.0]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"step": (1, 2, 2)}, "steps must increase"),
        ({"step": (1, 4, 2)}, "steps must increase"),
        ({"value": (0.1, NAN, 0.3)}, "value at step 2 is not a number"),
        ({"value": (10.0, 20.0, 30.0)}, "between 0 and 1; got 10 to 30"),
        ({"n": (10, 0, 10)}, "n must be positive"),
        ({"error": (0.1, 0.1)}, "arrays of one length"),
    ],
)
def test_what_is_no_curve_is_refused(bad: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"step": (1, 2, 3), "value": (0.1, 0.2, 0.3), "error": (0.1, 0.1, 0.1), "n": (10, 10, 10)}
    with pytest.raises(PythiaGeometryError, match=message):
        Curve(**(good | bad))


def test_an_unknown_rule_is_refused_by_name() -> None:
    with pytest.raises(PythiaGeometryError, match=r"no onset rule 'E3'.*E2, E2x3, F10"):
        onset(curve(RISE), "E3")


def random_curve(rng: np.random.Generator) -> Curve:
    """A noisy sigmoid, a hump or noise, on some of the steps."""
    step = np.sort(
        rng.choice(np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 3000]), rng.integers(3, 12), False)
    )
    shape = rng.choice([0.0, 0.05, 0.4]) / (1 + np.exp(-(np.log10(step) - rng.uniform(0.5, 3)) / 0.2))
    if rng.random() < 0.3:
        shape *= step < 600
    value = np.clip(0.25 + shape + rng.normal(0, 0.03, len(step)), 0, 1)
    return Curve(
        step, value, rng.uniform(0.005, 0.05, len(step)), np.full(len(step), 100.0), 0.25, rng.choice([NAN, 0.3])
    )


def test_rules_agree_with_plain_loops() -> None:
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(400):
        made = random_curve(rng)
        step, value, error = made.step.tolist(), made.value.tolist(), made.error.tolist()
        base = onset_rules.baseline(step, value, [v for v in (made.chance, made.majority) if v == v])
        lower = [v - 2 * e for v, e in zip(value, error, strict=True)]
        expected = {
            "E2": onset_rules.sustained(lower, base),
            "E2x3": onset_rules.three_in_a_row(lower, base),
            **{rule: onset_rules.fraction(value, error, base, phi) for rule, phi in FRACTIONS.items()},
        }
        for rule, index in expected.items():
            found = onset(made, rule)
            assert found.baseline == pytest.approx(base)
            assert found.top == max(onset_rules.smoothed(value))
            if index is None:
                assert found.label == NEVER
            else:
                assert found.by == step[index]
                assert found.after == step[index - 1] if index else np.isnan(found.after)
                assert found.label == (LAST if index == len(step) - 1 else EMERGES)
            seen.add((rule, found.label))
    assert len(seen) == 3 * len(RULES)  # every rule met every label that it can give

"""Each event rule on curves made by hand, and against plain loops on random ones."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.analysis.events.rules import (
    NEVER,
    RULES,
    are_apart,
    baselines,
    comes_first,
    counts_once,
    falls,
    halfway,
    has_emerged,
    heights,
    leaves_baseline,
    peaks,
    recovers,
    returns,
    rises,
    share_error,
    three_above,
)
from pythia_geometry.analysis.tables.step_curves import running_median
from tests.reference import onset_rules

NAN = float("nan")
STEPS = np.array([1.0, 2, 4, 8, 16, 32, 64, 128, 256, 512])
RISE = np.array([[0.2, 0.2, 0.2, 0.2, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0]])
ZERO = np.array([0.2])


# -- what counts, how sure it is, where it starts ---------------------------------------------------------------


def test_of_the_same_weights_the_last_counts_whatever_the_order() -> None:
    steps, weights = np.array([0.0, 1, 2, 4]), np.array(["a", "a", "b", ""])
    assert counts_once(steps, weights).tolist() == [False, True, True, True]
    order = [2, 1, 3, 0]
    assert counts_once(steps[order], weights[order]).tolist() == [True, True, True, False]
    assert counts_once(np.array([0.0, 1]), np.array(["", ""])).all()  # unknown weights equal nothing


def test_same_weights_agree_with_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        steps = rng.permutation(12).astype(float)
        weights = rng.choice(np.array(["", "a", "b", "c", "d"]), 12)
        assert counts_once(steps, weights).tolist() == onset_rules.counts_once(steps.tolist(), weights.tolist())


def test_a_share_has_one_error_and_it_is_never_zero() -> None:
    share, n = np.array([0.0, 0.02, 0.5, 1.0]), np.full(4, 128.0)
    plain = np.sqrt(share * (1 - share) / 127)  # 0 at both ends
    expected = [onset_rules.share_error(p, 128) for p in share]
    assert share_error(share, n) == pytest.approx(expected)
    assert share_error(share, n)[1] == pytest.approx(0.0129, abs=5e-5)  # .0124 and .0159 elsewhere until now
    assert share_error(share, n, plain)[[0, 1, 3]] == pytest.approx(np.array(expected)[[0, 1, 3]])
    assert share_error(share, n, np.full(4, 0.2)) == pytest.approx(0.2)  # an error that knows of clusters
    assert share_error(np.array([0.3]), np.array([NAN]), np.array([0.1])) == pytest.approx(0.1)
    assert np.isnan(share_error(np.array([0.3, 0.0]), np.full(2, NAN), np.array([NAN, 0.0]))).all()


def test_the_error_is_half_of_wilsons_interval() -> None:
    for share, n in ((0.0, 10.0), (0.2, 50.0), (0.9, 200.0), (1.0, 30.0)):
        half = float(share_error(np.array(share), np.array(n)))
        # Both ends of Wilson's interval solve (p − x)² = x(1 − x)/n.
        ends = np.roots([1 + 1 / n, -(2 * share + 1 / n), share**2])
        assert half == pytest.approx(abs(ends[0] - ends[1]) / 2)


def test_baseline_is_the_larger_of_chance_and_untrained_accuracy() -> None:
    assert baselines(STEPS, RISE, np.array([0.1])) == pytest.approx([0.2])
    assert baselines(STEPS, RISE, np.array([0.3])) == pytest.approx([0.3])
    assert baselines(STEPS, RISE, np.array([NAN])) == pytest.approx([0.2])
    assert baselines(STEPS + 100, RISE, np.array([0.3])) == pytest.approx([0.3])
    assert np.isnan(baselines(STEPS + 100, RISE, np.array([NAN]))).all()


# -- rises --------------------------------------------------------------------------------------------------------


def test_fraction_of_the_own_range() -> None:
    assert [rises(RISE, ZERO, share)[0] for share in (0.1, 0.2, 0.45, 0.9)] == [5, 5, 6, 8]


def test_crossing_must_be_sustained_by_four_fifths_of_what_follows() -> None:
    early = RISE.copy()
    early[0, 1:3] = 0.9  # two good checkpoints, then nothing
    assert rises(early, ZERO, 0.45)[0] == 6
    late = np.array([[0.2, 0.2, 1, 1, 1, 1, 1, 1, 1, 0.2]])
    assert rises(late, ZERO, 0.5)[0] == 2  # seven of the eight that follow hold


def test_leaving_the_baseline_needs_errors_and_every_later_step() -> None:
    assert leaves_baseline(RISE, np.full((1, 10), 0.05), ZERO)[0] == 5
    assert leaves_baseline(RISE, np.full((1, 10), 0.15), ZERO)[0] == 6
    dip = RISE.copy()
    dip[0, 8] = 0.2
    assert leaves_baseline(dip, np.full((1, 10), 0.05), ZERO)[0] == 9
    assert leaves_baseline(RISE, np.full((1, 10), 0.6), ZERO)[0] == NEVER


def test_three_in_a_row_need_not_last_and_one_at_the_end_is_told_apart() -> None:
    error = np.full((1, 10), 0.05)
    hump = np.array([[0.2] * 5 + [0.5] * 3 + [0.2] * 2])
    assert (leaves_baseline(hump, error, ZERO)[0], three_above(hump, error, ZERO)[0]) == (NEVER, 5)
    assert three_above(np.array([[0.2] * 9 + [0.9]]), error, ZERO)[0] == 9
    assert three_above(np.array([[0.2] * 8 + [0.9] * 2]), error, ZERO)[0] == NEVER


def test_emergence_needs_a_rise_before_the_last_step_by_three_errors() -> None:
    small = np.full((1, 10), 0.05)
    assert has_emerged(RISE, small, ZERO)[0]
    assert not has_emerged(RISE, np.full((1, 10), 0.3), ZERO)[0]
    assert not has_emerged(np.full((1, 10), 0.2), small, ZERO)[0]
    assert not has_emerged(np.full((1, 10), 0.1), small, ZERO)[0]
    last = np.full((1, 10), 0.2)
    last[0, -1] = 0.9
    assert not has_emerged(last, small, ZERO)[0]


def test_height_in_errors_without_noise_is_infinite() -> None:
    none = np.zeros((1, 10))
    assert heights(RISE, none, ZERO)[0] == np.inf
    assert heights(np.full((1, 10), 0.2), none, ZERO)[0] == 0
    assert heights(RISE - 1, none, ZERO)[0] == -np.inf


def test_halfway_is_between_checkpoints() -> None:
    assert halfway(STEPS, RISE, ZERO)[0] == pytest.approx(np.log10(64))
    assert halfway(STEPS, RISE, np.array([0.0]))[0] == pytest.approx((np.log10(32) + np.log10(64)) / 2)


# -- falls and recoveries -----------------------------------------------------------------------------------------


def test_recovery_is_of_the_rise_after_the_floor() -> None:
    curve = np.array([[5.0, 4, 2, 1, 1, 2, 3, 4, 4, 3]])
    assert [recovers(curve, share)[0] for share in (0.1, 0.5)] == [5, 6]
    assert recovers(np.linspace(5, 1, 10)[None], 0.5)[0] == NEVER  # only falls
    assert recovers(np.array([[5.0, 3, 1, 1, 1, 1.05, 1.05, 1.05, 1, 1]]), 0.5)[0] == NEVER  # by less than .1


def test_a_return_stays_until_the_peak() -> None:
    curve = np.array([[5.0, 1, 4, 4, 1.5, 5, 5, 1]])
    assert returns(curve, 1, 5, 0.5)[0] == 5  # the first visit does not last; what follows the peak does not count
    assert peaks(curve, 1)[0] == 5 and peaks(curve, 1, 4)[0] == 2


def test_a_fall_is_downward_a_fifth_and_three_errors() -> None:
    curve = np.log(np.array([[100.0, 90, 79, 79, 100]]))
    none, some, unknown = np.zeros((1, 5)), np.full((1, 5), 0.1), np.full((1, 5), NAN)
    assert falls(curve, none, 0, 2)[0] and not falls(curve, none, 2, 0)[0] and not falls(curve, none, 2, 4)[0]
    assert not falls(np.log(np.array([[100.0, 81]])), none[:, :2], 0, 1)[0]
    assert not falls(curve, some, 0, 2)[0]  # 3 · hypot(.1, .1) = .42
    assert not falls(curve, unknown, 0, 2)[0] and not are_apart(curve, unknown, 0, 2, 0.0)[0]


def test_order_needs_both_events() -> None:
    geometry, behaviour = np.array([3, NEVER, 6]), np.array([5, NEVER])
    assert comes_first(geometry, behaviour).tolist() == [[True, False], [False, False], [False, False]]


def test_running_median_takes_the_neighbours() -> None:
    assert running_median(np.array([1.0, 9.0, 2.0, 3.0, 8.0])).tolist() == [1.0, 2.0, 3.0, 3.0, 8.0]
    for few in ([], [4.0], [4.0, 1.0]):
        assert running_median(np.array([few])).tolist() == [few]


# -- against plain loops ------------------------------------------------------------------------------------------

FRACTIONS = {"F10": 0.10, "F25": 0.25, "F50": 0.50}


def random_curves(rng: np.random.Generator, many: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Noisy sigmoids, humps or noise on some of the steps: steps, values, errors, levels."""
    every = np.array([1.0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 3000])
    step = np.sort(rng.choice(every, rng.integers(3, 12), False))
    shape = rng.choice([0.0, 0.05, 0.4], (many, 1)) / (
        1 + np.exp(-(np.log10(step) - rng.uniform(0.5, 3, (many, 1))) / 0.2)
    )
    shape = np.where((rng.random((many, 1)) < 0.3) & (step >= 600), 0, shape)
    value = np.clip(0.25 + shape + rng.normal(0, 0.03, shape.shape), 0, 1)
    return step, value, rng.uniform(0.005, 0.05, shape.shape), rng.choice([0.25, 0.3], many)


def test_rules_agree_with_plain_loops() -> None:
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(60):
        step, value, error, level = random_curves(rng, 8)
        base = baselines(step, value, level)
        found = {rule: decide(value, error, base) for rule, decide in RULES.items()}
        emerged = has_emerged(value, error, base)
        for t in range(len(value)):
            v, e, b = value[t].tolist(), error[t].tolist(), float(base[t])
            assert b == pytest.approx(onset_rules.baseline(step.tolist(), v, [float(level[t])]))
            lower = [x - 2 * y for x, y in zip(v, e, strict=True)]
            expected = {
                "E2": onset_rules.sustained(lower, b),
                "E2x3": onset_rules.three_in_a_row(lower, b),
                **{rule: onset_rules.fraction(v, e, b, phi) for rule, phi in FRACTIONS.items()},
            }
            for rule, index in expected.items():
                assert found[rule][t] == (NEVER if index is None else index), rule
                seen.add((rule, index is None, index == len(v) - 1))
            assert emerged[t] == (expected["F50"] is not None and expected["F50"] < len(v) - 1)
    assert len(seen) == 3 * len(RULES)  # every rule met never, an onset, and the last point


def test_recovery_agrees_with_plain_loops() -> None:
    rng = np.random.default_rng(6)
    seen = set()
    for _ in range(150):
        curve = np.cumsum(rng.normal(0, rng.choice([0.02, 0.3]), (4, rng.integers(3, 14))), axis=1)
        error = rng.choice([0.0, 0.05, 0.2], 4)[:, None]
        for share in (0.1, 0.5):
            found = recovers(curve, share, error)
            for t in range(4):
                expected = onset_rules.recovery(curve[t].tolist(), [float(error[t, 0])] * curve.shape[1], share)
                assert found[t] == (NEVER if expected is None else expected)
                seen.add(expected is None)
    assert seen == {True, False}

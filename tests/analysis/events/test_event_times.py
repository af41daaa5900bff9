"""Rises, recoveries and their order on curves made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.analysis.events.event_times import (
    NEVER,
    baselines,
    comes_first,
    halfway,
    has_emerged,
    leaves_baseline,
    recovers,
    rises,
)

STEPS = np.array([1.0, 2, 4, 8, 16, 32, 64, 128, 256, 512])
RISE = np.array([[0.2, 0.2, 0.2, 0.2, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0]])
ZERO = np.array([0.2])


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


def test_baseline_is_the_larger_of_chance_and_untrained_accuracy() -> None:
    assert baselines(STEPS, RISE, np.array([0.1])) == pytest.approx([0.2])
    assert baselines(STEPS, RISE, np.array([0.3])) == pytest.approx([0.3])
    assert baselines(STEPS + 100, RISE, np.array([0.3])) == pytest.approx([0.3])


def test_emergence_needs_a_rise_before_the_last_step_by_three_errors() -> None:
    small = np.full((1, 10), 0.05)
    assert has_emerged(RISE, small, ZERO)[0]
    assert not has_emerged(RISE, np.full((1, 10), 0.3), ZERO)[0]
    assert not has_emerged(np.full((1, 10), 0.2), small, ZERO)[0]
    assert not has_emerged(np.full((1, 10), 0.1), small, ZERO)[0]
    last = np.full((1, 10), 0.2)
    last[0, -1] = 0.9
    assert not has_emerged(last, small, ZERO)[0]


def test_recovery_is_of_the_rise_after_the_floor() -> None:
    curve = np.array([[5.0, 4, 2, 1, 1, 2, 3, 4, 4, 3]])
    assert [recovers(curve, share)[0] for share in (0.1, 0.5)] == [5, 6]
    assert recovers(np.linspace(5, 1, 10)[None], 0.5)[0] == NEVER  # only falls
    assert recovers(np.array([[5.0, 3, 1, 1, 1, 1.05, 1.05, 1.05, 1, 1]]), 0.5)[0] == NEVER  # by less than .1


def test_order_needs_both_events() -> None:
    geometry, behaviour = np.array([3, NEVER, 6]), np.array([5, NEVER])
    assert comes_first(geometry, behaviour).tolist() == [[True, False], [False, False], [False, False]]


def test_halfway_is_between_checkpoints() -> None:
    assert halfway(STEPS, RISE, ZERO)[0] == pytest.approx(np.log10(64))
    assert halfway(STEPS, RISE, np.array([0.0]))[0] == pytest.approx((np.log10(32) + np.log10(64)) / 2)
    assert np.isnan(halfway(STEPS, np.full((1, 10), 0.1), ZERO)).all()

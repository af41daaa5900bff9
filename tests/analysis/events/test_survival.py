"""Kaplan–Meier by hand and against scipy; the permutation log-rank keeps its level and sees a trend."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pythia_geometry.analysis.events import survival
from pythia_geometry.analysis.events.survival import kaplan_meier, log_rank
from pythia_geometry.errors import PythiaGeometryError

NAN = np.nan


def test_by_hand() -> None:
    found = kaplan_meier([10, 20, NAN, 30], [50, 50, 15, 50])
    assert found.step.tolist() == [10, 20, 30]
    assert found.at_risk.tolist() == [4, 2, 1]
    assert found.waiting == pytest.approx([0.75, 0.375, 0.0])
    assert (found.n, found.n_censored, found.median) == (4, 1, 20)


def test_without_censoring_it_is_the_share_left() -> None:
    found = kaplan_meier([1, 2, 2, 5], [9] * 4)
    assert found.waiting == pytest.approx([0.75, 0.25, 0.0])


def test_a_median_that_was_not_reached_is_not_a_number() -> None:
    assert np.isnan(kaplan_meier([10, NAN, NAN], [50, 50, 50]).median)
    none = kaplan_meier([NAN, NAN], [50, 50])
    assert (none.step.size, none.n_censored) == (0, 2)


runs = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(runs)
def test_as_scipy_counts_it(given_runs: list[tuple[int, bool]]) -> None:
    time = np.array([t for t, _ in given_runs], dtype=float)
    emerged = np.array([e for _, e in given_runs])
    found = kaplan_meier(np.where(emerged, time, NAN), time)
    if not emerged.any():
        return
    slow = stats.ecdf(stats.CensoredData.right_censored(time, ~emerged)).sf
    assert found.waiting == pytest.approx(slow.evaluate(found.step), abs=1e-12)
    assert (found.low <= found.waiting + 1e-12).all()
    assert (found.waiting <= found.high + 1e-12).all()


def test_the_statistic_is_observed_minus_expected() -> None:
    by, group = np.array([4.0, 6, 6, 9, 11, NAN]), np.array([1, 1, 0, 1, 0, 0])
    last = np.full(6, 20.0)
    expected = 0.0
    for step in (4, 6, 9, 11):
        at_risk = ~(by < step)
        expected += (by == step).sum() * (at_risk & (group == 1)).sum() / at_risk.sum()
    assert log_rank(by, last, group).statistic == pytest.approx(3 - expected)


def test_larger_models_earlier_is_seen_and_its_sign_is_positive() -> None:
    size = np.repeat([7.0, 8.0, 9.0], 6)
    by = np.concatenate([np.arange(60, 66), np.arange(40, 46), np.arange(20, 26)]).astype(float)
    found = log_rank(by, np.full(18, 99.0), size)
    assert found.p < 0.001
    assert found.statistic > 0
    assert log_rank(by, np.full(18, 99.0), -size).statistic == pytest.approx(-found.statistic)


def test_what_differs_between_strata_alone_is_no_trend() -> None:
    """Hard capabilities were tried on large models alone: within each, size says nothing."""
    rng = np.random.default_rng(0)
    easy, hard = rng.uniform(1, 10, 8), rng.uniform(60, 90, 8)
    by, last = np.concatenate([easy, hard]), np.full(16, 99.0)
    size, of = np.repeat([1.0, 2.0], 8), np.repeat(["easy", "hard"], 8)
    assert log_rank(by, last, size).p < 0.01
    assert np.isnan(log_rank(by, last, size, of.tolist()).p)  # one size a stratum


def test_never_is_later_than_late() -> None:
    by = np.array([10.0, 11, 12, 13, NAN, NAN, NAN, NAN])
    assert log_rank(by, np.full(8, 50.0), [1, 1, 1, 1, 0, 0, 0, 0]).p == pytest.approx(2 / 70, abs=0.01)


def test_its_level_holds_with_few_runs_and_censoring() -> None:
    rng = np.random.default_rng(3)
    called = 0
    for draw in range(200):
        by = rng.exponential(30, 9)
        by = np.where(by < 50, by, NAN)
        found = log_rank(by, np.full(9, 50.0), np.repeat([1.0, 2.0, 3.0], 3), draws=199, seed=draw)
        called += found.p <= 0.05
    assert called / 200 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize(
    ("by", "last", "says"),
    [([], [], "one length"), ([1], [1, 2], "one length"), ([9], [5], "at or after"), ([1], [NAN], "last step")],
)
def test_what_is_no_run_is_refused(by: list[float], last: list[float], says: str) -> None:
    with pytest.raises(PythiaGeometryError, match=says):
        kaplan_meier(by, last)


def test_scores_and_strata_must_fit() -> None:
    with pytest.raises(PythiaGeometryError, match="finite score"):
        log_rank([1, 2], [5, 5], [1, NAN])
    with pytest.raises(PythiaGeometryError, match="stratum for each of 2"):
        log_rank([1, 2], [5, 5], [1, 2], ["a"])


def test_capabilities_of_a_run_are_no_runs() -> None:
    """A run that is early in one is early in all: dealt row by row, a size that does nothing would be seen."""
    rng, n_runs, n_tasks, draws = np.random.default_rng(3), 12, 6, 60
    run, task = np.repeat(np.arange(n_runs), n_tasks), np.tile(np.arange(n_tasks), n_runs)
    size = (run % 3).astype(float)
    false = {"rows": 0, "runs": 0}
    for _ in range(draws):
        by = 10.0 ** (3 + 0.1 * task + rng.normal(0, 0.3, n_runs)[run] + rng.normal(0, 0.05, len(run)))
        last = np.full(len(by), 1e6)
        rows = log_rank(by, last, size, task.tolist(), draws=199)
        runs = log_rank(by, last, size, task.tolist(), draws=199, runs=run.tolist())
        assert runs.statistic == pytest.approx(rows.statistic) and runs.n == rows.n
        false["rows"] += rows.p <= 0.05
        false["runs"] += runs.p <= 0.05
    assert false["rows"] > 0.25 * draws
    assert false["runs"] < 0.15 * draws
    with pytest.raises(PythiaGeometryError, match="all rows of a run need one score"):
        log_rank([10.0, 20.0], [99, 99], [1.0, 2.0], runs=["a", "a"])


def test_examples_run() -> None:
    found = doctest.testmod(survival, extraglobs={"np": np})
    assert (found.failed, found.attempted) == (0, 3)

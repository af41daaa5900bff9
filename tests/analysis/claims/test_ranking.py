"""Ranks, pairs and swaps with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.claims.ranking import coarse_difficulty, concordance, swap_test, timed_concordance
from pythia_geometry.errors import PythiaGeometryError


def tasks(predictor: list[float], by: list[float], width: float = 0.0) -> pd.DataFrame:
    names = [f"t{i}" for i in range(len(by))]
    onset = np.array(by, float)
    return pd.DataFrame({"task": names, "predictor": predictor, "after": onset - 1 - width, "by": onset})


def one(predictor: list[float], by: list[float]) -> list[pd.DataFrame]:
    """One run."""
    return [tasks(predictor, by)]


def test_a_perfect_ranking_has_the_smallest_exact_p() -> None:
    found = coarse_difficulty(one([1, 2, 3, 4, 5], [10, 20, 30, 40, 50]))
    assert found.rho == pytest.approx(1)
    assert found.p == pytest.approx(2 / 120)  # two-sided: itself and its reverse
    assert (found.n, found.n_emerged) == (5, 5)
    assert found.low <= found.rho <= found.high


def test_tasks_that_never_emerge_share_the_last_rank() -> None:
    nan = float("nan")
    found = coarse_difficulty(one([1, 2, 3, 4, 6, 5], [10, 20, 30, 40, nan, nan]))
    assert found.rho == pytest.approx(np.corrcoef([1, 2, 3, 4, 6, 5], [1, 2, 3, 4, 5.5, 5.5])[0, 1])
    assert found.rho_emerged == pytest.approx(1)
    assert (found.n, found.n_emerged) == (6, 4)


@pytest.mark.slow
def test_unrelated_predictors_are_rejected_no_more_than_they_should_be() -> None:
    rng = np.random.default_rng(0)
    p = [coarse_difficulty(one(list(rng.random(6)), list(rng.permutation(6) + 1.0))).p for _ in range(40)]
    assert np.mean(np.array(p) <= 0.05) <= 0.15


def test_too_few_or_equal_tasks_give_no_number() -> None:
    assert np.isnan(coarse_difficulty(one([1, 2, 3], [1, 2, 3])).rho)
    assert np.isnan(coarse_difficulty(one([1, 1, 1, 1], [1, 2, 3, 4])).rho)


def test_pairs_whose_intervals_overlap_have_no_order() -> None:
    apart = tasks([1, 2, 3], [10, 20, 30])
    assert (concordance(apart, True).right, concordance(apart, True).total) == (3, 3)
    assert concordance(apart, False).strict == 0
    wide = tasks([1, 2, 3], [10, 20, 30], width=15)  # (−6, 10], (4, 20], (14, 30]: only the first and last are apart
    assert concordance(wide, True).total == 1


def test_ties_are_failures_in_one_number_and_halves_in_the_other() -> None:
    found = concordance(tasks([1, 1, 2], [10, 20, 30]), True)
    assert (found.right, found.wrong, found.ties) == (2, 0, 1)
    assert (found.strict, found.fair) == (pytest.approx(2 / 3), pytest.approx(2.5 / 3))
    assert np.isnan(concordance(tasks([1.0], [10.0]), True).fair)


def test_never_emerged_is_later_than_emerged_and_unordered_among_themselves() -> None:
    nan = float("nan")
    found = concordance(tasks([1, 2, 3], [10, nan, nan]), True)
    assert (found.right, found.total) == (2, 2)


def test_a_predictor_that_never_changes_scores_one_half_and_none_in_both() -> None:
    a, b = tasks([1, 2, 3], [10, 20, 30]), tasks([1, 2, 3], [30, 20, 10])
    found = swap_test(a, b, True)
    assert (found.n, found.responsive, found.both, found.mean) == (3, 0, 0, 0.5)
    assert np.isnan(found.follows)
    follows = swap_test(a, tasks([3, 2, 1], [30, 20, 10]), True)
    assert (follows.n, follows.responsive, follows.follows, follows.both, follows.mean) == (3, 3, 1, 1, 1)
    assert swap_test(a, a, True).n == 0 and np.isnan(swap_test(a, a, True).both)


def test_chance_is_a_quarter_and_a_half() -> None:
    rng = np.random.default_rng(1)
    found = [
        swap_test(
            tasks(list(rng.random(8)), list(range(10, 90, 10))),
            tasks(list(rng.random(8)), list(range(80, 0, -10))),
            True,
        )
        for _ in range(60)
    ]
    assert np.mean([s.both for s in found]) == pytest.approx(0.25, abs=0.08)
    assert np.mean([s.mean for s in found]) == pytest.approx(0.5, abs=0.08)


def test_bad_tables_are_named() -> None:
    with pytest.raises(PythiaGeometryError, match="'by' is missing"):
        coarse_difficulty([tasks([1], [1]).drop(columns="by")])
    with pytest.raises(PythiaGeometryError, match="t1 has no predictor"):
        concordance(tasks([1, float("nan")], [1, 2]), True)


def test_families_are_permuted_whole_and_runs_together() -> None:
    grouped = tasks([1, 1.1, 2, 2.1, 3, 3.1, 4, 4.1], [10, 11, 20, 21, 30, 31, 40, 41]).assign(family=list("aabbccdd"))
    found = coarse_difficulty([grouped, grouped])
    assert (found.n_families, found.n_runs) == (4, 2)
    assert found.p == pytest.approx(1 / 24)  # four families; eight tasks on their own would have said 5e-5
    timed = timed_concordance([grouped, grouped], higher_is_later=True)
    assert timed.fair == 1 and timed.p >= 1 / 24 and timed.n_pairs == 56
    assert timed.low <= timed.fair <= timed.high

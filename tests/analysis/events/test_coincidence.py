"""Pattern and behaviour together: planted coincidences are found, common trends are not taken for one."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.events.coincidence import COINCIDES, DOES_NOT, NOT_TESTABLE, coincidence, order
from pythia_geometry.errors import PythiaGeometryError

NAN = float("nan")


def units(pattern: list[float], behaviour: list[float], cell: str = "ioi") -> pd.DataFrame:
    runs = [f"seed{i}" for i in range(len(pattern))]
    return pd.DataFrame({"cell": cell, "run": runs, "pattern": pattern, "behaviour": behaviour})


SCATTERED = [10.0, 14, 19, 25, 33, 40]


def test_a_planted_coincidence_is_found() -> None:
    found = coincidence(units(SCATTERED, [b + 1 for b in SCATTERED]))
    assert found.label == COINCIDES
    assert (found.median_distance, found.within_one) == (1, 1)
    assert found.p_other_seed == pytest.approx(1 / 720)
    assert np.isnan(found.p_other_unit)
    assert found.p == found.p_other_seed
    assert (found.order.pattern_first, found.order.tied, found.order.behaviour_first) == (6, 0, 0)
    assert found.order.p == pytest.approx(2 / 64)


def test_the_p_of_few_runs_counts_every_pairing() -> None:
    rng = np.random.default_rng(5)
    pattern, behaviour = rng.integers(5, 40, 5).astype(float), rng.integers(5, 40, 5).astype(float)

    def close(dealt: np.ndarray) -> tuple[float, float]:
        return float(np.median(np.abs(dealt - behaviour))), float(np.abs(dealt - behaviour).mean())

    all_ways = [close(np.array(p)) for p in permutations(pattern)]
    wanted = np.mean([one <= close(pattern) for one in all_ways])
    assert coincidence(units(pattern.tolist(), behaviour.tolist())).p_other_seed == pytest.approx(wanted)


def test_another_order_of_the_seeds_is_no_coincidence() -> None:
    assert coincidence(units(SCATTERED, SCATTERED[::-1])).label == DOES_NOT


def test_hard_tasks_that_are_late_in_both_are_no_coincidence() -> None:
    """Each cell has its own time; within a cell pattern and behaviour do not know of each other."""
    rng = np.random.default_rng(0)
    cells = [
        units((t + rng.normal(0, 5, 8)).tolist(), (t + rng.normal(0, 5, 8)).tolist(), str(t)) for t in (20, 60, 100)
    ]
    found = coincidence(pd.concat(cells))
    assert found.p_other_unit < 0.01  # another unit of the same run is far away
    assert found.label == DOES_NOT


def test_fast_runs_that_are_early_in_all_are_no_coincidence() -> None:
    rng = np.random.default_rng(1)
    speed = rng.normal(0, 10, 8)
    cells = [
        units((60 + speed + rng.normal(0, 3, 8)).tolist(), (60 + speed + rng.normal(0, 3, 8)).tolist(), str(c))
        for c in range(4)
    ]
    found = coincidence(pd.concat(cells))
    assert found.p_other_seed < 0.01  # another seed is far away
    assert found.label == DOES_NOT


def test_speed_and_difficulty_together_are_no_coincidence() -> None:
    """Both nulls are passed every time: only what is left without cell and run can tell."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        speed = rng.normal(0, 10, 8)
        trends = [t + speed for t in (60, 90, 120, 150)]
        cells = [
            units((trend + rng.normal(0, 3, 8)).tolist(), (trend + rng.normal(0, 3, 8)).tolist(), str(i))
            for i, trend in enumerate(trends)
        ]
        found.append(coincidence(pd.concat(cells), draws=499))
    assert all(max(one.p_other_seed, one.p_other_unit) <= 0.05 for one in found)
    assert sum(one.label == COINCIDES for one in found) <= 4


def test_a_coincidence_beside_speed_and_difficulty_is_found() -> None:
    rng = np.random.default_rng(2)
    speed, cells = rng.normal(0, 10, 8), []
    for t in (60, 90, 120):
        pattern = t + speed + rng.normal(0, 5, 8)
        cells.append(units(pattern.tolist(), (pattern + rng.normal(0, 0.5, 8)).tolist(), str(t)))
    assert coincidence(pd.concat(cells)).label == COINCIDES


def test_units_that_share_what_they_attend_to_are_no_null_for_each_other() -> None:
    twins = pd.concat([units(SCATTERED, SCATTERED, "bit1"), units(SCATTERED, SCATTERED, "bit2")])
    assert coincidence(twins).p_other_unit == 1.0
    assert np.isnan(coincidence(twins, related={frozenset({"bit1", "bit2"})}).p_other_unit)


def test_onsets_that_scatter_by_less_than_two_checkpoints_are_not_testable() -> None:
    found = coincidence(units([10, 11, 12, 11, 10], [10, 11, 12, 11, 10]))
    assert found.label == NOT_TESTABLE
    assert found.reasons == ("ioi: onsets scatter by 0.8 checkpoints; expected at least 2",)
    assert np.isnan(found.p)
    assert found.median_distance == 0  # what was seen is still said


def test_too_few_runs_and_no_onsets_are_not_testable() -> None:
    assert coincidence(units([1, 9, 30], [1, 9, 30])).reasons == ("ioi: 3 runs have both onsets; expected at least 4",)
    one = coincidence(units([5.0], [6.0]))
    assert (one.label, one.reasons) == (NOT_TESTABLE, ("ioi: 1 run has both onsets; expected at least 4",))
    none = coincidence(units([NAN] * 5, [NAN] * 5))
    assert (none.label, none.reasons, none.neither) == (NOT_TESTABLE, ("no unit has both onsets",), 5)
    assert np.isnan(none.median_distance)


def test_censored_units_are_reported_apart() -> None:
    found = coincidence(units([*SCATTERED, NAN, 7, NAN], [*SCATTERED, NAN, NAN, 8]))
    assert (found.n, found.neither, found.pattern_only, found.behaviour_only) == (6, 1, 1, 1)
    assert found.label == COINCIDES


def test_a_cell_that_cannot_speak_is_named_and_the_others_are_tested() -> None:
    found = coincidence(pd.concat([units(SCATTERED, SCATTERED), units([5.0, 5, 5, 5], [5.0, 5, 5, 5], "copying")]))
    assert (found.label, found.n) == (COINCIDES, 6)
    assert found.reasons[0].startswith("copying: onsets scatter by 0.0")


def test_runs_vote_on_the_order_and_not_units() -> None:
    many = pd.DataFrame(
        {"cell": [str(i) for i in range(9)], "run": "seed0", "pattern": range(9), "behaviour": [20.0] * 9}
    )
    found = order(pd.concat([many, units([8.0], [5.0], "x").assign(run="seed1")]))
    assert (found.pattern_first, found.tied, found.behaviour_first, found.p) == (1, 0, 1, 1.0)


def test_a_tie_has_no_order() -> None:
    found = order(units([3, 4, 5], [3, 4, 5]))
    assert found.tied == 3
    assert np.isnan(found.p)


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(PythiaGeometryError, match="'pattern' is missing"):
        coincidence(units([1.0], [1.0]).drop(columns="pattern"))
    with pytest.raises(PythiaGeometryError, match="stands twice"):
        coincidence(pd.concat([units([1.0], [1.0])] * 2))

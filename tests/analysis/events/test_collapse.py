"""Collapses of made curves with known places, and what must not count as one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.events.collapse import (
    AT_THE_EDGE,
    COLLAPSES,
    NO_FALL,
    PLATEAU,
    STAYS_DOWN,
    TRANSIENT,
    UNTESTABLE,
    WHOLE,
    collapses,
    find_collapses,
)
from pythia_geometry.errors import PythiaGeometryError

STEPS = np.array([*range(41), *range(45, 100, 5), *range(100, 3001, 100)], dtype=float)


def made(points: dict[float, float]) -> np.ndarray:
    """ln-linear in log(step + 1) between the points."""
    x = np.log(np.array(list(points)) + 1)
    return np.exp(np.interp(np.log(STEPS + 1), x, np.log(np.array(list(points.values())))))


def found(points: dict[float, float], error: float = 0.01) -> tuple:
    value = made(points)
    return find_collapses(STEPS, value, value * error)


TWICE = {0: 8, 5: 8, 14: 2, 17: 2, 45: 10, 70: 10, 300: 1.6, 700: 1.6, 1500: 20, 3000: 20}


def test_two_collapses_are_told_apart() -> None:
    transient, plateau, whole = found(TWICE)
    assert (transient.label, plateau.label) == (COLLAPSES, COLLAPSES)
    assert transient.floor == pytest.approx(2) and 14 <= transient.floor_step <= 17
    assert (transient.start, transient.depth) == (pytest.approx(8), pytest.approx(np.log(4)))
    # Half of the fall in ln from step 5 to 14, linear in log(step + 1).
    assert transient.halfway == pytest.approx(np.sqrt(6 * 15) - 1, rel=0.02)
    assert transient.peak == pytest.approx(10) and transient.recovers
    assert plateau.start == pytest.approx(10)
    assert plateau.floor == pytest.approx(1.6) and 300 <= plateau.floor_step <= 700
    assert plateau.peak == pytest.approx(20) and plateau.recovers
    assert (whole.start, whole.floor, whole.label) == (pytest.approx(8), plateau.floor, COLLAPSES)
    assert plateau.half_after < 10 ** np.interp(0.5, [0, 1], np.log10([701, 1501])) <= plateau.half_by
    assert 700 <= plateau.rise_after < plateau.rise_by < plateau.half_by


def test_a_curve_that_never_leaves_the_first_floor_has_no_plateau_of_its_own() -> None:
    transient, plateau, _ = found({0: 8, 5: 8, 15: 2, 3000: 2})
    assert transient.label == COLLAPSES and not transient.recovers
    assert np.isnan(transient.rise_by) and np.isnan(transient.half_by)
    assert plateau.label == STAYS_DOWN and plateau.floor == pytest.approx(2)


def test_a_small_fall_or_one_within_its_errors_is_none() -> None:
    shallow, *_ = found({0: 8, 15: 7, 60: 9, 3000: 9})
    assert (
        shallow.label == NO_FALL
        and np.isnan(shallow.halfway)
        and shallow.depth == pytest.approx(np.log(8 / 7), rel=0.05)
    )
    noisy, *_ = found({0: 8, 15: 4, 60: 9, 3000: 9}, error=0.3)
    assert noisy.label == NO_FALL
    unknown, *_ = found({0: 8, 15: 4, 60: 9, 3000: 9}, error=float("nan"))
    assert unknown.label == NO_FALL and not unknown.recovers


def test_a_floor_at_the_edge_is_not_a_floor() -> None:
    _, plateau, whole = found({0: 8, 15: 2, 60: 10, 3000: 1})
    assert (plateau.label, whole.label) == (AT_THE_EDGE, AT_THE_EDGE)
    transient, *_ = found({0: 8, 3000: 1})
    assert transient.label == AT_THE_EDGE


def test_single_checkpoints_do_not_make_a_floor() -> None:
    value = made({0: 8, 3000: 8})
    value[20] = 1.0
    assert find_collapses(STEPS, value, value * 0.01)[0].label == NO_FALL


def test_too_few_steps_are_untestable_and_bad_curves_refused() -> None:
    assert {c.label for c in find_collapses(np.arange(2.0), np.ones(2), np.ones(2))} == {UNTESTABLE}
    late = STEPS >= 100
    transient, plateau, whole = find_collapses(STEPS[late], made(TWICE)[late], made(TWICE)[late] * 0.01)
    assert (transient.label, plateau.label, whole.label) == (UNTESTABLE, UNTESTABLE, COLLAPSES)
    for step, value in (([0, 2, 1], [1, 1, 1]), ([0, 1, 1], [1, 1, 1]), ([0, 1, 2], [1, 0, 1]), ([0, 1], [1, 1, 1])):
        with pytest.raises(PythiaGeometryError, match="steps that increase"):
            find_collapses(np.array(step, float), np.array(value, float), np.ones(len(value)))


def table() -> pd.DataFrame:
    value = made(TWICE)
    rows = pd.DataFrame({"step": STEPS.astype(int), "value": value, "error": value * 0.01})
    fixed = {"model": "m", "seed": 0, "layer": "final_norm", "layer_index": 3, "measure": "rankme"}
    return pd.concat([rows.assign(task=task, **fixed) for task in ("a", "b")]).sample(frac=1, random_state=0)


def test_the_table_has_a_row_a_curve_and_phase() -> None:
    rows = collapses(table())
    assert list(zip(rows["task"], rows["phase"], strict=True)) == [
        (t, p) for t in "ab" for p in (TRANSIENT, PLATEAU, WHOLE)
    ]
    assert set(rows["label"]) == {COLLAPSES}


def test_a_bad_table_names_its_column_or_curve() -> None:
    with pytest.raises(PythiaGeometryError, match="no column 'error'"):
        collapses(table().drop(columns="error"))
    doubled = pd.concat([table(), table().head(1)])
    with pytest.raises(PythiaGeometryError, match="m 0 . final_norm 3 rankme: .*steps that increase"):
        collapses(doubled)

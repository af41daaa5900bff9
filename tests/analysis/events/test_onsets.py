"""Onsets of curves and of tables: one row a curve and rule, none left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.curves.behaviour import tidy
from pythia_geometry.analysis.events.onsets import (
    EMERGES,
    FOUND,
    LAST,
    NEVER,
    UNTESTABLE,
    Onset,
    find_onsets,
    onsets,
)
from pythia_geometry.analysis.events.rules import RULES
from pythia_geometry.analysis.tables.reading import CURVE, NO_DIRECTION
from pythia_geometry.analysis.tables.step_curves import StepCurves
from pythia_geometry.errors import PythiaGeometryError
from tests.analysis.behaviour_tables import RISE, STEPS, points

NAN = float("nan")


def one(
    value: Sequence[float], rule: str, error: float = 0.01, level: float = 0.25, step: Sequence[float] = STEPS
) -> Onset:
    curve = StepCurves(np.array(step[: len(value)], dtype=float), np.array([value], dtype=float))
    (found,) = find_onsets(curve, np.full((1, len(value)), error), np.array([level]), rule)
    return found


def interval(found: Onset) -> tuple[str, float, float]:
    return found.label, found.after, found.by


# -- one curve ----------------------------------------------------------------------------------------------------


def test_every_rule_says_between_which_two_steps() -> None:
    expected = {"E2": (16, 32), "E2x3": (16, 32), "F10": (16, 32), "F25": (32, 64), "F50": (32, 64)}
    for rule, (after, by) in expected.items():
        found = one(RISE, rule)
        assert interval(found) == (EMERGES, after, by), rule
        assert (found.baseline, found.top, found.reason) == (0.25, 0.65, "")
    assert set(expected) == set(RULES)


def test_a_flat_curve_does_not_emerge_and_one_that_rises_last_says_so() -> None:
    for rule in RULES:
        flat = one([0.25] * 10, rule)
        assert flat.label == NEVER and np.isnan(flat.after) and np.isnan(flat.by)
        assert interval(one([0.25] * 9 + [0.65], rule)) == (LAST, 256, 512), rule


def test_fractions_bear_a_fifth_of_later_points_below_but_not_more() -> None:
    assert interval(one([0.25] * 5 + [0.65] * 4 + [0.25], "F50")) == (EMERGES, 16, 32)  # 4 of 5
    assert one([0.25] * 6 + [0.65] * 3 + [0.25], "F50").label == NEVER  # 3 of 4


def test_late_decline_does_not_lower_the_top() -> None:
    found = one([0.25] * 5 + [0.65, 0.65, 0.65, 0.5, 0.4], "F25")
    assert found.top == 0.65
    assert interval(found) == (EMERGES, 16, 32)


def test_a_rise_under_three_errors_has_no_fractions_and_says_so() -> None:
    found = one([0.25] * 5 + [0.30] * 5, "F50", error=0.02)
    assert found.label == NEVER
    assert "2.5 standard errors" in found.reason
    assert one([0.25] * 5 + [0.30] * 5, "F50", error=0.016).label == EMERGES


def test_a_curve_that_starts_high_has_no_step_before_its_onset() -> None:
    found = one([0.8] * 4, "E2", step=(1000, 2000, 3000, 4000))
    assert found.label == EMERGES and np.isnan(found.after) and found.by == 1000


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"value": [0.2, 0.9]}, "2 steps; 3 are needed"),
        ({"value": RISE, "level": NAN, "step": range(100, 110)}, "no baseline: no chance level and no step up to 16"),
        ({"value": RISE, "error": NAN}, "no errors"),
    ],
)
def test_what_cannot_be_tested_says_why(made: dict[str, Any], reason: str) -> None:
    for rule in RULES:
        found = one(rule=rule, **made)
        assert (found.label, found.reason) == (UNTESTABLE, reason)
        assert np.isnan(found.by)


def test_an_unknown_rule_is_refused_by_name() -> None:
    with pytest.raises(PythiaGeometryError, match=r"no onset rule 'E3'.*E2, E2x3, F10"):
        one(RISE, "E3")


# -- tables of behaviour ------------------------------------------------------------------------------------------


def test_every_curve_has_a_row_for_every_rule() -> None:
    curves = [
        points(),
        points([0.25] * 10, task="flat"),
        points([-5.0] * 5 + [-4, -3, -2, -2, -2], metric="log_prob", error=0.1, chance=NAN),
        points([NAN] * 10, metric="margin", reason="items without distractors have no margin"),
        points(seed=1),
        points(steps=range(1000, 1010), task="late"),
    ]
    found = onsets(tidy(pd.concat(curves), "x"))
    assert list(found.columns) == [*CURVE, *FOUND]
    assert len(found) == len(curves) * len(RULES)
    assert set(found["direction"]) == {"up"}
    by = found[found["rule"] == "F25"].set_index(["seed", "task", "metric"])
    assert by.loc[(0, "t", "accuracy"), ["label", "after", "by"]].to_list() == ["emerges", 32, 64]
    assert by.loc[(0, "flat", "accuracy"), "label"] == "does not emerge"
    assert by.loc[(0, "t", "log_prob"), "label"] == "emerges"
    assert by.loc[(0, "t", "margin"), ["label", "reason"]].to_list() == [
        "untestable",
        "items without distractors have no margin",
    ]
    assert by.loc[(0, "late", "accuracy"), "note"] == "the baseline knows no step up to 16"


@pytest.mark.parametrize(
    ("levels", "expected"),
    [({"chance": 0.5}, 0.5), ({"majority": 0.6}, 0.6), ({"chance": NAN}, 0.25), ({"chance": 0.1}, 0.25)],
)
def test_baseline_is_the_largest_of_chance_majority_and_the_early_mean(
    levels: dict[str, float], expected: float
) -> None:
    assert onsets(points(**levels))["baseline"].to_list() == pytest.approx([expected] * len(RULES))


def test_a_continuous_metric_reads_no_chance() -> None:
    rising = points([-11] * 5 + [-8, -5, -4, -4, -4], metric="log_prob", error=0.1, chance=0.0)
    found = onsets(rising, rules=("F50",)).iloc[0]
    assert (found["baseline"], found["by"]) == (-11.0, 64)


def test_a_share_of_none_or_all_has_an_error() -> None:
    """LAMBADA before training: 0 of n right, and an error of 0 in the file."""
    lambada = points([0.0] * 7 + [0.05, 0.3, 0.6], error=0.0, n=50, chance=0.0)
    assert onsets(lambada, rules=("E2",))[["after", "by"]].to_numpy().tolist() == [[128, 256]]
    assert onsets(lambada.assign(n=NAN), rules=("E2",))["reason"].to_list() == ["no errors"]
    perfect = onsets(points([0.25] * 5 + [1.0] * 5, error=0.0, n=8), rules=("F50",)).iloc[0]
    assert perfect["label"] == EMERGES


def test_order_of_the_rows_does_not_matter() -> None:
    table = tidy(pd.concat([points(), points(task="u")]), "x")
    pd.testing.assert_frame_equal(onsets(table.sample(frac=1, random_state=2)), onsets(table))


def test_rows_with_a_reason_are_not_used() -> None:
    table = points()
    table.loc[5, ["value", "reason"]] = [NAN, "non-finite log-probabilities"]
    found = onsets(tidy(table, "x"), rules=("E2",))
    assert found[["after", "by"]].to_numpy().tolist() == [[16, 64]]  # the interval is as wide as the grid that is left


def test_the_walks_own_table_is_read_as_it_is() -> None:
    assert onsets(points().convert_dtypes(), rules=("E2",))["label"].to_list() == ["emerges"]


def test_an_onset_at_a_change_of_source_is_noted() -> None:
    table = points(source=["batch 32"] * 5 + ["batch 16"] * 5)
    found = onsets(table, rules=("E2", "F50")).set_index("rule")
    assert found.loc["E2", "note"] == "source changes inside the interval, from batch 32 to batch 16"
    assert found.loc["F50", "note"] == ""


def test_chosen_metrics_and_rules_only() -> None:
    table = pd.concat([points(), points(metric="log_prob")])
    found = onsets(table, metrics=("log_prob",), rules=("E2x3",))
    assert found[["metric", "rule"]].to_numpy().tolist() == [["log_prob", "E2x3"]]


def test_unknown_metric_rule_and_empty_table_are_named() -> None:
    with pytest.raises(PythiaGeometryError, match="no metric 'acc'. It has accuracy"):
        onsets(points(), metrics=("acc",))
    with pytest.raises(PythiaGeometryError, match="no onset rule 'F99'"):
        onsets(points(), rules=("F99",))
    with pytest.raises(PythiaGeometryError, match="neither a column 'metric' nor 'measure'"):
        onsets(points().drop(columns="metric"))
    assert onsets(points().iloc[:0]).empty


def test_a_table_that_was_not_checked_is_refused_by_the_curves_name() -> None:
    twice = pd.concat([points(), points().iloc[[3]]])
    with pytest.raises(PythiaGeometryError, match="s m 0 p t accuracy: column 'step' is repeated: 8"):
        onsets(twice)
    with pytest.raises(PythiaGeometryError, match=r"column 'value' holds nan \(m p t accuracy at step 8"):
        onsets(points([*RISE[:3], np.nan, *RISE[4:]], STEPS))
    with pytest.raises(PythiaGeometryError, match=r"holds 25 .*expected 0 to 1; divide per cent by 100"):
        onsets(points([100 * v for v in RISE]))


# -- any number by step -------------------------------------------------------------------------------------------


def geometry(values: Sequence[float], **about: Any) -> pd.DataFrame:
    fixed = {"suite": "s", "model": "m", "seed": 0, "probe": "p", "task": "t", "layer": "resid_1", "layer_index": 1}
    fixed |= {"measure": "score", "error": 0.01, "ceiling": 9.5, "n": 128, "reason": "", "reference_step": pd.NA}
    return pd.DataFrame({**fixed, "step": STEPS, "value": values} | about, index=range(len(STEPS)))


def test_any_measure_has_an_onset_once_its_direction_is_stated() -> None:
    falling = [5.0] * 5 + [4.0, 2.5, 2.0, 1.0, 1.0]
    table = pd.concat([geometry(falling), geometry([1.0] * 5 + [1.5, 3.0, 4.0, 5.0, 5.0], measure="other")])
    unstated = onsets(table)
    assert set(unstated["label"]) == {UNTESTABLE} and set(unstated["direction"]) == {""}
    assert unstated["reason"].str.contains("pass direction='up' or 'down'").all()
    found = onsets(table, rules=("F50",), direction={"score": "down", "other": "up"}).set_index("measure")
    assert found.loc["score", ["direction", "label", "after", "by"]].to_list() == ["down", EMERGES, 32, 64]
    assert found.loc["score", ["baseline", "top"]].to_list() == [5.0, 1.0]  # in the measure's own units
    assert found.loc["other", ["direction", "label", "after", "by"]].to_list() == ["up", EMERGES, 32, 64]
    with pytest.raises(PythiaGeometryError, match="direction 'sideways': expected 'up' or 'down'"):
        onsets(table, direction="sideways")
    with pytest.raises(PythiaGeometryError, match="no measure 'typo'"):
        onsets(table, direction={"typo": "up"})


def test_down_is_up_of_the_negative() -> None:
    rng = np.random.default_rng(1)
    values = np.cumsum(rng.normal(0, 0.1, len(STEPS)))
    down, up = onsets(geometry(values), direction="down"), onsets(geometry(-values), direction="up")
    pd.testing.assert_frame_equal(down[["label", "after", "by"]], up[["label", "after", "by"]])
    assert (down["top"] == -up["top"]).all()


def test_columns_that_are_not_known_tell_curves_apart() -> None:
    heads = [geometry(RISE, head=pd.NA), geometry(RISE, head=0), geometry(RISE[::-1], head=1)]
    table = pd.concat([*heads, geometry(RISE, head=0, settings="k=2")], ignore_index=True)
    found = onsets(table, rules=("F50",), direction="up")
    assert len(found) == 4 and {"head", "settings"} <= set(found)
    assert found["label"].value_counts().to_dict() == {EMERGES: 3, NEVER: 1}


def test_a_metric_of_unknown_direction_is_used_once_it_is_stated() -> None:
    table = tidy(points([1 - v for v in RISE], metric="bleu"), "x")
    assert set(table["reason"]) == {NO_DIRECTION}
    assert set(onsets(table)["label"]) == {UNTESTABLE}
    assert onsets(table, rules=("F50",), direction={"bleu": "down"})["by"].to_list() == [64]
    also = table.assign(reason=[NO_DIRECTION] * 6 + ["broken"] + [NO_DIRECTION] * 3)
    assert onsets(also, rules=("F50",), direction="down")["by"].to_list() == [128]


def test_a_share_that_goes_down_has_its_own_start_for_a_baseline() -> None:
    found = onsets(points(RISE[::-1], chance=0.25), rules=("E2",), direction="down").iloc[0]
    assert found["baseline"] == pytest.approx(np.mean(RISE[::-1][:5]))

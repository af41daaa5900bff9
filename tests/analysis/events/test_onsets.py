"""One row a curve and rule, none left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.behaviour.table import tidy
from pythia_geometry.analysis.events.emergence import RULES
from pythia_geometry.analysis.events.onsets import COLUMNS, onsets
from pythia_geometry.errors import PythiaGeometryError
from tests.analysis.behaviour_tables import RISE, STEPS, points

NAN = float("nan")


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
    assert list(found.columns) == COLUMNS
    assert len(found) == len(curves) * len(RULES)
    by = found[found["rule"] == "F25"].set_index(["seed", "task", "metric"])
    assert by.loc[(0, "t", "accuracy"), ["label", "after", "by"]].to_list() == ["emerges", 32, 64]
    assert by.loc[(0, "flat", "accuracy"), "label"] == "does not emerge"
    assert by.loc[(0, "t", "log_prob"), "label"] == "emerges"
    assert by.loc[(0, "t", "margin"), ["label", "reason"]].to_list() == [
        "untestable",
        "items without distractors have no margin",
    ]
    assert by.loc[(0, "late", "accuracy"), "note"] == "the baseline knows no step up to 16"


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
    with pytest.raises(PythiaGeometryError, match="s m 0 p t bleu: unknown metric 'bleu'"):
        onsets(points(metric="bleu"))
    assert onsets(points().iloc[:0]).empty


def test_a_table_that_was_not_checked_is_refused_by_the_curves_name() -> None:
    twice = pd.concat([points(), points().iloc[[3]]])
    with pytest.raises(PythiaGeometryError, match="s m 0 p t accuracy: A curve's steps must increase"):
        onsets(twice)
    with pytest.raises(PythiaGeometryError, match="s m 0 p t accuracy: A curve's value at step 8 is not a number"):
        onsets(points([*RISE[:3], np.nan, *RISE[4:]], STEPS))

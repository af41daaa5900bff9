"""One schema for behaviour from any source, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.curves.behaviour import SCHEMA, from_walk, read_table, recover_n, tidy
from pythia_geometry.analysis.tables.reading import NO_DIRECTION
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.store.tables import ANSWERS, CHECKPOINTS, GEOMETRY, Tables
from tests.analysis.behaviour_tables import STEPS, points
from tests.report.tables import typed

NAN = float("nan")


def test_a_csv_with_five_columns_becomes_the_whole_schema(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("model,step,task,metric,value\nm,100,add,accuracy,0.5\nm,10,add,accuracy,0.1\n")
    table = read_table(file)
    assert table.dtypes.astype(str).to_dict() == SCHEMA
    assert table["step"].to_list() == [10, 100]  # sorted as numbers
    assert table["source"].to_list() == [str(file)] * 2
    assert table["n"].isna().all() and table["error"].isna().all()
    assert table["seed"].to_list() == [0, 0]
    assert (table["reason"] == "").all()


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    points().to_parquet(tmp_path / "t.parquet")
    points().to_csv(tmp_path / "t.csv", index=False)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), read_table(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model,step,task,value\nm,1,t,0.5\n", r"t\.csv, behaviour table: missing column 'metric'\. It has 'model'"),
        ("a,b\n1,2\n", "missing columns 'model', 'step', 'task', 'metric', 'value'"),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(PythiaGeometryError, match=message):
        read_table(tmp_path / "t.csv")


def test_an_unknown_metric_gets_a_reason(tmp_path: Path) -> None:
    """A misspelt one shows itself where it is asked for: `no 'accuracy' in column 'metric'`."""
    assert set(tidy(points(metric="acuracy"), "x")["reason"]) == {NO_DIRECTION}
    assert set(tidy(points(metric="acuracy", reason="lost"), "x")["reason"]) == {"lost"}


def test_a_value_may_be_missing_if_the_row_says_why() -> None:
    frame = points()
    frame.loc[3, ["value", "reason"]] = [NAN, "non-finite log-probabilities in 2 of 128 items"]
    assert len(tidy(frame, "x")) == len(frame)


def test_an_unknown_metric_may_stay_if_the_row_says_why() -> None:
    assert len(tidy(points(metric="bleu", reason="it is not known which way this metric is better"), "x")) == len(STEPS)


def test_rows_are_sorted_and_the_argument_is_left_alone() -> None:
    frame = points().sample(frac=1, random_state=1)
    before = frame.copy()
    assert tidy(frame, "x")["step"].to_list() == list(STEPS)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("n", [2, 8, 104, 5153, 14042])
def test_n_is_recovered_from_share_and_error(n: int) -> None:
    right = np.array([0, 1, n // 2, n])
    value = right / n
    error = np.sqrt(value * (1 - value) / (n - 1))
    frame = points(value, (1, 2, 3, 4), error=error, n=NAN)
    assert tidy(frame, "x")["n"].to_list() == [n] * 4  # also where the error is 0


def test_n_stays_missing_where_errors_imply_no_one_number() -> None:
    value = np.array([0.2, 0.5])
    other = np.sqrt(value * (1 - value) / np.array([99, 49]))
    for error in (0.013, other, 0.0, NAN):
        assert recover_n(points(value, (1, 2), error=error, n=NAN))["n"].isna().all()


def test_n_of_one_task_is_not_given_to_another() -> None:
    value = np.array([0.2, 0.5])
    known = points(value, (1, 2), error=np.sqrt(value * (1 - value) / 99), n=NAN)
    both = tidy(pd.concat([known, known.assign(metric="log_prob", value=-1.0), known.assign(task="u", error=0.0)]), "x")
    assert both[both["task"] == "t"]["n"].to_list() == [100] * 4  # a log-probability has its task's items
    assert both[both["task"] == "u"]["n"].isna().all()


def test_a_stated_n_is_kept() -> None:
    assert tidy(points(n=7), "x")["n"].to_list() == [7] * len(STEPS)


def tables(behaviour: pd.DataFrame, weights: dict[int, str]) -> Tables:
    rows = [{"suite": "s", "model": "m", "seed": 0, "step": s, "weight_sha256": w} for s, w in weights.items()]
    return Tables(typed([], GEOMETRY), behaviour, typed(rows, CHECKPOINTS), typed([], ANSWERS))


def test_of_steps_with_the_same_weights_the_last_is_used() -> None:
    walk = tables(points((0.2, 0.2, 0.3), (0, 1, 2)), {0: "a", 1: "a", 2: "b"})
    assert from_walk(walk)["reason"].to_list() == ["same weights as step 1", "", ""]


def test_unknown_weights_are_not_the_same() -> None:
    walk = tables(points((0.2, 0.2, 0.3), (0, 1, 2)), {0: "", 1: "", 2: "b"})
    assert from_walk(walk)["reason"].to_list() == ["", "", ""]


def test_same_weights_in_another_run_are_another_run() -> None:
    both = pd.concat([points((0.2, 0.3), (0, 1)), points((0.2, 0.3), (0, 1), seed=1)])
    walk = tables(both, {0: "a", 1: "a"})
    assert from_walk(walk).set_index(["seed", "step"])["reason"].to_list() == ["same weights as step 1", "", "", ""]


def test_a_walks_own_reason_is_kept() -> None:
    behaviour = points((NAN, 0.2, 0.3), (0, 1, 2), reason=["no margin", "", ""])
    assert from_walk(tables(behaviour, {0: "a", 1: "a"}))["reason"].to_list() == ["no margin", "", ""]

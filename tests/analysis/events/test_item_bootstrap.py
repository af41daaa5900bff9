"""Items drawn again, the same at every step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.events.item_bootstrap import COLUMNS, Drawn, _percentiles, bootstrap_onsets
from pythia_geometry.errors import PythiaGeometryError
from tests.reference import onset_rules

NAN = float("nan")
STEPS = (1, 4, 16, 64, 256, 1000, 3000)
SHARE = (0.5, 0.5, 0.5, 0.5, 0.62, 0.8, 0.9)
N = 200


def right(share: tuple[float, ...] = SHARE, n: int = N, seed: int = 0) -> np.ndarray:
    """Items [n, S] that are right from some step on: an easy item stays right, as real items do."""
    hardness = np.random.default_rng(seed).permutation((np.arange(n) + 0.5) / n)
    return (hardness[:, None] < np.array(share)).astype(float)


def answers(choice: np.ndarray, **changes: Any) -> pd.DataFrame:
    rows = [
        {"suite": "s", "model": "m", "seed": 0, "step": step, "probe": "p", "task": "t", "item": item, "id": str(item),
         "log_prob": float(-3 + 2 * choice[item, i]), "margin": float(choice[item, i]), "choice": float(choice[item, i]),
         "exact": 0.0, "probe_sha256": "x"}
        for i, step in enumerate(STEPS)
        for item in range(len(choice))
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changes)


def behaviour(metrics: tuple[str, ...] = ("accuracy", "log_prob"), **changes: Any) -> pd.DataFrame:
    rows = [
        {"suite": "s", "model": "m", "seed": 0, "step": step, "probe": "p", "task": "t", "metric": metric,
         "chance": 0.5, "majority": NAN, "reason": ""}
        for metric in metrics
        for step in STEPS
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changes)


def test_one_row_a_task_metric_and_rule() -> None:
    found = bootstrap_onsets(answers(right()), behaviour(), draws=50)
    assert list(found.columns) == COLUMNS
    assert found[["metric", "rule"]].drop_duplicates().shape[0] == len(found) == 10
    assert set(found["draws"]) == {50}
    accuracy = found.set_index(["metric", "rule"]).loc[("accuracy", "F50")]
    assert (accuracy["emerges"], accuracy["untestable"]) == (1.0, 0.0)
    assert (accuracy["after_50"], accuracy["by_50"]) == (256, 1000)
    assert accuracy["after_05"] <= accuracy["after_50"] <= accuracy["after_95"]
    assert accuracy["by_05"] <= accuracy["by_50"] <= accuracy["by_95"]


def test_the_same_seed_draws_the_same() -> None:
    first, same, other = (
        bootstrap_onsets(
            answers(right((0.5, 0.5, 0.5, 0.55, 0.58, 0.6, 0.62))), behaviour(), rules=("E2",), draws=200, seed=s
        )
        for s in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first, same)
    assert not first.equals(other)


def test_order_of_the_rows_does_not_matter() -> None:
    shuffled = answers(right()).sample(frac=1, random_state=4)
    first, second = (bootstrap_onsets(a, behaviour(), draws=20) for a in (answers(right()), shuffled))
    pd.testing.assert_frame_equal(first, second)


def slow_percentiles(values: np.ndarray, jointly: bool, draws: int = 300) -> tuple[float, float]:
    """Slow twin: 5 and 95 % of the E2x3 onset with items copied as often as drawn, at all steps or anew at each."""
    rng, n = np.random.default_rng(0), len(values)
    found = []
    for _ in range(draws):
        counts = rng.multinomial(n, np.full(n, 1 / n), size=1 if jointly else len(STEPS))
        drawn = [np.repeat(values[:, i], counts[0 if jointly else i]) for i in range(len(STEPS))]
        mean = np.array([column.mean() for column in drawn])
        error = np.array([column.std(ddof=1) / np.sqrt(n) for column in drawn])
        lower = [m - 2 * max(e, onset_rules.share_error(m, n)) for m, e in zip(mean, error, strict=True)]
        index = onset_rules.three_in_a_row(lower, onset_rules.baseline(STEPS, mean.tolist(), [0.5]))
        found.append(np.inf if index is None else STEPS[index])
    low, high = np.percentile(found, (5, 95), method="inverted_cdf")
    return float(low), float(high)


def test_items_are_drawn_jointly_and_not_anew_at_each_step() -> None:
    """What all steps share cancels against the untrained baseline, so that drawing anew at each is wider."""
    values = right((0.75, 0.75, 0.75, 0.78, 0.81, 0.85, 0.89), n=400)
    found = bootstrap_onsets(answers(values), behaviour(), metrics=("accuracy",), rules=("E2x3",), draws=300).iloc[0]
    jointly, anew = slow_percentiles(values, jointly=True), slow_percentiles(values, jointly=False)
    assert (found["by_05"], found["by_95"]) == jointly
    assert anew[0] < jointly[0] or anew[1] > jointly[1]


def test_a_draw_that_does_not_emerge_is_later_than_all_that_do() -> None:
    flat = bootstrap_onsets(
        answers(right((0.5,) * 7)), behaviour(), metrics=("accuracy",), rules=("F50",), draws=20
    ).iloc[0]
    assert flat["emerges"] == 0.0
    assert (flat["after_50"], flat["by_50"]) == (3000, np.inf)


def test_percentiles_of_four_draws_counted_by_hand() -> None:
    def drawn(*first: int) -> Drawn:
        values = np.where(np.arange(len(STEPS)) >= np.array(first)[:, None], 0.9, 0.5)
        return Drawn(np.array(STEPS, dtype=float), values, np.full(values.shape, 0.01), np.full(len(first), 0.5))

    row = _percentiles(drawn(7, 4, 3, 4), "E2")
    assert (row["draws"], row["emerges"], row["untestable"]) == (4, 0.75, 0.0)
    assert (row["after_05"], row["by_05"]) == (16, 64)
    assert (row["after_50"], row["by_50"]) == (64, 256)
    assert (row["after_95"], row["by_95"]) == (3000, np.inf)
    even = _percentiles(drawn(3, 5), "E2")
    assert even["by_50"] == 64  # the first step by which half of the draws have emerged


def test_what_cannot_be_tested_keeps_its_row() -> None:
    late = behaviour().assign(reason=lambda f: np.where(f["step"] > 4, "broken", ""))
    few = bootstrap_onsets(answers(right()), late, draws=5)
    assert set(few["untestable"]) == {1.0}
    assert few[["emerges", "by_50"]].isna().all(axis=None)
    none = bootstrap_onsets(answers(right()), behaviour(reason="broken"), draws=5)
    assert set(none["draws"]) == {0}
    assert len(none) == 10


def test_steps_with_a_reason_are_left_out() -> None:
    table = answers(right())
    table.loc[table["step"] == 1000, "log_prob"] = NAN
    holed = behaviour().assign(reason=lambda f: np.where(f["step"] == 1000, "non-finite", ""))
    found = bootstrap_onsets(table, holed, metrics=("log_prob",), rules=("F50",), draws=20).iloc[0]
    assert (found["after_50"], found["by_50"]) == (256, 3000)


def test_open_items_count_by_their_exact_match() -> None:
    open_ended = answers(right()).assign(choice=NAN, exact=lambda f: f["margin"])
    closed = bootstrap_onsets(answers(right()), behaviour(), metrics=("accuracy",), draws=10)
    pd.testing.assert_frame_equal(bootstrap_onsets(open_ended, behaviour(), metrics=("accuracy",), draws=10), closed)


def test_items_that_differ_between_steps_are_refused() -> None:
    table = answers(right(n=20))
    for changed in (
        table.drop(table.index[25]),
        table.assign(probe_sha256=np.where(table["step"] == 16, "y", "x")),
        table.assign(choice=np.where(table["step"] == 16, NAN, table["choice"]), exact=NAN),
    ):
        with pytest.raises(PythiaGeometryError, match="s m 0 p t: not every step has the same items with a accuracy"):
            bootstrap_onsets(changed, behaviour(), metrics=("accuracy",), draws=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": ("acc",)}, "Unknown metric or rule 'acc'"),
        ({"rules": ("F99",)}, "Unknown metric or rule 'F99'"),
        ({"metrics": ("margin",)}, "s m 0 p t: the behaviour table has no margin of this task"),
    ],
)
def test_what_is_unknown_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PythiaGeometryError, match=message):
        bootstrap_onsets(answers(right(n=5)), behaviour(), draws=5, **arguments)

"""Floor, recovery and rise on curves made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from pythia_geometry.analysis.events.summary import COLUMNS, summarise, telling_tasks

NAN = float("nan")
STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128)
COLLAPSE = (100.0, 50.0, 10.0, 10.0, 10.0, 40.0, 80.0, 90.0, 90.0)


def rankme(
    values: Sequence[float], steps: Sequence[int] = STEPS, error: float | Sequence[float] = 0.0, **changes: Any
) -> pd.DataFrame:
    about = {
        "model": "m",
        "seed": 0,
        "probe": "p",
        "task": "t",
        "layer": "final_norm",
        "measure": "rankme",
        "position": "last",
    }
    return pd.DataFrame({**about, "step": steps, "value": values, "error": error} | changes)


def accuracy(values: Sequence[float], steps: Sequence[int] = STEPS, n: int = 100, **changes: Any) -> pd.DataFrame:
    about = {"model": "m", "seed": 0, "probe": "p", "task": "t", "metric": "accuracy", "n": n}
    frame = {**about, "chance": 0.25, "majority": 0.1, "step": steps, "value": values}
    return pd.DataFrame(frame | changes)


def row(geometry: pd.DataFrame, behaviour: pd.DataFrame | None = None) -> dict[str, Any]:
    found = summarise(geometry, accuracy([0.2] * len(STEPS)) if behaviour is None else behaviour)
    assert list(found.columns) == COLUMNS
    assert len(found) == 1
    return dict(found.iloc[0])


def rise(values: Sequence[float], steps: Sequence[int] = STEPS, **changes: Any) -> str:
    return str(row(rankme(COLLAPSE), accuracy(values, steps, **changes))["rose"])


def test_collapse_with_recovery() -> None:
    found = row(rankme(COLLAPSE))
    assert found["start"] == 100.0
    assert found["floor"] == pytest.approx(10.0)
    assert found["floor_step"] == 2
    assert found["recovered"] == pytest.approx(90.0)
    assert found["recovery_step"] == 16  # the first of at least sqrt(10 * 90) = 30


def test_order_of_the_rows_does_not_matter() -> None:
    shuffled = rankme(COLLAPSE).sample(frac=1, random_state=3)
    assert row(shuffled, accuracy([0.2] * 9)) == row(rankme(COLLAPSE), accuracy([0.2] * 9))


def test_collapse_without_recovery() -> None:
    found = row(rankme((100, 80, 50, 30, 20, 15, 12, 10, 10)))
    assert found["floor"] == pytest.approx(10.0)
    assert found["floor_step"] == 128 or found["floor_step"] == 64
    assert pd.isna(found["recovered"])
    assert pd.isna(found["recovery_step"])


def test_recovery_of_less_than_a_tenth_is_none() -> None:
    for top, recovers in ((10.9, False), (11.2, True)):
        found = row(rankme((100, 50, 10, 10, 10, 10, top, top, top)))
        assert pd.isna(found["recovered"]) is not recovers


@pytest.mark.parametrize(("low", "collapses"), [(81.0, False), (80.0, True)])
def test_fall_of_less_than_a_fifth_is_no_collapse(low: float, collapses: bool) -> None:
    found = row(rankme((100, 90, low, low, low, 90, 100, 100, 100)))
    assert found["start"] == 100.0
    assert pd.isna(found["floor"]) is not collapses


def test_fall_within_three_standard_errors_is_no_collapse() -> None:
    values = (100, 70, 50, 50, 50, 70, 100, 100, 100)
    assert pd.isna(row(rankme(values, error=12.0))["floor"])  # 3 * hypot(.12, .24) > log 2
    assert row(rankme(values, error=9.0))["floor"] == pytest.approx(50.0)


def test_recovery_within_three_standard_errors_is_none() -> None:
    errors = [0.1, 0.1, 0.1, 0.1, 0.1, 5.0, 5.0, 5.0, 5.0]
    found = row(rankme((100, 50, 10, 10, 10, 12, 14, 14, 14), error=errors))
    assert found["floor"] == pytest.approx(10.0)
    assert pd.isna(found["recovered"])


def test_one_low_step_is_no_floor() -> None:
    assert pd.isna(row(rankme((100, 100, 100, 5, 100, 100, 100, 100, 100)))["floor"])


def test_rising_curve_has_no_floor() -> None:
    assert pd.isna(row(rankme((10, 20, 30, 40, 50, 60, 70, 80, 90)))["floor"])


def test_unknown_values_are_left_out() -> None:
    values = list(COLLAPSE)
    values[0], values[7] = NAN, NAN
    found = row(rankme(values))
    assert found["start"] == 50.0
    assert found["floor"] == pytest.approx(10.0)
    assert found["recovered"] == pytest.approx(90.0)


def test_a_fall_of_unknown_error_is_no_collapse() -> None:
    assert "floor" not in row(rankme(COLLAPSE, error=NAN)) or pd.isna(row(rankme(COLLAPSE, error=NAN))["floor"])


def test_curve_of_unknown_values_is_a_row_without_numbers() -> None:
    found = row(rankme([NAN] * 9), accuracy([NAN] * 9))
    assert all(pd.isna(found[c]) for c in ("start", "floor", "floor_step", "recovered", "accuracy"))


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_steps_have_a_start_and_nothing_else(n: int) -> None:
    found = row(rankme(COLLAPSE[:n], STEPS[:n]), accuracy([0.2] * n, STEPS[:n]))
    assert found["start"] == 100.0
    assert pd.isna(found["floor"])
    assert found["accuracy"] == 0.2
    assert found["rose"] == "does not"


def test_only_uncentred_rankme_after_the_final_norm_is_read() -> None:
    others = [
        rankme([1.0] * 9, layer="resid_6"),
        rankme([1.0] * 9, measure="rankme_centred"),
        rankme(COLLAPSE),
    ]
    assert row(pd.concat(others))["floor"] == pytest.approx(10.0)


def test_other_metrics_than_accuracy_are_not_read() -> None:
    both = pd.concat([accuracy([0.2] * 9), accuracy([0.9] * 9, metric="exact_match")])
    assert row(rankme(COLLAPSE), both)["accuracy"] == 0.2


def test_accuracy_rises_between_two_steps_for_good() -> None:
    assert rise((0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.6, 0.7, 0.8)) == "16 – 32"


def test_rise_that_does_not_last_is_none() -> None:
    assert rise((0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.9, 0.9, 0.2)) == "does not"
    assert rise((0.2, 0.2, 0.2, 0.2, 0.2, 0.9, 0.2, 0.9, 0.9)) == "32 – 64"


def test_accuracy_that_never_rises() -> None:
    assert rise([0.25] * 9) == "does not"


def test_accuracy_that_rises_at_the_last_step_only_says_so() -> None:
    assert rise([0.2] * 8 + [0.9]) == "at the last step only"


def test_accuracy_high_from_the_first_chosen_step_rises_from_the_start() -> None:
    assert rise([0.9] * 3, (1000, 2000, 3000)) == "start – 1000"
    assert rise([0.9], (1000,)) == "start – 1000"


def test_untrained_accuracy_is_part_of_the_baseline() -> None:
    assert rise([0.9] * 9) == "does not"
    assert rise([0.5] * 6 + [0.55] * 3) == "does not"


@pytest.mark.parametrize("baseline", ["chance", "majority"])
def test_baseline_is_the_largest_of_chance_and_majority(baseline: str) -> None:
    values = [0.2] * 6 + [0.6] * 3
    assert rise(values) == "16 – 32"
    assert rise(values, **{baseline: 0.55}) == "does not"


def test_rise_must_exceed_two_standard_errors() -> None:
    values = [0.2] * 6 + [0.33] * 3
    assert rise(values, n=100) == "does not"
    assert rise(values, n=1000) == "16 – 32"


def test_accuracy_is_that_of_the_last_step() -> None:
    assert row(rankme(COLLAPSE), accuracy((0.1,) * 8 + (0.77,)))["accuracy"] == 0.77


def test_task_without_behaviour_has_its_geometry() -> None:
    found = row(rankme(COLLAPSE), accuracy([0.9] * 9, task="other"))
    assert found["floor"] == pytest.approx(10.0)
    assert pd.isna(found["accuracy"])


def test_two_seeds_are_two_rows_and_do_not_mix() -> None:
    geometry = pd.concat([rankme(COLLAPSE), rankme([100.0] * 9, seed=1)])
    behaviour = pd.concat([accuracy([0.2] * 9), accuracy([0.2] * 6 + [0.9] * 3, seed=1)])
    found = summarise(geometry, behaviour).set_index("seed")
    assert found.loc[0, "floor"] == pytest.approx(10.0)
    assert pd.isna(found.loc[1, "floor"])
    assert found["rose"].to_list() == ["does not", "16 – 32"]


def test_empty_tables_give_an_empty_summary() -> None:
    found = summarise(rankme(COLLAPSE).iloc[:0], accuracy([0.2] * 9).iloc[:0])
    assert list(found.columns) == COLUMNS
    assert found.empty


def risen(*words: str) -> pd.DataFrame:
    return pd.DataFrame({"probe": "p", "task": [f"t{i}" for i in range(len(words))], "rose": words})


def test_telling_tasks_go_from_the_first_to_rise_to_those_that_never_do() -> None:
    summary = risen("does not", "10 – 20", "at the last step only", "start – 10", "900 – 1000", "64 – 128")
    assert [task for _, task in telling_tasks(summary)] == ["t3", "t1", "t5", "t4", "t0", "t2"]


def test_telling_tasks_are_spread_evenly_with_both_ends() -> None:
    summary = risen(*(f"0 – {i + 1}" for i in range(11)))
    assert [task for _, task in telling_tasks(summary, 6)] == ["t0", "t2", "t4", "t6", "t8", "t10"]
    assert len(telling_tasks(summary)) == 6


def test_telling_tasks_of_several_seeds_are_named_once() -> None:
    summary = pd.concat([risen("0 – 5", "0 – 9"), risen("0 – 7", "does not")])
    assert telling_tasks(summary) == [("p", "t0"), ("p", "t1")]


def checkpoints(weights: Sequence[str], steps: Sequence[int] = STEPS) -> pd.DataFrame:
    return pd.DataFrame({"suite": "s", "model": "m", "seed": 0, "step": steps, "weight_sha256": weights})


def test_the_same_weights_count_once() -> None:
    """Three early steps with one file: their luck would be three quarters of the untrained mean."""
    values = [0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.42, 0.42, 0.42]
    same = {"suite": "s", "reason": ""}
    geometry, behaviour = rankme(COLLAPSE, **same), accuracy(values, n=1000, **same)
    told = checkpoints(["a", "a", "a", *"bcdefg"])
    assert summarise(geometry, behaviour)["rose"].to_list() == ["16 – 32"]
    behaviour = behaviour.assign(chance=NAN, majority=NAN)
    every = summarise(geometry, behaviour.assign(value=[0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.32, 0.32, 0.32]))
    once = summarise(geometry, behaviour.assign(value=[0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.32, 0.32, 0.32]), told)
    assert (every["rose"][0], once["rose"][0]) == ("does not", "16 – 32")
    assert once["start"][0] == 10.0  # step 2 is the first that counts


def test_rows_with_a_reason_are_not_used_and_their_task_is_not_lost() -> None:
    broken = rankme(COLLAPSE, reason=["", "", "", "", "", "not to be believed", "", "", ""])
    assert row(broken)["recovery_step"] == 32
    lost = row(rankme(COLLAPSE, reason="broken"), accuracy([0.9] * 9, reason="broken"))
    assert pd.isna(lost["start"]) and pd.isna(lost["accuracy"])


def test_a_rise_without_baseline_is_no_verdict() -> None:
    late = (1000, 2000, 3000)
    assert rise([0.9] * 3, late, chance=NAN, majority=NAN) == "untestable"
    assert rise([0.9] * 3, late, n=NAN) == "untestable"


def test_recovery_is_for_good_until_the_peak() -> None:
    assert row(rankme((100, 10, 10, 40, 40, 12, 12, 90, 90)))["recovery_step"] == 64

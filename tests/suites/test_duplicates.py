"""Steps that share their weights: the first update's, and the faults of EleutherAI/pythia issue 205."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pythia_geometry.suites.checkpoint import Checkpoint, WeightFile
from pythia_geometry.suites.duplicates import mark_duplicates
from pythia_geometry.suites.pythia import STEPS, parse_name

LAST = 143000


def point(step: int, weights: str = "", status: str = "ok", model: str = "pythia-2.8b") -> Checkpoint:
    files = (WeightFile("model.safetensors", 1, weights * 8),) if weights else ()
    return Checkpoint("pythia", model, 0, step, None, "x", f"step{step}", "c", files, status=status)


def marked(weights: Mapping[int, str], main: str = "", last: int = LAST) -> dict[int, str]:
    """Of every step, whose weights the message says it holds; empty where it is no duplicate."""
    found = mark_duplicates([point(step, name) for step, name in weights.items()], last, main * 8 or None)
    assert [c.step for c in found] == list(weights)
    assert all((c.status == "duplicate") == bool(c.detail) for c in found)
    return {c.step: c.detail.partition(" as ")[2].split(" (")[0] for c in found}


def test_different_weights_are_left_alone() -> None:
    points = [point(0, "a"), point(512, "b"), point(LAST, "c")]
    assert mark_duplicates(points, LAST, "d" * 8) == points


def test_step_one_may_equal_step_zero() -> None:
    assert marked({0: "a", 1: "a", 512: "b"}) == {0: "", 1: "", 512: ""}
    assert marked({1: "a", 0: "a"}) == {0: "", 1: ""}


def test_other_pairs_may_not() -> None:
    assert marked({0: "a", 2: "a"}) == {0: "step2", 2: ""}
    assert marked({1: "a", 2: "a"}) == {1: "step2", 2: ""}
    assert marked({0: "a", 1: "a", 2: "a"}) == {0: "step2", 1: "step2", 2: ""}


def test_the_latest_step_by_number_keeps_the_weights() -> None:
    weights = {90000: "a", 143000: "b", 8000: "a", 512: "a", 1000: "b"}
    assert marked(weights) == {90000: "", 143000: "", 8000: "step90000", 512: "step90000", 1000: "step143000"}


def test_weights_of_main_belong_to_the_last_step_of_the_run() -> None:
    assert marked({4: "m", 8: "m", 16: "b"}, main="m") == {4: "main", 8: "main", 16: ""}
    assert marked({4: "m", LAST: "m"}, main="m") == {4: "main", LAST: ""}


def test_one_chosen_step_is_compared_with_main() -> None:
    assert marked({4000: "m"}, main="m") == {4000: "main"}
    assert marked({LAST: "m"}, main="m") == {LAST: ""}
    assert marked({4000: "m"}, main="x") == {4000: ""}
    assert marked({4000: "m"}) == {4000: ""}


def test_message_names_both_the_hash_and_what_to_do() -> None:
    (found,) = mark_duplicates([point(4000, "ab496f1c")], LAST, "ab496f1c" * 8)
    assert found.status == "duplicate"
    assert found.detail.startswith(
        "pythia-2.8b@step4000 holds the same weights as main (sha256 ab496f1c…): its curve would be flat. See "
    )
    assert found.detail.endswith("or pass --duplicates keep.")
    assert found.files == point(4000, "ab496f1c").files


def test_points_without_weights_or_with_another_status_are_not_compared() -> None:
    points = [point(0), point(2), point(4, "a", "corrupt"), point(8, "a"), point(16, status="missing")]
    assert mark_duplicates(points, LAST, "") == points


def test_shards_are_compared_together() -> None:
    def sharded(step: int, *weights: str) -> Checkpoint:
        files = tuple(WeightFile(f"model-{i}.safetensors", 1, sha * 8) for i, sha in enumerate(weights))
        return Checkpoint("pythia", "pythia-12b", 0, step, None, "x", f"step{step}", "c", files)

    points = [sharded(50000, "f", "a"), sharded(58000, "f", "b"), sharded(60000, "f", "b"), sharded(LAST, "f", "c")]
    found = mark_duplicates(points, LAST)
    assert [c.status for c in found] == ["ok", "duplicate", "ok", "ok"]


@pytest.mark.parametrize("chosen", [STEPS, STEPS[::-1], STEPS[::7]])
def test_arrangement_of_issue_205(chosen: tuple[int, ...]) -> None:
    run = parse_name("pythia-2.8b")
    assert run is not None
    as_main, second = (set(fault.steps) for fault in run.faults)
    weights = {step: "m" if step in as_main else "s" if step in second else f"w{step}" for step in chosen}
    owner = max(set(chosen) & second, default=LAST)
    expected = dict.fromkeys(as_main, "main") | dict.fromkeys(second - {owner}, f"step{owner}")
    found = marked(weights, main="m")
    assert found == {step: expected.get(step, "") for step in chosen}
    if set(chosen) == set(STEPS):
        assert (sum(not same for same in found.values()), owner) == (154 - 86 + 1, LAST)

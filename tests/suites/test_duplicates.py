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


def main_of(*weights: str) -> Checkpoint | None:
    return sharded(0, *weights) if any(weights) else None


def sharded(step: int, *weights: str) -> Checkpoint:
    files = tuple(WeightFile(f"model-{i}.safetensors", 1, sha * 8) for i, sha in enumerate(weights))
    return Checkpoint("pythia", "pythia-12b", 0, step, None, "x", f"step{step}", "c", files)


def marked(weights: Mapping[int, str], main: str = "", last: int = LAST) -> dict[int, str]:
    """Of every step, whose weights the message says it holds; empty where it is no duplicate."""
    found = mark_duplicates([point(step, name) for step, name in weights.items()], last, main_of(main))
    assert [c.step for c in found] == list(weights)
    assert all((c.status == "ok") == (not c.detail) for c in found)
    return {c.step: c.detail.partition(" as ")[2].split(" (")[0] if c.status != "suspect" else "?" for c in found}


def test_different_weights_are_left_alone() -> None:
    points = [point(0, "a"), point(512, "b"), point(LAST, "c")]
    assert mark_duplicates(points, LAST, main_of("d")) == points


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


def test_last_step_that_shares_with_others_while_main_differs_is_suspect() -> None:
    assert marked({54000: "s", 56000: "s", LAST: "s"}, main="m") == {
        54000: "step143000",
        56000: "step143000",
        LAST: "?",
    }
    assert marked({54000: "s", LAST: "s"}) == {54000: "step143000", LAST: ""}
    assert marked({54000: "a", LAST: "s"}, main="m") == {54000: "", LAST: ""}
    assert marked({0: "s", 1: "s"}, main="m", last=1) == {0: "", 1: ""}


def test_message_names_both_and_the_hash() -> None:
    (found,) = mark_duplicates([point(4000, "ab496f1c")], LAST, main_of("ab496f1c"))
    assert found.status == "duplicate"
    assert found.detail == (
        "pythia-2.8b@step4000 holds the same weights as main (sha256 ab496f1c…): its curve would be flat."
    )
    assert found.files == point(4000, "ab496f1c").files


def test_points_without_weights_or_with_another_status_are_not_compared() -> None:
    points = [point(0), point(2), point(4, "a", "corrupt"), point(8, "a"), point(16, status="missing")]
    assert mark_duplicates(points, LAST) == points


def statuses(points: list[Checkpoint], main: Checkpoint | None = None) -> list[str]:
    return [c.status for c in mark_duplicates(points, LAST, main)]


@pytest.mark.parametrize("main", [None, main_of("f", "c")])
def test_first_shard_of_the_final_model_is_found_as_in_issue_206(main: Checkpoint | None) -> None:
    points = [sharded(49000, "x", "y"), sharded(50000, "f", "a"), sharded(58000, "f", "b"), sharded(LAST, "f", "c")]
    found = mark_duplicates(points, LAST, main)
    assert [c.status for c in found] == ["ok", "wrong", "wrong", "ok"]
    whose = "main" if main else "step143000"
    assert found[1].detail == (
        f"pythia-12b@step50000 serves model-0.safetensors of {whose} (sha256 ffffffff…), and other shards of its "
        "own: it mixes two checkpoints."
    )


def test_shards_all_alike_are_a_duplicate() -> None:
    points = [sharded(1000, "a", "b"), sharded(2000, "a", "b"), sharded(3000, "c", "d")]
    assert statuses(points) == ["duplicate", "ok", "ok"]


def test_one_shared_shard_of_two_earlier_steps_makes_both_suspect() -> None:
    points = [sharded(1000, "a", "b"), sharded(2000, "x", "y"), sharded(3000, "c", "b"), sharded(LAST, "p", "q")]
    assert statuses(points, main_of("p", "q")) == ["suspect", "ok", "suspect", "ok"]
    assert statuses([sharded(0, "a", "b"), sharded(1, "a", "c"), sharded(2, "d", "e")]) == ["ok", "ok", "ok"]


def test_shard_that_never_changes_is_no_fault() -> None:
    points = [sharded(step, f"{step}", "mask") for step in range(8)]
    assert statuses(points) == ["ok"] * 8
    assert statuses([*points, sharded(9, "odd", "z")]) == ["ok"] * 9
    assert statuses(points[:7]) == ["suspect"] * 7


@pytest.mark.parametrize("chosen", [STEPS, STEPS[::-1], STEPS[::7]])
def test_arrangement_of_issue_205(chosen: tuple[int, ...]) -> None:
    run = parse_name("pythia-2.8b")
    assert run is not None
    as_main, second = (set(fault.steps) for fault in run.faults)
    weights = {step: "m" if step in as_main else "s" if step in second else f"w{step}" for step in chosen}
    owner = max(set(chosen) & second, default=LAST)
    expected = dict.fromkeys(as_main, "main") | dict.fromkeys(second - {owner}, f"step{owner}")
    if owner == LAST and len(set(chosen) & second) > 1:
        expected[LAST] = "?"
    found = marked(weights, main="m")
    assert found == {step: expected.get(step, "") for step in chosen}
    if set(chosen) == set(STEPS):
        assert (sum(not same for same in found.values()), owner) == (154 - 86, LAST)

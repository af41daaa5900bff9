"""Steps that share their weights: the first update's, and the faults of EleutherAI/pythia issue 205."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from pythia_geometry.suites.checkpoint import Checkpoint, WeightFile
from pythia_geometry.suites.duplicates import mark_across, mark_duplicates
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
    assert marked({0: "a", 2: "a"}) == {0: "?", 2: "?"}
    assert marked({1: "a", 2: "a"}) == {1: "?", 2: "?"}
    assert marked({0: "a", 1: "a", 2: "a"}) == {0: "?", 1: "?", 2: "?"}


@pytest.mark.parametrize("main", ["", "m", "b"])
def test_of_earlier_steps_that_share_weights_nobody_is_convicted(main: str) -> None:
    weights = {90000: "a", 8000: "a", 512: "a", 1000: "c"}
    assert marked(weights, main=main) == {90000: "?", 8000: "?", 512: "?", 1000: ""}
    found = mark_duplicates([point(8000, "aa"), point(512, "aa")], LAST, main_of(main))
    assert [c.detail for c in found] == [
        f"pythia-2.8b@step{one} holds the same weights as step{other} (sha256 aaaaaaaa…), and nothing tells whose they are."
        for one, other in ((8000, 512), (512, 8000))
    ]


def test_the_last_step_of_the_run_keeps_the_weights() -> None:
    weights = {90000: "b", 143000: "b", 8000: "a", 1000: "b"}
    assert marked(weights) == {90000: "step143000", 143000: "", 8000: "", 1000: "step143000"}


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
    assert statuses(points) == ["suspect", "suspect", "ok"]
    assert statuses([*points, sharded(LAST, "a", "b")]) == ["duplicate", "duplicate", "ok", "ok"]


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
    shared = set(chosen) & second
    whose = "step143000" if LAST in shared else "?"  # nothing decides among earlier steps
    expected = dict.fromkeys(as_main, "main") | (dict.fromkeys(second - {LAST}, whose) if len(shared) > 1 else {})
    if LAST in shared and len(shared) > 1:
        expected[LAST] = "?"
    found = marked(weights, main="m")
    assert found == {step: expected.get(step, "") for step in chosen}
    if set(chosen) == set(STEPS):
        assert sum(not same for same in found.values()) == 154 - 86


def of_run(model: str, weights: Mapping[int, str], seed: int = 0, source: str = "") -> list[Checkpoint]:
    return [
        replace(point(s, w), model=model, seed=seed, source=source or f"{model}-{seed}") for s, w in weights.items()
    ]


@pytest.mark.parametrize(
    "other",
    [
        of_run("pythia-2.8b", {0: "q", 8000: "a"}, seed=3),
        of_run("another-name", {0: "q", 9000: "a"}),
        of_run("pythia-2.8b", {0: "a"}, seed=1, source="one repository of several seeds"),
    ],
)
def test_weights_of_two_seeds_or_names_make_both_suspect(other: list[Checkpoint]) -> None:
    mine = of_run("pythia-2.8b", {0: "z", 8000: "a", 9000: "b"})
    first, second = mark_across([mine, other])
    assert [c.status for c in first] == ["ok", "suspect", "ok"]
    assert "suspect" in [c.status for c in second]
    assert (
        f"holds the same weights as {other[-1].label} (sha256 aaaaaaaa…): two runs cannot have trained the same"
        in first[1].detail
    )


def test_runs_may_start_alike_and_stages_of_one_repository_meet() -> None:
    runs = [of_run("a", {0: "z", 1: "z", 5: "x"}), of_run("b", {0: "z", 1: "z", 5: "y"})]
    assert mark_across(runs) == runs
    stages = [of_run("a", {0: "p", 5: "x"}, source="r"), of_run("a-stage2", {0: "x", 5: "y"}, source="r")]
    assert mark_across(stages) == stages
    one = of_run("a", {0: "z", 5: "x"})
    assert mark_across([one, one]) == [one, one]
    unknown = [of_run("a", {5: ""}), of_run("b", {5: ""})]
    assert mark_across(unknown) == unknown

"""Facts of Pythia against the papers, cards and reports that they come from."""

from __future__ import annotations

import re

import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.suites.faults import Fault
from pythia_geometry.suites.pythia import FAULTS, OLD_SIZES, SIZES, STEPS, TOKENS_PER_STEP, PythiaRun, parse_name
from tests.hub.checkpoints import pythia_config

SHAPES = {  # arXiv:2304.01373, table 1; 14m and 31m from their cards
    "14m": (6, 128, 4),
    "31m": (6, 256, 8),
    "70m": (6, 512, 8),
    "160m": (12, 768, 12),
    "410m": (24, 1024, 16),
    "1b": (16, 2048, 8),
    "1.4b": (24, 2048, 16),
    "2.8b": (32, 2560, 32),
    "6.9b": (32, 4096, 32),
    "12b": (36, 5120, 40),
}
SEEDS_160M = "pythia-160m has seeds 1-9 and data-seed1-3, weight-seed1-3, for the plain Pile only"
HAVE_SEEDS = "these have seeds 1-9: 14m, 31m, 70m, 160m, 410m"
WITH_SEEDS = ("14m", "31m", "70m", "160m", "410m")
SAME_AS_MAIN = (  # EleutherAI/pythia issue 205, in thousands
    {s * 1000 for s in (*range(1, 54), 55, 60, 65, 70, 80, 90, 100, 103, 110, 120, 130, 140)}
    | {0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512}
)
SECOND_FILE = {s * 1000 for s in (54, 56, 57, 58, 59, 61, 62, 63, 64, 143)}


def every_name() -> list[str]:
    names = []
    for size in SHAPES:
        small = size in ("14m", "31m")
        names += [f"pythia-{size}{variant}" for variant in ([""] if small else ["", "-deduped", "-v0", "-deduped-v0"])]
        names += [f"pythia-{size}-seed{seed}" for seed in range(1, 10) if size in WITH_SEEDS]
    return names + [f"pythia-160m-{vary}-seed{seed}" for vary in ("data", "weight") for seed in (1, 2, 3)]


def run(name: str) -> PythiaRun:
    found = parse_name(name)
    assert found is not None
    return found


def test_sizes_are_those_of_the_paper() -> None:
    assert {name: (s.n_layers, s.width, s.n_heads) for name, s in SIZES.items()} == SHAPES
    assert {name for name, size in SIZES.items() if size.seeds == 9} == set(WITH_SEEDS)
    assert all(size.deduped for size in SIZES.values())
    assert {name for name, size in SIZES.items() if not size.v0} == {"14m", "31m"}
    assert {name: s.vocab_size for name, s in SIZES.items() if s.vocab_size != 50304} == {
        "6.9b": 50432,
        "12b": 50688,
    }


@pytest.mark.parametrize("size", ["14m", "70m", "160m"])
def test_sizes_are_those_of_the_local_hub(size: str) -> None:
    config = pythia_config(size)
    assert config["num_hidden_layers"] == SIZES[size].n_layers
    assert config["hidden_size"] == SIZES[size].width
    assert config["num_attention_heads"] == SIZES[size].n_heads
    assert config["vocab_size"] == SIZES[size].vocab_size


def test_there_are_154_steps_in_ascending_order() -> None:
    assert len(STEPS) == 154
    assert list(STEPS) == sorted(set(STEPS))
    assert STEPS[:12] == (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
    assert (STEPS[12], STEPS[-1]) == (2000, 143000)
    assert TOKENS_PER_STEP == 1024 * 2048
    assert run("pythia-160m").labels == STEPS


@pytest.mark.parametrize("name", every_name())
def test_every_model_is_known_by_all_its_spellings(name: str) -> None:
    for spelling in (name, f"EleutherAI/{name}", name.removeprefix("pythia-")):
        found = run(spelling)
        assert (found.name, found.repository) == (name, f"EleutherAI/{name}")
    found = run(name)
    seed = re.search(r"-seed(\d)$", name)
    assert found.seed == (int(seed[1]) if seed else 0)
    assert found.model == re.sub(r"-seed\d$", "", name)
    assert found.shape is SIZES[found.size]
    assert (found.deduped, found.v0) == ("deduped" in name, "v0" in name)


def test_capitals_do_not_matter() -> None:
    assert run("eleutherai/Pythia-1.4B-Deduped-V0") == run("pythia-1.4b-deduped-v0")


def test_seed_zero_is_the_original_run() -> None:
    assert run("pythia-160m-seed0") == run("pythia-160m")


@pytest.mark.parametrize(
    "text",
    [
        "offline",
        "pythia",
        "pythia-160m/",
        "other/pythia-160m",
        "my-pythia-160m",
        "pythia-160m-v1",
        "gpt2",
        "",
        "../160m",
        "pythia-160m\n",
    ],
)
def test_other_names_are_left_to_others(text: str) -> None:
    assert parse_name(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "pythia-15m",
            "There is no Pythia of size '15m'. Sizes: 14m, 31m, 70m, 160m, 410m, 1b, 1.4b, 2.8b, 6.9b",
        ),
        ("EleutherAI/pythia-13b", "EleutherAI/pythia-13b is the name of before January 2023. That size is pythia-12b"),
        ("pythia-14m-deduped-v0", "pythia-14m-deduped-v0: Pythia 14m has no v0 models; it comes as"),
        ("pythia-31m-v0", "pythia-31m-v0: Pythia 31m has no v0 models; it comes as pythia-31m"),
        ("pythia-160m-seed10", f"pythia-160m-seed10 does not exist. {SEEDS_160M}"),
        ("pythia-410m-seed10", "pythia-410m-seed10 does not exist. pythia-410m has seeds 1-9, for the plain"),
        ("pythia-160m-data-seed4", f"pythia-160m-data-seed4 does not exist. {SEEDS_160M}"),
        ("pythia-160m-weight-seed0", f"pythia-160m-weight-seed0 does not exist. {SEEDS_160M}"),
        (
            "pythia-70m-data-seed1",
            "pythia-70m-data-seed1 does not exist. pythia-70m has seeds 1-9, for the plain",
        ),
        ("pythia-160m-deduped-seed1", f"pythia-160m-deduped-seed1 does not exist. {SEEDS_160M}"),
        ("pythia-160m-v0-seed1", f"pythia-160m-v0-seed1 does not exist. {SEEDS_160M}"),
        (
            "pythia-1b-seed1",
            f"pythia-1b-seed1 does not exist. Pythia 1b was trained with one seed; {HAVE_SEEDS}",
        ),
    ],
)
def test_model_that_does_not_exist_is_refused_with_what_does(text: str, message: str) -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        parse_name(text)
    assert str(caught.value).startswith(message)


def test_only_1b_on_the_plain_pile_was_trained_in_bfloat16() -> None:
    trained = {name: run(name).training_dtype for name in every_name() if not name.endswith("v0")}
    assert {name for name, dtype in trained.items() if dtype == "bfloat16"} == {"pythia-1b"}
    assert {dtype for name, dtype in trained.items() if name != "pythia-1b"} == {"float16"}
    assert trained["pythia-1b-deduped"] == "float16"
    assert run("pythia-1b").notes == ("trained in bfloat16 mixed precision (issue 171)",)


@pytest.mark.parametrize("size", [size for size in SHAPES if size not in ("14m", "31m")])
def test_v0_labels_of_three_sizes_count_half_steps(size: str) -> None:
    for name in (f"pythia-{size}-v0", f"pythia-{size}-deduped-v0"):
        v0 = run(name)
        assert v0.labels == tuple(range(1000, 144000, 1000))
        assert v0.step_of(143000) == (71500 if size in ("160m", "410m", "1.4b") else 143000)
        assert v0.tokens_at(1000) == 1000 * 2_097_152  # labels count 2M tokens in every run
    assert run(f"pythia-{size}").step_of(143000) == 143000


def test_tokens_of_the_last_step_are_300_billion() -> None:
    assert run("pythia-160m").tokens_at(143000) == 299_892_736_000


def test_2_8b_serves_86_wrong_steps_and_no_step_is_listed_twice() -> None:
    as_main, second = (set(fault.steps) for fault in run("pythia-2.8b").faults)
    assert (as_main, second) == (SAME_AS_MAIN, SECOND_FILE)
    assert (len(as_main), len(second), len(as_main | second)) == (76, 10, 86)
    assert [len(fault.steps) for fault in run("pythia-2.8b").faults] == [76, 10]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.run}: {fault.what}")
def test_fault_names_a_run_its_steps_and_its_source(fault: Fault) -> None:
    assert run(fault.run).name == fault.run
    assert fault in run(fault.run).faults
    assert set(fault.steps) <= set(STEPS)
    assert re.fullmatch(r"issues? \d+(, \d+)*|readme, errata|model card", fault.source)
    assert fault.what


@pytest.mark.parametrize(
    ("name", "step", "source"),
    [
        ("pythia-12b", 50000, "issue 206"),
        ("pythia-12b", 58000, "issue 206"),
        ("pythia-410m-seed9", 40000, "issue 202"),
        ("pythia-410m-seed6", 88000, "issue 202"),
        ("pythia-410m-seed2", 111000, "issue 202"),
        ("pythia-160m-weight-seed1", 0, "issue 203"),
        ("pythia-160m-weight-seed2", 0, "issue 203"),
    ],
)
def test_published_fault_is_known(name: str, step: int, source: str) -> None:
    assert [fault.source for fault in run(name).faults if step in fault.steps] == [source]


@pytest.mark.parametrize("size", ["14m", "31m"])
def test_sizes_whose_run_was_replaced_say_so_and_have_their_old_run(size: str) -> None:
    assert run(f"pythia-{size}-deduped").repository == f"EleutherAI/pythia-{size}-deduped"
    assert run(f"pythia-{size}-deduped").faults == ()
    (fault,) = run(f"pythia-{size}").faults
    assert "since 27 February 2026" in fault.told
    assert f"pythia-{size}-deduped" in fault.told
    assert run(f"pythia-{size}-seed3").faults == ()


@pytest.mark.parametrize(("old", "new"), OLD_SIZES.items())
@pytest.mark.parametrize("name", ["pythia-{}", "EleutherAI/pythia-{}", "{}", "pythia-{}-deduped"])
def test_old_size_is_answered_with_the_new_name(old: str, new: str, name: str) -> None:
    with pytest.raises(PythiaGeometryError) as caught:
        parse_name(name.format(old))
    deduped = "-deduped" if "deduped" in name else ""
    assert f"That size is pythia-{new} now" in str(caught.value)
    assert str(caught.value).endswith(f"Type: --model pythia-{new}{deduped}")


def test_notes_tell_precision_and_faults_with_their_sources() -> None:
    assert run("pythia-2.8b").notes == (
        "trained in float16 mixed precision (issue 171)",
        "serves the weights of main at 76 steps (issues 205, 195)",
        "shares one second final-era file at 10 steps (issue 205)",
    )
    for name in ("pythia-6.9b", "pythia-12b"):
        assert any("initialised differently" in note and "readme" in note for note in run(name).notes)
    assert run("pythia-160m").notes == ("trained in float16 mixed precision (issue 171)",)
    assert run("pythia-2.8b-deduped").faults == ()

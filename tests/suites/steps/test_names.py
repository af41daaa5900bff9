"""Names of branches, tags and folders as steps: the conventions, the user's own, and which of them are one run's."""

from __future__ import annotations

import pickle
import time

import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.suites.steps import pattern
from pythia_geometry.suites.steps.names import StepLabel, parse_step
from pythia_geometry.suites.steps.numbering import Naming, Numbered, Revision, number_steps
from pythia_geometry.suites.steps.pattern import Pattern


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("step123", StepLabel(123)),
        ("step0", StepLabel(0)),
        ("step_1000", StepLabel(1000)),
        ("step-1000", StepLabel(1000)),
        ("step_00000500", StepLabel(500)),
        ("stage1-step-40000", StepLabel(40000, "stage1")),
        ("lc-4k-to-32k-step-4000", StepLabel(4000, "lc-4k-to-32k")),
        ("stage2-step_7", StepLabel(7, "stage2")),
        ("cooldown-step7", StepLabel(7, "cooldown")),
        ("step69369-seed-default", StepLabel(69369, seed="default")),
        ("step1250-seed-small-aux-2", StepLabel(1250, seed="small-aux-2")),
        ("step1250-seed3", StepLabel(1250, seed="3")),
        ("step-001000-2BT", StepLabel(1000, "", 2 * 10**9)),
        ("step-1431k-3T", StepLabel(1_431_000, "", 3 * 10**12)),
        ("step50000-tokens2T", StepLabel(50000, "", 2 * 10**12)),
        ("checkpoint-500", StepLabel(500)),
        ("checkpoint_500", StepLabel(500)),
        ("checkpoint-20000", StepLabel(20000)),
        ("CrystalCoder_phase1_checkpoint_055500", StepLabel(55500, "phase1")),
        ("ckpt_356", StepLabel(356)),
        ("ckpt_000", StepLabel(0)),
        ("ckpt-7", StepLabel(7)),
        ("global_step1000", StepLabel(1000)),
        ("global_step_1000", StepLabel(1000)),
        ("iter_0001000", StepLabel(1000)),
        ("iter-7", StepLabel(7)),
        ("iteration_1000", StepLabel(1000)),
        ("epoch=0-step=1000", StepLabel(1000)),
        ("step=1000", StepLabel(1000)),
        ("chck_10M", StepLabel(10)),
        ("chck_1000M", StepLabel(1000)),
        ("train_02200B", StepLabel(2200, "", 2200 * 10**9)),
        ("step1000-tokens5B", StepLabel(1000, "", 5 * 10**9)),
        ("stage1-step101000-tokens424B", StepLabel(101000, "stage1", 424 * 10**9)),
        ("stage2-ingredient3-step2000-tokens9B", StepLabel(2000, "stage2-ingredient3", 9 * 10**9)),
    ],
)
def test_step_name_is_read(name: str, label: StepLabel) -> None:
    assert parse_step(name) == label


@pytest.mark.parametrize(
    "name",
    [
        "main",
        "",
        "step",
        "stepping",
        "steps5",
        "Step5",
        "step5/",
        "step5\n",
        " step5",
        "step5.5",
        "step5-final",
        "my-step5",
        "step1/../..",
        "../step1",
        "step1/step2",
        "/step1",
        "refs/pr/1",
        "stage1",
        "stage1-",
        "stage1-step5-tokensB",
        "stage1-step5-tokens5M",
        "stage-step5",
        f"step{10**12 + 1}",
        "checkpoint",
        "checkpoint-",
        "checkpoint-best",
        "ckpt_last",
        "chck_10",
        "train_5",
        "iter_0001000/",
        "global_step",
        "step5-seed",
        "step5-seed-../x",
        "step٣",  # digits of another script
        "stage" + "1_a" * 80,  # no time that grows with every word
    ],
)
def test_other_name_is_no_step(name: str) -> None:
    assert parse_step(name) is None


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("step_00000500", "step500"),
        ("stage1-step7-tokens5B", "step7"),
        ("checkpoint-500", "checkpoint-500"),
        ("ckpt_007", "ckpt_7"),
        ("global_step1000", "global_step1000"),
        ("iter_0001000", "iter_1000"),
        ("chck_10M", "chck_10M"),
        ("train_02200B", "train_2200B"),
    ],
)
def test_step_is_called_as_its_convention_calls_it(name: str, called: str) -> None:
    label = parse_step(name)
    assert label is not None
    assert label.name == called


# -- the user's own pattern ---------------------------------------------------------------------------------


def test_pattern_reads_step_stage_seed_and_tokens() -> None:
    read = Pattern(r"run-(?P<stage>\w+?)/(?P<seed>\d)-(?P<step>\d+)(?:-(?P<tokens>\d+)B)?").read
    assert read("run-late/3-0042-7B") == StepLabel(42, "late", 7 * 10**9, "3")
    assert read("run-late/3-0042") == StepLabel(42, "late", None, "3")
    assert read("run-late/3-0042-7B-x") is None
    assert read("main") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(", "is no regular expression"),
        (r"run-(\d+)", "does not say where the step stands"),
        (r"(?P<step>", "is no regular expression"),
        ("(?P<step>" + "a" * 300 + ")", "characters; 200 are allowed"),
        (r"(?P<step>\d+){99999999999}", "is no regular expression"),
    ],
)
def test_pattern_that_cannot_be_used_is_refused_with_an_example(text: str, message: str) -> None:
    with pytest.raises(PythiaGeometryError, match=message):
        Naming(pattern=text)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (r"(?P<step>\w+)", "main", "reads 'main' in 'main', which is no number"),
        (r"(?P<step>\d+)", "9" * 16, "which is no number of up to 15 digits"),
        (r"(?P<step>\d+)", "٣", "which is no number"),
        (r"a(?P<step>\d+)?", "a", "reads None in 'a'"),
        (r"(?P<stage>.*)-(?P<step>\d+)", "../x-5", "reads the stage or seed '../x'"),
        (r"(?P<stage>.*)-(?P<step>\d+)", "a" * 99 + "-5", "reads the stage or seed"),
    ],
)
def test_what_a_pattern_reads_is_checked(text: str, name: str, message: str) -> None:
    with pytest.raises(PythiaGeometryError, match=message):
        Pattern(text).read(name)


def test_pattern_that_would_take_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(PythiaGeometryError, match="Write it without nested repetitions"):
        Pattern(r"(?P<step>(?:(?:a|aa)+)+)b").read("a" * 60 + "c")
    assert time.monotonic() - began < 20


def test_naming_travels_to_other_processes() -> None:
    naming = Naming("stage2", r"run-(?P<step>\d+)")
    again = pickle.loads(pickle.dumps(naming))
    assert again == naming
    assert again.read("run-7") == StepLabel(7)
    assert naming.words == r" --stage stage2 --pattern 'run-(?P<step>\d+)'"


# -- one run among all names --------------------------------------------------------------------------------


def numbered(*names: str, stage: str = "", pattern: str = "", seed: int = 0) -> Numbered:
    revisions = [Revision(name, f"commit of {name}", "branch") for name in names]
    return number_steps(revisions, Naming(stage, pattern), "org/run", seed)


def steps(found: Numbered) -> dict[int, str]:
    return {step: revision.name for step, (revision, _) in found.steps.items()}


def test_steps_are_sorted_as_numbers_and_other_names_told() -> None:
    found = numbered("step90000", "main", "step143000", "v2", "step8")
    assert steps(found) == {8: "step8", 90000: "step90000", 143000: "step143000"}
    assert (found.others, found.notes, found.stage) == (("main", "v2"), (), "")


@pytest.mark.parametrize(
    "pair",
    [("step8", "step_8"), ("step1000-tokens4B", "step1000"), ("step08", "step8"), ("checkpoint-5", "step5")],
)
def test_two_names_of_one_step_are_refused_by_name(pair: tuple[str, str]) -> None:
    with pytest.raises(PythiaGeometryError, match=f"org/run: {pair[0]} and {pair[1]} both name step .*--pattern"):
        numbered("step3", *pair)


def test_the_pattern_that_the_refusal_names_is_a_way_out() -> None:
    assert steps(numbered("step8", "step_8", "step9", pattern="step(?P<step>[0-9]+)")) == {8: "step8", 9: "step9"}


def test_two_names_of_one_commit_are_one_step() -> None:
    both = [Revision("step8", "c", "branch"), Revision("step8", "c", "tag"), Revision("step_8", "c", "tag")]
    found = number_steps(both, Naming(), "org/run")
    assert steps(found) == {8: "step8"}
    assert found.others == ()


def test_branch_and_tag_of_one_name_that_differ_are_refused() -> None:
    both = [Revision("step8", "c", "branch"), Revision("step8", "d", "tag")]
    with pytest.raises(PythiaGeometryError, match="the branch step8 and the tag step8 both name step 8"):
        number_steps(both, Naming(), "org/run")


def test_numbers_that_count_different_things_are_refused() -> None:
    with pytest.raises(PythiaGeometryError, match=r"step1 and ckpt_2 count different things.*--pattern"):
        numbered("step1", "ckpt_2")


@pytest.mark.parametrize(
    ("name", "unit"),
    [("ckpt_7", "saved checkpoints"), ("chck_10M", "millions of words"), ("train_00220B", "billions of")],
)
def test_numbers_that_count_no_steps_are_said(name: str, unit: str) -> None:
    (note,) = numbered(name).notes
    assert note.startswith(f"the numbers of {name} and so on count {unit}")


def test_stages_that_go_on_counting_are_one_run_and_the_others_are_said() -> None:
    names = ["stage1-step-40", "stage1-step-50", "stage2-step-60", "stage3-step-70", "lc-4k-to-32k-step-4"]
    found = numbered("main", *names)
    assert list(found.steps) == [40, 50, 60, 70]
    assert found.notes == (
        "stages walked as one run, since each goes on counting: stage1, stage2, stage3",
        "stages left out: lc-4k-to-32k (1 step); walk one with --stage lc-4k-to-32k",
    )
    assert found.others == ("lc-4k-to-32k-step-4", "main")
    late = numbered("main", *names, stage="lc-4k-to-32k")
    assert (steps(late), late.stage) == ({4: "lc-4k-to-32k-step-4"}, "lc-4k-to-32k")
    assert "stages left out: stage1 (2 steps), stage2 (1 step), stage3 (1 step)" in late.notes[0]
    assert numbered(*names, stage="stage2").stage == "stage2"


def test_stages_that_begin_again_are_left_out_and_named() -> None:
    names = ["step1000-tokens4B", "step2000-tokens8B", "stage2-step1000-tokens4B", "stage10-step5", "stage2-step3000"]
    found = numbered(*names)
    assert list(found.steps) == [1000, 2000]
    assert "stages left out: stage2 (2 steps), stage10 (1 step); walk one with --stage stage2" in found.notes
    second = numbered(*names, stage="stage2")
    assert list(second.steps) == [1000, 3000]
    assert numbered("stage1-step5", "stage2-step1", stage="stage1").stage == ""  # what is walked anyway


def test_stage_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(PythiaGeometryError, match=r"has no stage 'stage3'\. Its stages: one without a name, stage2"):
        numbered("step1", "stage2-step1", stage="stage3")
    with pytest.raises(PythiaGeometryError, match=r"has no stage 'x'\. Its stages: none"):
        numbered("main", stage="x")


def test_seeds_in_one_repository_are_runs_of_their_own() -> None:
    names = [
        f"step{s}-seed-{seed}" for seed in ("small-aux-2", "default", "large-aux-10", "large-aux-2") for s in (0, 5)
    ]
    first, third = numbered(*names), numbered(*names, seed=2)
    assert steps(first) == {0: "step0-seed-default", 5: "step5-seed-default"}
    assert first.notes == (
        "seed 0 is default; other seeds here: 1 (large-aux-2), 2 (large-aux-10), 3 (small-aux-2) (--seeds)",
    )
    assert steps(third) == {0: "step0-seed-large-aux-10", 5: "step5-seed-large-aux-10"}
    assert len(third.others) == 6


def test_seeds_that_are_numbers_keep_them() -> None:
    assert steps(numbered("step5", "step5-seed3", "step5-seed-1", seed=3)) == {5: "step5-seed3"}
    assert steps(numbered("step5", "step5-seed3", "step5-seed-1")) == {5: "step5"}
    with pytest.raises(PythiaGeometryError, match=r"has no seed 0 .*Seeds: 1, 3\. Choose with --seeds.*--seeds 1"):
        numbered("step5-seed3", "step5-seed-1")
    with pytest.raises(PythiaGeometryError, match=r"--seeds needs a Pythia size, or .*org/run is of one seed"):
        numbered("step5", seed=2)


def test_name_of_a_step_that_is_not_there_is_of_the_same_kind() -> None:
    assert numbered("checkpoint-500").name(700) == "checkpoint-700"
    assert numbered().name(7) == "step7"

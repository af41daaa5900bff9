"""The doctor on a local Hub: each published kind of fault is named, by listing alone where that can be."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download
from safetensors.numpy import save

from pythia_geometry.errors import MachineError
from pythia_geometry.shipped import data_folder
from pythia_geometry.suites.doctor.verdicts import Diagnosis, diagnose, diagnose_all
from pythia_geometry.suites.hub.suite import HubSuite
from pythia_geometry.suites.local import LocalSuite
from pythia_geometry.suites.pythia import STEPS, parse_name
from tests.hub.faults import Fault
from tests.hub.repository import Blob
from tests.hub.server import LocalHub
from tests.suites.histories import Files, bin_file, history, repository_of, safetensors, shards

Serve = Callable[..., LocalHub]
SuiteOf = Callable[..., HubSuite]
SOME = (0, 1, 2, 512, 1000, 2000, 3000, 4000, 5000, 143000)


def verdicts(diagnosis: Diagnosis) -> dict[int, str]:
    return {s.step: s.verdict for s in diagnosis.steps}


def odd(diagnosis: Diagnosis) -> dict[int, str]:
    """Verdicts of the steps that are on the Hub and not simply trusted."""
    return {
        step: verdict
        for step, verdict in verdicts(diagnosis).items()
        if verdict not in ("trust", "missing") and (step, verdict) != (1, "expected duplicate")
    }


def reasons(diagnosis: Diagnosis, step: int) -> str:
    return "; ".join(next(s for s in diagnosis.steps if s.step == step).reasons)


def weight_requests(hub: LocalHub) -> list[str]:
    """Requests that name a weight file, whatever came of them."""
    return [f"{r.method} {r.label}" for r in hub.requests() if ".safetensors" in r.label or ".bin" in r.label]


def healthy(steps: tuple[int, ...] = SOME, **changes: Files) -> dict[int, Files]:
    """Safetensors of a random walk; `step512=…` replaces the files of a step."""
    files = {step: safetensors(embedding) for step, embedding in history(steps).items()}
    return files | {int(name.removeprefix("step")): replaced for name, replaced in changes.items()}


@pytest.fixture
def examine(serve: Serve, suite_of: SuiteOf) -> Callable[..., Diagnosis]:
    def run(steps: Mapping[int, Files], name: str = "EleutherAI/pythia-14m", deep: bool = False) -> Diagnosis:
        hub = serve(repository_of(steps, name))
        found = diagnose(suite_of(hub, name), deep)
        assert deep or weight_requests(hub) == []
        return found

    return run


Examine = Callable[..., Diagnosis]


# -- healthy ---------------------------------------------------------------------------------------------------


def arrangement(as_main: set[int], second: set[int]) -> dict[int, Files]:
    """All 154 steps of a random walk; some serve the files of `main`, some share a second file."""
    run = history((*STEPS, 144000))
    return {
        step: safetensors(run[143000] if step in as_main else run[144000] if step in second else run[step])
        for step in STEPS
    }


def test_healthy_run_raises_no_alarm_and_costs_one_listing_a_branch(serve: Serve, suite_of: SuiteOf) -> None:
    hub = serve(repository_of(arrangement(set(), set())))
    found = diagnose(suite_of(hub))
    assert verdicts(found) == {s: "expected duplicate" if s == 1 else "trust" for s in STEPS}
    assert found.is_sound
    assert found.notes == ("trained in float16 mixed precision (issue 171)",)
    assert (len(hub.requests(contains="/refs")), len(hub.requests(contains="/tree/"))) == (1, 155)
    assert len(hub.requests()) == 156
    assert hub.downloaded_files() == []


def test_healthy_run_raises_no_alarm_with_deep_and_reads_each_distinct_file_once(
    serve: Serve, suite_of: SuiteOf
) -> None:
    hub = serve(repository_of(healthy()))
    found = diagnose(suite_of(hub), deep=True)
    assert odd(found) == {}
    assert found.inside is not None
    assert found.inside.continuity.broken_lineage == ""
    reads = hub.requests("GET", contains="/cdn/")
    assert {r.label for r in reads} == {f"step{s}/model.safetensors" for s in SOME if s != 1}
    assert all(r.range for r in reads)
    assert len(reads) == 2 * (len(SOME) - 1)


def test_trained_suite_that_ships_is_trusted_even_with_deep() -> None:
    found = diagnose(LocalSuite(data_folder() / "suites" / "offline"), deep=True)
    assert (set(verdicts(found).values()), found.is_sound, len(found.steps)) == ({"trust"}, True, 55)


def test_two_swapped_steps_of_the_suite_that_ships_are_suspect(tmp_path: Path) -> None:
    suite = tmp_path / "swapped"
    shutil.copytree(data_folder() / "suites" / "offline", suite)
    (suite / "step140").rename(suite / "aside")
    (suite / "step9280").rename(suite / "step140")
    (suite / "aside").rename(suite / "step9280")
    assert diagnose(LocalSuite(suite)).is_sound  # every file is still another
    found = diagnose(LocalSuite(suite), deep=True)
    assert odd(found) == {140: "suspect", 9280: "suspect"}
    assert "times as far from the neighbouring steps as those are from each other" in reasons(found, 140)


# -- issue 205: whole files --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["EleutherAI/pythia-2.8b", "EleutherAI/pythia-14m"])
def test_arrangement_of_issue_205_is_named_exactly(serve: Serve, suite_of: SuiteOf, name: str) -> None:
    run = parse_name("pythia-2.8b")
    assert run is not None
    as_main, second = (set(fault.steps) for fault in run.faults)
    assert (len(as_main), len(second), 143000 in second) == (76, 10, True)
    repository = repository_of(arrangement(as_main, second), name, main=None)
    repository.commit("main", safetensors(history((*STEPS, 144000))[143000]))
    hub = serve(repository)
    suite = suite_of(hub, name)
    found = diagnose(suite)
    assert {step for step, verdict in verdicts(found).items() if verdict != "trust"} == as_main | second
    assert odd(found) == dict.fromkeys(as_main | second, "wrong") | {143000: "suspect"}
    assert all(reasons(found, s).startswith("holds the same weights as main") for s in as_main)
    assert all(reasons(found, s).startswith("holds the same weights as step143000") for s in second - {143000})
    assert "main does not serve the weights of the last step, 143000" in found.notes
    assert weight_requests(hub) == []
    assert hub.downloaded_files() == []
    published = {p.fault.source: (len(p.seen), len(p.gone), len(p.untold)) for p in found.published if p.fault.steps}
    assert published == ({"issues 205, 195": (76, 0, 0), "issue 205": (10, 0, 0)} if "2.8b" in name else {})
    walked = suite.find(STEPS)
    assert {c.step for c in walked if c.status != "ok"} == as_main | second


@pytest.mark.parametrize("chosen", [54000, 64000, 143000, 4000])
def test_walk_of_one_step_of_issue_205_asks_for_a_witness(serve: Serve, suite_of: SuiteOf, chosen: int) -> None:
    name = "EleutherAI/pythia-2.8b"
    run = parse_name(name)
    assert run is not None
    as_main, second = (set(fault.steps) for fault in run.faults)
    repository = repository_of(arrangement(as_main, second), name, main=4000)
    hub = serve(repository)
    (found,) = suite_of(hub, name).find([chosen])
    assert found.status in ("duplicate", "suspect")
    assert len(hub.requests(contains="/tree/")) <= 4


def test_repaired_run_is_trusted_and_the_report_is_said_to_be_gone(examine: Examine) -> None:
    found = examine(arrangement(set(), set()), "EleutherAI/pythia-2.8b")
    assert found.is_sound
    assert [(len(p.seen), len(p.gone)) for p in found.published] == [(0, 76), (0, 10)]


# -- issue 206 and chimeras: single shards -----------------------------------------------------------------


@pytest.mark.parametrize("form", ["bin", "safetensors"])
def test_first_shard_of_the_final_model_is_found(examine: Examine, form: str) -> None:
    steps = (0, 1, 49000, 50000, 51000, 58000, 59000, 143000)
    run = history(steps)
    files = {s: shards(run[143000] if s in (50000, 58000) else run[s], run[s], form) for s in steps}
    found = examine(files, "EleutherAI/pythia-12b")
    assert odd(found) == {50000: "wrong", 58000: "wrong"}
    first = {"bin": "pytorch_model-00001-of-00002.bin", "safetensors": "model-00001-of-00002.safetensors"}[form]
    assert reasons(found, 50000).startswith(f"serves {first} of main (sha256 ")
    published = {p.fault.source: (p.seen, p.gone) for p in found.published}
    assert published["issue 206"] == ((50000, 58000), ())


def test_shards_of_two_earlier_steps_make_both_suspect(examine: Examine) -> None:
    run = history(SOME)
    files = {s: shards(run[s], run[4000 if s == 2000 else s]) for s in SOME}
    found = examine(files)
    assert odd(found) == {2000: "suspect", 4000: "suspect"}
    assert "of step4000" in reasons(found, 2000)
    assert "one of the two mixes two checkpoints" in reasons(found, 2000)


def test_shard_that_was_written_again_is_found_by_its_embedding(examine: Examine) -> None:
    run = history(SOME)
    changed = (run[143000] * 1.001).astype("float16")
    files = {s: shards(changed if s == 3000 else run[s], run[s]) for s in SOME}
    assert odd(examine(files)) == {}
    found = examine(files, deep=True)
    assert odd(found) == {3000: "suspect"}


# -- formats ---------------------------------------------------------------------------------------------------


def test_wrong_safetensors_beside_a_sound_bin_is_told_with_the_way_out(examine: Examine) -> None:
    run = history(SOME)
    files = {s: safetensors(run[143000 if s == 3000 else s]) | bin_file(run[s]) for s in SOME}
    found = examine(files)
    assert odd(found) == {3000: "wrong"}
    told = reasons(found, 3000)
    assert "holds the same weights as main" in told
    assert "the formats disagree: its bin file is no other step's (a walk reads it)" in told


def test_wrong_bin_beside_sound_safetensors_is_a_disagreement(examine: Examine) -> None:
    run = history(SOME)
    found = examine({s: safetensors(run[s]) | bin_file(run[4000 if s == 2000 else s]) for s in SOME})
    assert odd(found) == {2000: "suspect", 4000: "suspect"}  # the listing does not tell whose the file is
    assert reasons(found, 2000).startswith("the formats disagree: its bin file holds the same weights as step4000")
    assert reasons(found, 4000).startswith("the formats disagree: its bin file holds the same weights as step2000")


def test_formats_of_two_steps_are_told_apart_by_their_embeddings(examine: Examine) -> None:
    run = history((*SOME, 144000))
    files = {s: safetensors(run[s]) | bin_file(run[144000 if s == 2000 else s]) for s in SOME}
    assert odd(examine(files)) == {}
    found = examine(files, deep=True)
    assert odd(found) == {2000: "suspect"}
    assert "model.safetensors and pytorch_model.bin hold different embeddings" in reasons(found, 2000)


def test_bin_only_run_is_tested_with_deep_too(examine: Examine) -> None:
    run = history((*SOME, 144000))
    found = examine({s: bin_file(run[144000 if s == 2000 else s]) for s in SOME}, deep=True)
    assert odd(found) == {2000: "suspect"}


# -- lineage, gaps, schedule -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["EleutherAI/pythia-160m-weight-seed1", "EleutherAI/pythia-14m"])
def test_run_that_does_not_descend_from_its_step_0(examine: Examine, name: str) -> None:
    files = healthy(step0=safetensors(history((0,), seed=7)[0]))
    listed = odd(examine(files, name))
    assert listed == ({0: "suspect"} if "weight" in name else {})
    found = examine(files, name, deep=True)
    assert odd(found) == {0: "wrong"}
    assert "step 1 does not descend from it" in reasons(found, 0)
    of_steps = [(p.seen, p.untold) for p in found.published if p.fault.steps]
    assert of_steps == ([((0,), ())] if "weight" in name else [])


def test_published_fault_that_only_weights_show_is_suspect_until_tested(examine: Examine) -> None:
    name = "EleutherAI/pythia-160m-weight-seed2"
    found = examine(healthy(), name)
    assert odd(found) == {0: "suspect"}
    assert reasons(found, 0) == (
        "published: later steps do not descend from its step 0 (issue 203); only --deep can tell"
    )
    found = examine(healthy(), name, deep=True)
    assert odd(found) == {}
    assert [(p.seen, p.gone, p.untold) for p in found.published] == [((), (0,), ())]


def test_missing_branches_weights_and_shards_are_named(serve: Serve, suite_of: SuiteOf) -> None:
    run = history(SOME)
    repository = repository_of({s: shards(run[s], run[s]) for s in SOME}, "EleutherAI/pythia-410m-seed9")
    del repository.branches["step2000"]
    repository.commit("step3000", {"config.json": b"{}"})
    incomplete = shards(run[4000], run[4000])
    repository.commit("step4000", {n: f for n, f in incomplete.items() if "00002-of" not in n})
    found = diagnose(suite_of(serve(repository), repository.name))
    missing = {step for step, verdict in verdicts(found).items() if verdict == "missing"}
    assert missing == set(STEPS) - set(SOME) | {2000, 3000, 4000}
    assert "has no branch step2000" in reasons(found, 2000)
    assert "has no weights" in reasons(found, 3000)
    assert "lists 1 shards, fewer than its index" in reasons(found, 4000)
    assert [(p.fault.source, p.seen) for p in found.published] == [("issue 202", (40000,))]
    assert not found.is_sound


def test_step_outside_the_schedule_and_other_branches_are_named(serve: Serve, suite_of: SuiteOf) -> None:
    run = history((*SOME, 1500))
    repository = repository_of({s: safetensors(run[s]) for s in (*SOME, 1500)}, main=143000)
    repository.commit("experiment", {"config.json": b"{}"})
    found = diagnose(suite_of(serve(repository)))
    assert odd(found) == {1500: "suspect"}
    assert reasons(found, 1500) == "not in the run's schedule of steps"
    assert found.others == ("experiment",)


def test_any_other_repository_has_no_schedule(examine: Examine) -> None:
    run = history((5, 10, 15, 20))
    found = examine({s: safetensors(e) for s, e in run.items()}, "org/run", deep=True)
    assert found.is_sound
    assert list(verdicts(found)) == [5, 10, 15, 20]


def test_last_step_keeps_shared_weights_and_says_so(examine: Examine) -> None:
    run = history(SOME)
    found = examine({s: safetensors(run[143000 if s == 2000 else s]) for s in SOME})
    assert odd(found) == {2000: "wrong"}
    assert reasons(found, 143000) == "its weights are served at step2000 too; the last step keeps them (assumption A17)"


def test_of_two_earlier_steps_with_one_file_nobody_is_convicted(serve: Serve, suite_of: SuiteOf) -> None:
    run = history(SOME)
    hub = serve(repository_of({s: safetensors(run[4000 if s == 2000 else s]) for s in SOME}))
    found = diagnose(suite_of(hub))
    assert odd(found) == {2000: "suspect", 4000: "suspect"}
    for step, other in ((2000, 4000), (4000, 2000)):
        assert reasons(found, step).startswith(f"holds the same weights as step{other}")
        assert reasons(found, step).endswith("nothing tells whose they are")
    assert {c.step: c.status for c in suite_of(hub).find(SOME) if c.status != "ok"} == {
        2000: "suspect",
        4000: "suspect",
    }


def test_weights_of_another_seed_or_name_are_found_in_one_call(serve: Serve, suite_of: SuiteOf) -> None:
    runs = [history(SOME, seed=seed) for seed in (0, 1)]
    files = [{s: safetensors(run[s]) for s in SOME} for run in runs]
    files[1][3000] = files[0][2000]
    files[1] |= {0: files[0][0], 1: files[0][1]}
    names = ("EleutherAI/pythia-70m", "EleutherAI/pythia-70m-seed1")
    hub = serve(*(repository_of(f, name) for f, name in zip(files, names, strict=True)))
    first, second = diagnose_all([suite_of(hub, name) for name in names])
    assert (odd(first), odd(second)) == ({2000: "suspect"}, {3000: "suspect"})
    assert "holds the same weights as pythia-70m-seed1@step3000" in reasons(first, 2000)
    assert "holds the same weights as pythia-70m@step2000" in reasons(second, 3000)
    assert "the same weights as pythia-70m-seed1@step0" in reasons(first, 0)
    assert "the runs start alike" in reasons(first, 0)
    assert odd(diagnose(suite_of(hub, names[0]))) == {}  # nobody else was asked about


# -- what goes wrong on the way ------------------------------------------------------------------------------


@pytest.mark.usefixtures("waits")
def test_step_that_cannot_be_listed_is_suspect_and_one_that_cannot_be_read_is_said_so(
    serve: Serve, suite_of: SuiteOf
) -> None:
    hub = serve(repository_of(healthy()))
    commit = hub.repositories["EleutherAI/pythia-14m"].branches["step512"]
    hub.faults.append(Fault("status", path=f"/tree/{commit}", status=500, count=None))
    hub.faults.append(Fault("status", path="/cdn/.*step3000/", status=503, count=None))
    found = diagnose(suite_of(hub), deep=True)
    assert odd(found) == {512: "suspect"}
    assert "could not be listed" in reasons(found, 512)
    assert "the embedding could not be read" in reasons(found, 3000) or "could not be fetched" in reasons(found, 3000)


@pytest.mark.usefixtures("waits")
def test_hub_that_stops_answering_ends_the_listing_after_three_steps(serve: Serve, suite_of: SuiteOf) -> None:
    hub = serve(repository_of(healthy()))
    suite = suite_of(hub)
    suite.steps()
    hub.faults.append(Fault("reset", path="/tree/", count=None))
    with pytest.raises(MachineError, match=r"The Hub stopped answering while EleutherAI/pythia-14m was listed"):
        diagnose(suite)
    assert len({r.label for r in hub.requests(contains="/tree/")}) == 3


def test_architecture_without_a_known_embedding_is_said_once_and_blames_no_step(examine: Examine) -> None:
    files = {s: {"model.safetensors": Blob(save({"odd": e}))} for s, e in history(SOME).items()}
    found = examine(files, deep=True)
    assert odd(found) == {}
    assert found.inside is not None
    assert len(found.inside.unread) == 3
    assert "no more steps were read after 3 failures" in found.inside.continuity.untested[-1]
    assert "no tensor is called embed_in.weight" in found.inside.continuity.untested[-1]


@pytest.mark.usefixtures("waits")
def test_passing_faults_of_range_reads_are_survived(serve: Serve, suite_of: SuiteOf) -> None:
    hub = serve(repository_of(healthy()))
    hub.faults.append(Fault("status", path="/cdn/.*step512/", status=503, count=2))
    hub.faults.append(Fault("reset", path="/cdn/.*step1000/", count=2))
    found = diagnose(suite_of(hub), deep=True)
    assert odd(found) == {}
    assert found.inside is not None
    assert not found.inside.unread


@pytest.mark.usefixtures("waits")
def test_range_reads_that_break_off_or_stall_are_asked_for_again(
    serve: Serve, suite_of: SuiteOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    hub = serve(repository_of(healthy()))
    hub.faults += [
        Fault("truncate", path="/cdn/.*step512/"),
        Fault("reset", path="/cdn/.*step1000/", at_byte=10),
        Fault("stall", path="/cdn/.*step2000/", seconds=60),
    ]
    found = diagnose(suite_of(hub), deep=True)
    assert [fault.fired for fault in hub.faults] == [1, 1, 1]
    assert odd(found) == {}
    assert found.inside is not None
    assert not found.inside.unread


@pytest.mark.usefixtures("waits")
def test_main_that_cannot_be_listed_ends_the_diagnosis(serve: Serve, suite_of: SuiteOf) -> None:
    run = history(SOME)
    hub = serve(repository_of(healthy(step512=safetensors(run[143000]))))
    main = hub.repositories["EleutherAI/pythia-14m"].branches["main"]
    hub.faults.append(Fault("status", path=f"/tree/{main}", status=500, count=None))
    with pytest.raises(MachineError, match=r"pythia-14m: main could not be listed: .*Type the same command again"):
        diagnose(suite_of(hub))


def test_server_without_ranges_is_not_read_whole(
    serve: Serve, suite_of: SuiteOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.hub import api

    monkeypatch.setattr(api, "_RANGE", api.re.compile("never"))
    found = diagnose(suite_of(serve(repository_of(healthy()))), deep=True)
    assert odd(found) == {}
    assert "the server does not send ranges (status 200)" in reasons(found, 512)


def test_hub_that_cannot_be_reached_is_read_from_the_cache(serve: Serve, suite_of: SuiteOf) -> None:
    hub = serve(repository_of(healthy()))
    for step in (0, 512, 1000):
        hf_hub_download("EleutherAI/pythia-14m", "model.safetensors", revision=f"step{step}", endpoint=hub.endpoint)
    found = diagnose(suite_of(None, "EleutherAI/pythia-14m"), deep=True)
    assert {s for s, v in verdicts(found).items() if v == "trust"} == {0, 512, 1000}
    assert "Only that was examined which is in the Hub cache (the Hub cannot be reached)" in found.notes
    assert found.inside is not None
    assert not found.inside.unread

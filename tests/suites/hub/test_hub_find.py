"""A repository on the Hub as a suite: what is listed, by how many requests, before any download."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from huggingface_hub import constants

from pythia_geometry.errors import EXIT_MACHINE, EXIT_USER, CheckpointError, MachineError, PythiaGeometryError
from pythia_geometry.suites.hub.patience import BREAKS, REFUSALS
from pythia_geometry.suites.hub.suite import HubSuite
from pythia_geometry.suites.pythia import STEPS, parse_name
from pythia_geometry.suites.steps.numbering import Naming
from tests.hub.checkpoints import pythia_config
from tests.hub.faults import Fault
from tests.hub.repository import Blob, Repository
from tests.hub.server import LocalHub
from tests.hub.suite import step_repository

NAME = "EleutherAI/pythia-14m"
Serve = Callable[..., LocalHub]
SuiteOf = Callable[..., HubSuite]


def repository_of(branches: Mapping[str, bytes], name: str = NAME) -> Repository:
    """Branches that serve the given bytes as weights."""
    repository = Repository(name)
    for branch, weights in branches.items():
        repository.commit(branch, {"model.safetensors": weights, "config.json": b"{}", "tokenizer.json": b"[]"})
    return repository


def steps_of(repository: str, steps: Sequence[int]) -> Repository:
    """One branch a step, all different, and `main` that serves the last."""
    branches = {f"step{step}": b"weights of step %d" % step for step in steps}
    return repository_of({**branches, "main": branches[f"step{steps[-1]}"]}, repository)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_find_lists_branches_once_and_each_commit_once_and_downloads_nothing(
    serve: Serve, suite_of: SuiteOf, tmp_path: Path
) -> None:
    repository = step_repository(tmp_path / "files", pythia_config("tiny"), [0, 1, 512, 143000])
    hub = serve(repository)
    suite = suite_of(hub)
    assert not hub.requests()
    assert suite.steps() == list(STEPS)
    found = suite.find([0, 1, 512])
    assert [(request.method, request.label) for request in hub.requests(contains="/tree/")] == [
        ("GET", f"step{step}") if step is not None else ("GET", "main") for step in (0, 1, 512, None)
    ]
    assert all(
        request.path.split("/tree/")[1][:40] in repository.commits for request in hub.requests(contains="/tree/")
    )
    suite.steps()
    assert len(hub.requests(contains="/refs")) == 1
    assert hub.downloaded_files() == []
    weights = (tmp_path / "files" / "step512" / "model.safetensors").read_bytes()
    first, second, third = found
    assert [c.status for c in found] == ["ok", "ok", "ok"]
    assert first.weight_sha256 == second.weight_sha256 != third.weight_sha256 == sha256(weights)
    assert (third.size, third.commit) == (len(weights), repository.branches["step512"])
    assert (third.label, third.revision, third.source) == ("pythia-14m@step512", "step512", NAME)
    assert (third.suite, third.model, third.seed, third.tokens) == ("pythia", "pythia-14m", 0, 512 * 2_097_152)
    assert suite.bytes_to_download(third) == len(weights)


def test_shards_are_listed_with_their_index_over_several_pages(serve: Serve, suite_of: SuiteOf) -> None:
    shards = {f"pytorch_model-{i:05d}-of-00012.bin": b"%d" % i for i in range(1, 13)}
    repository = Repository(NAME)
    repository.commit("step512", {**shards, "pytorch_model.bin.index.json": b"{}", "sub/model.safetensors": b"no"})
    hub = serve(repository, page_size=3)
    (found,) = suite_of(hub).find([512])
    assert [(file.name, file.sha256) for file in found.files] == [(n, sha256(c)) for n, c in shards.items()]
    assert found.extra_files == ("pytorch_model.bin.index.json",)
    assert len(hub.requests(contains="/tree/")) == 5  # 14 entries; there is no main


def test_absent_branch_is_a_missing_row_and_costs_no_request(serve: Serve, suite_of: SuiteOf) -> None:
    hub = serve(steps_of(NAME, [0, 143000]))
    gap, last = suite_of(hub).find([1000, 143000])
    assert (gap.status, gap.detail) == ("missing", f"{NAME} has no branch step1000")
    assert (gap.commit, gap.files, gap.label) == (None, (), "pythia-14m@step1000")
    assert last.status == "ok"
    assert {request.label for request in hub.requests(contains="/tree/")} == {"step143000", "main"}


def test_branch_without_weights_or_without_a_shard_is_a_missing_row(serve: Serve, suite_of: SuiteOf) -> None:
    repository = steps_of(NAME, [0, 143000])
    repository.commit("step1", {"config.json": b"{}"})
    shards = {f"model-0000{i}-of-00003.safetensors": b"x" for i in (1, 3)}
    repository.commit("step2", {**shards, "model.safetensors.index.json": b"{}"})
    found = suite_of(serve(repository)).find([0, 1, 2])
    assert [c.status for c in found] == ["ok", "missing", "missing"]
    assert found[1].detail.startswith(f"{NAME} at step1 has no weights. Expected model.safetensors")
    assert found[2].detail == f"{NAME} at step2 lists 2 shards, fewer than its index"


def test_repository_that_does_not_exist_is_a_clear_error(serve: Serve, suite_of: SuiteOf) -> None:
    with pytest.raises(
        PythiaGeometryError, match=r"The Hub has no repository 'allenai/nothing' \(or it is private\)"
    ) as caught:
        suite_of(serve(), "allenai/nothing").steps()
    assert caught.value.exit_code == EXIT_USER


def test_gated_repository_says_how_to_log_in(serve: Serve, suite_of: SuiteOf) -> None:
    hub = serve(steps_of("meta/gated", [0]))
    hub.faults.append(Fault("status", path="/refs", status=403, headers={"X-Error-Code": "GatedRepo"}))
    with pytest.raises(PythiaGeometryError, match=r"meta/gated is gated\. .* type: hf auth login"):
        suite_of(hub, "meta/gated").steps()


def test_repository_without_steps_says_what_it_has(serve: Serve, suite_of: SuiteOf) -> None:
    hub = serve(repository_of({"main": b"a", "v2": b"b"}, "org/plain"))
    with pytest.raises(PythiaGeometryError, match=r"org/plain has no branch that names a step.*it has main, v2"):
        suite_of(hub, "org/plain").steps()


def test_tags_are_revisions_as_branches_are(serve: Serve, suite_of: SuiteOf) -> None:
    repository = repository_of({"global_step0": b"a", "global_step1000": b"b", "main": b"b"}, "bigscience/bloom-x")
    repository.tag("global_step0", "global_step1000")
    suite = suite_of(serve(repository), "bigscience/bloom-x")
    assert suite.steps() == [0, 1000]
    first, last = suite.find([0, 1000])
    assert (first.revision, first.commit, first.status) == ("global_step0", repository.tags["global_step0"], "ok")
    assert (last.label, last.status) == ("bloom-x@global_step1000", "ok")
    (gap,) = suite.find([7])
    assert (gap.status, gap.detail) == ("missing", "bigscience/bloom-x has no branch global_step7")


def test_two_branches_of_one_step_are_refused(serve: Serve, suite_of: SuiteOf) -> None:
    hub = serve(repository_of({"step8": b"a", "step_8": b"b", "main": b"b"}, "org/run"))
    with pytest.raises(PythiaGeometryError, match="org/run: step8 and step_8 both name step 8"):
        suite_of(hub, "org/run").steps()


def test_a_stage_and_a_seed_are_runs_of_their_own(serve: Serve) -> None:
    names = ["stage1-step5", "stage2-step5", "stage1-step5-seed-1"]
    hub = serve(repository_of({"main": b"m", **{name: name.encode() for name in names}}, "org/run"))
    plain, late, other = (
        HubSuite("org/run", None, hub.endpoint, Naming(stage), seed)
        for stage, seed in (("", None), ("stage2", 0), ("", 1))
    )
    assert [s.find(s.steps())[0].label for s in (plain, late, other)] == [
        "run@step5",
        "run-stage2@step5",
        "run-seed1@step5",
    ]
    assert [s.find([5])[0].revision for s in (plain, late, other)] == [
        "stage1-step5",
        "stage2-step5",
        "stage1-step5-seed-1",
    ]
    assert "stages left out: stage2 (1 step); walk one with --stage stage2" in plain.notes
    assert plain.address == "org/run"
    assert late.address == "org/run --stage stage2"


def test_steps_of_any_repository_are_sorted_as_numbers(serve: Serve, suite_of: SuiteOf) -> None:
    suite = suite_of(serve(steps_of("org/run", [90000, 143000, 8000, 0])), "org/run")
    assert suite.steps() == [0, 8000, 90000, 143000]
    assert [c.tokens for c in suite.find([0, 90000])] == [None, None]


def test_v0_labels_of_a_double_batch_run_are_turned_into_true_steps(serve: Serve, suite_of: SuiteOf) -> None:
    name = "EleutherAI/pythia-160m-v0"
    suite = suite_of(serve(steps_of(name, [1000, 2000, 143000])), name)
    assert suite.steps() == list(range(500, 72000, 500))
    half, whole, gap, last = suite.find([500, 1000, 1500, 71500])
    assert [c.revision for c in (half, whole, gap, last)] == ["step1000", "step2000", "step3000", "step143000"]
    assert [c.tokens for c in (half, whole, last)] == [1000 * 2_097_152, 2000 * 2_097_152, 143000 * 2_097_152]
    assert [c.step for c in (half, whole, gap, last)] == [500, 1000, 1500, 71500]
    assert (gap.status, gap.detail) == ("missing", f"{name} has no branch step3000")
    assert (half.label, last.status) == ("pythia-160m-v0@step500", "ok")


def test_branches_of_olmo_are_steps_of_the_first_stage(serve: Serve, suite_of: SuiteOf) -> None:
    branches = [
        "stage1-step90000-tokens378B",
        "stage1-step101000-tokens424B",
        "stage1-step1000-tokens5B",
        "stage2-ingredient1-step1000-tokens3B",
    ]
    hub = serve(repository_of({"main": b"m", **{name: name.encode() for name in branches}}, "allenai/OLMo"))
    suite = suite_of(hub, "allenai/OLMo")
    assert suite.steps() == [1000, 90000, 101000]
    first, second, _ = suite.find([1000, 90000, 101000])
    assert (first.revision, first.tokens) == ("stage1-step1000-tokens5B", 5 * 10**9)
    assert (second.revision, second.tokens) == ("stage1-step90000-tokens378B", 378 * 10**9)
    assert first.weight_sha256 == sha256(b"stage1-step1000-tokens5B")


@pytest.mark.parametrize("last", [b"m", b"second file"])
def test_one_chosen_step_that_serves_main_is_a_duplicate(serve: Serve, suite_of: SuiteOf, last: bytes) -> None:
    (found,) = suite_of(serve(repository_of({"step4": b"m", "step143000": last, "main": b"m"}))).find([4])
    assert found.status == "duplicate"
    assert found.detail.startswith(f"pythia-14m@step4 holds the same weights as main (sha256 {sha256(b'm')[:8]}…)")


def test_last_step_may_equal_main(serve: Serve, suite_of: SuiteOf) -> None:
    found = suite_of(serve(repository_of({"step4": b"a", "step143000": b"m", "main": b"m"}))).find([4, 143000])
    assert [c.status for c in found] == ["ok", "ok"]


def test_arrangement_of_issue_205_costs_one_request_a_step(serve: Serve, suite_of: SuiteOf) -> None:
    name = "EleutherAI/pythia-2.8b"
    run = parse_name(name)
    assert run is not None
    as_main, second = (set(fault.steps) for fault in run.faults)
    shared = {"main": Blob(b"m"), "second": Blob(b"s")}
    repository = Repository(name)
    repository.commit("main", {"model.safetensors": shared["main"]})
    for step in STEPS:
        kind = "main" if step in as_main else "second" if step in second else ""
        repository.commit(f"step{step}", {"model.safetensors": shared.get(kind, Blob(b"%d" % step))})
    hub = serve(repository)
    found = {c.step: c for c in suite_of(hub, name).find(STEPS)}
    assert len(found) == len(STEPS)
    assert {step for step, c in found.items() if "as main (" in c.detail} == as_main
    assert {step for step, c in found.items() if "as step143000 (" in c.detail} == second - {143000}
    assert found[143000].status == "suspect"
    assert found[143000].detail.startswith("pythia-2.8b@step143000 shares its weights (sha256 ")
    assert sum(c.status == "ok" for c in found.values()) == 68
    advice = " See pythia-geom doctor pythia-2.8b, or pass --duplicates keep."
    assert all(c.detail.endswith(advice) for c in found.values() if c.status != "ok")
    assert (len(hub.requests(contains="/refs")), len(hub.requests(contains="/tree/"))) == (1, 155)
    assert hub.downloaded_files() == []


@pytest.mark.parametrize("status", [429, 503])
def test_burst_of_refusals_while_listing_branches_is_waited_out(
    serve: Serve, suite_of: SuiteOf, waits: list[float], status: int
) -> None:
    hub = serve(steps_of("org/run", [0, 5]))
    hub.faults.append(Fault("status", path="/refs", status=status, count=3))
    assert suite_of(hub, "org/run").steps() == [0, 5]
    assert waits == [1.0, 2.0, 4.0]
    assert [request.status for request in hub.requests(contains="/refs")] == [status, status, status, 200]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "299"}, 299.0),
        ({"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}, 55.0),
        ({"RateLimit": '"api";r=3;t=55'}, 1.0),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "60"}, 60.0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, 1.0),
        ({"Retry-After": "soon"}, 1.0),
        ({"Retry-After": "0"}, 1.0),
    ],
)
def test_the_hub_is_asked_again_only_after_the_time_it_names(
    serve: Serve, suite_of: SuiteOf, waits: list[float], headers: dict[str, str], expected: float
) -> None:
    hub = serve(steps_of("org/run", [0, 5]))
    hub.faults.append(Fault("status", path="/refs", status=429, headers=headers))
    assert suite_of(hub, "org/run").steps() == [0, 5]
    assert waits == [expected]


def test_a_date_to_come_is_waited_for(serve: Serve, suite_of: SuiteOf, waits: list[float]) -> None:
    hub = serve(steps_of("org/run", [0, 5]))
    in_two_minutes = format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)
    hub.faults.append(Fault("status", path="/refs", status=503, headers={"Retry-After": in_two_minutes}))
    assert suite_of(hub, "org/run").steps() == [0, 5]
    (waited,) = waits
    assert 60 < waited <= 120


def test_a_day_is_not_waited_and_the_hub_not_asked_again(serve: Serve, suite_of: SuiteOf, waits: list[float]) -> None:
    hub = serve(steps_of("org/run", [0, 5]))
    hub.faults.append(Fault("status", path="/refs", status=429, headers={"Retry-After": "86400"}))
    with pytest.raises(MachineError, match="The Hub did not list org/run: .*429"):
        suite_of(hub, "org/run").steps()
    assert waits == []
    assert len(hub.requests()) == 1


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("path", ["/refs", "/tree/"])
def test_silent_hub_is_given_up_after_the_time_out(
    serve: Serve, suite_of: SuiteOf, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
    hub = serve(steps_of("org/run", [0, 5]))
    hub.faults.append(Fault("stall", path=path, seconds=60, count=BREAKS - 1))
    assert [c.status for c in suite_of(hub, "org/run").find([0, 5])] == ["ok", "ok"]
    assert len(hub.requests(contains=path)) == BREAKS - 1 + (1 if path == "/refs" else 3)


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("at_byte", [0, 30, None])
def test_garbled_listing_is_asked_for_again(serve: Serve, suite_of: SuiteOf, at_byte: int | None) -> None:
    hub = serve(steps_of("org/run", [0, 5]))
    hub.faults += [Fault("corrupt", path=path, at_byte=at_byte) for path in ("/refs", "/tree/")]
    assert [c.status for c in suite_of(hub, "org/run").find([0, 5])] == ["ok", "ok"]


def test_reset_connections_while_listing_are_survived(serve: Serve, suite_of: SuiteOf, waits: list[float]) -> None:
    hub = serve(steps_of("org/run", [0, 5]))
    hub.faults += [Fault("reset", path="/refs", count=2), Fault("reset", path="/tree/", count=1)]
    found = suite_of(hub, "org/run").find([0, 5])
    assert [c.status for c in found] == ["ok", "ok"]
    assert len(waits) >= 2


def test_burst_of_refusals_while_listing_files_is_survived(serve: Serve, suite_of: SuiteOf, waits: list[float]) -> None:
    hub = serve(steps_of("org/run", [0, 5]))
    hub.faults += [Fault("status", path="/tree/", status=status, count=4) for status in (503, 429)]
    assert [c.status for c in suite_of(hub, "org/run").find([0, 5])] == ["ok", "ok"]
    assert {request.fault for request in hub.requests(contains="/tree/")} == {"status", None}


@pytest.mark.usefixtures("waits")
def test_branch_that_cannot_be_listed_is_a_failed_row_beside_good_ones(serve: Serve, suite_of: SuiteOf) -> None:
    repository = steps_of("org/run", [0, 5, 9])
    hub = serve(repository)
    hub.faults.append(Fault("status", path=f"/tree/{repository.branches['step5']}", status=500, count=None))
    found = suite_of(hub, "org/run").find([0, 5, 9])
    assert [c.status for c in found] == ["ok", "failed", "ok"]
    assert found[1].detail.startswith("could not be listed: ")


def test_hub_that_only_refuses_is_the_machines_fault(serve: Serve, suite_of: SuiteOf, waits: list[float]) -> None:
    hub = serve(steps_of(NAME, [0, 5]))
    hub.faults.append(Fault("status", path="/refs", status=503, count=None))
    with pytest.raises(MachineError, match=f"(?s)The Hub did not list {NAME}: .*503.* Try again later") as caught:
        suite_of(hub).steps()
    assert caught.value.exit_code == EXIT_MACHINE
    assert (len(waits), len(hub.requests(contains="/refs"))) == (REFUSALS - 1, REFUSALS)
    assert sum(waits) < 60


def test_config_and_tokenizer_come_once_and_from_main(serve: Serve, suite_of: SuiteOf, hub_cache: Path) -> None:
    hub = serve(steps_of(NAME, [0, 1, 143000]))
    suite = suite_of(hub)
    for _ in range(2):
        assert suite.config_file().read_bytes() == b"{}"
        assert suite.tokenizer_file().name == "tokenizer.json"
    assert suite_of(hub).config_file() == suite.config_file()
    assert hub_cache in suite.config_file().parents
    assert hub.downloaded_files() == ["main/config.json", "main/tokenizer.json"]


def test_config_comes_from_the_last_step_where_there_is_no_main(serve: Serve, suite_of: SuiteOf) -> None:
    hub = serve(repository_of({"step143000": b"b", "step90000": b"a"}, "org/run"))
    suite_of(hub, "org/run").config_file()
    assert hub.downloaded_files() == ["step143000/config.json"]


def configs_of(configs: Mapping[str, bytes | None], lfs: tuple[str, ...] = ("*.safetensors",)) -> Repository:
    """Branches with a config each, or none."""
    repository = Repository("org/run")
    for branch, config in configs.items():
        files = {"model.safetensors": branch.encode(), **({} if config is None else {"config.json": config})}
        repository.commit(branch, {**files, "tokenizer.json": b"[]"} if branch != "main" else files, lfs)
    return repository


def test_config_of_a_step_costs_nothing_where_the_listing_shows_that_it_is_the_suites(
    serve: Serve, suite_of: SuiteOf
) -> None:
    hub = serve(configs_of({"step0": b"{1}", "step5": b"{}", "step6": None, "step9": b"{1}", "main": b"{}"}))
    suite = suite_of(hub, "org/run")
    found = suite.find([0, 5, 6, 9])
    hub.clear_log()
    paths = [suite.config_file(), *(suite.config_file(c) for c in found)]
    assert [p.read_bytes() for p in paths] == [b"{}", b"{1}", b"{}", b"{}", b"{1}"]
    assert [(r.method, r.label) for r in hub.requests()] == [
        ("HEAD", "main/config.json"), ("GET", "main/config.json"),
        ("HEAD", "step0/config.json"), ("GET", "step0/config.json"),
    ]  # fmt: skip
    hub.clear_log()
    assert [suite.config_file(c) for c in found] == paths[1:]
    assert hub.requests() == []


def test_config_that_is_kept_as_a_large_file_is_compared_too(serve: Serve, suite_of: SuiteOf) -> None:
    hub = serve(configs_of({"step0": b"{}", "step5": b"{1}", "main": b"{}"}, lfs=("*",)))
    suite = suite_of(hub, "org/run")
    assert [suite.config_file(c).read_bytes() for c in suite.find([0, 5])] == [b"{}", b"{1}"]
    assert sorted(hub.downloaded_files()) == ["main/config.json", "step5/config.json"]


def test_config_and_tokenizer_are_found_where_main_has_a_readme_alone(serve: Serve, suite_of: SuiteOf) -> None:
    repository = configs_of({"step0": b"{0}", "step5": b"{5}", "step9": None})
    repository.commit("main", {"README.md": b"look at the branches"})
    hub = serve(repository)
    suite = suite_of(hub, "org/run")
    found = suite.find([0, 5, 9])
    hub.clear_log()
    assert suite.config_file().read_bytes() == b"{5}"
    assert suite.tokenizer_file().read_bytes() == b"[]"
    assert [suite.config_file(c).read_bytes() for c in found] == [b"{0}", b"{5}", b"{5}"]
    assert hub.downloaded_files() == ["step5/config.json", "step9/tokenizer.json", "step0/config.json"]


def test_only_a_few_steps_are_listed_in_search_of_a_config(serve: Serve, suite_of: SuiteOf) -> None:
    hub = serve(configs_of({**{f"step{s}": None for s in range(50)}, "main": None}))
    with pytest.raises(
        PythiaGeometryError, match=r"org/run: config.json is not on the Hub: neither main nor the newest"
    ):
        suite_of(hub, "org/run").config_file()
    assert len(hub.requests(contains="/tree/")) <= 4


def test_config_of_a_step_that_cannot_be_had_is_that_steps_failure(
    serve: Serve, suite_of: SuiteOf, waits: list[float]
) -> None:
    hub = serve(configs_of({"step0": b"{0}", "main": b"{}"}))
    suite = suite_of(hub, "org/run")
    (found,) = suite.find([0])
    hub.faults.append(Fault("status", path="step0/config.json", status=503, count=None))
    with pytest.raises(CheckpointError, match=r"run@step0: org/run: config.json") as caught:
        suite.config_file(found)
    assert caught.value.status == "failed"


@pytest.mark.parametrize("what", ["/resolve/", "/tree/"])
def test_gated_files_say_how_to_get_in(serve: Serve, suite_of: SuiteOf, what: str) -> None:
    hub = serve(configs_of({"step0": b"{}", "main": b"{}"}))
    hub.faults.append(Fault("status", path=what, status=403, headers={"X-Error-Code": "GatedRepo"}, count=None))
    suite = suite_of(hub, "org/run")
    with pytest.raises(PythiaGeometryError, match=r"org/run is gated\. .* type: hf auth login") as caught:
        suite.find([0])
        suite.config_file()
    assert caught.value.exit_code == EXIT_USER


def test_hub_cache_that_cannot_be_written_is_said(
    serve: Serve, suite_of: SuiteOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(MachineError, match=r"The Hub cache .* cannot be written: .*HF_HOME"):
        suite_of(serve(steps_of(NAME, [0]))).config_file()


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_wrong_byte_in_a_small_file_is_fetched_again(serve: Serve, suite_of: SuiteOf, name: str) -> None:
    hub = serve(steps_of(NAME, [0, 143000]))
    hub.faults.append(Fault("corrupt", path=f"main/{name}", method="GET", at_byte=0))
    suite = suite_of(hub)
    assert [suite.config_file().read_bytes(), suite.tokenizer_file().read_bytes()] == [b"{}", b"[]"]
    assert sorted(hub.downloaded_files()) == sorted(["main/config.json", "main/tokenizer.json", f"main/{name}"])


@pytest.mark.usefixtures("waits")
def test_small_file_that_stays_wrong_is_named(serve: Serve, suite_of: SuiteOf) -> None:
    hub = serve(steps_of(NAME, [0, 143000]))
    hub.faults.append(Fault("corrupt", path="main/config.json", method="GET", at_byte=0, count=None))
    with pytest.raises(MachineError, match=f"{NAME}: config.json arrived with wrong bytes twice"):
        suite_of(hub).config_file()


def test_damaged_small_file_of_the_user_is_named_and_stays(serve: Serve, suite_of: SuiteOf, hub_cache: Path) -> None:
    hub = serve(steps_of(NAME, [0, 143000]))
    path = suite_of(hub).config_file()
    path.resolve().write_bytes(b"[")
    with pytest.raises(MachineError, match="in your Hub cache is damaged. Delete it, and type the same command again"):
        suite_of(hub).config_file()
    assert path.read_bytes() == b"["


def test_missing_tokenizer_is_named(serve: Serve, suite_of: SuiteOf) -> None:
    repository = Repository(NAME)
    for branch in ("step0", "main"):
        repository.commit(
            branch, {"model.safetensors": b"x", "config.json": b"{}", "vocab.json": b"{}", "merges.txt": b""}
        )
    message = f"{NAME}: tokenizer.json is not on the Hub.*it has vocab.json and merges.txt.*save_pretrained"
    with pytest.raises(PythiaGeometryError, match=message):
        suite_of(serve(repository)).tokenizer_file()


def test_the_suite_asks_only_the_endpoint_it_was_given(serve: Serve, suite_of: SuiteOf, tmp_path: Path) -> None:
    hub = serve(steps_of(NAME, [0, 143000]))
    assert constants.ENDPOINT == "http://127.0.0.1:9"
    suite = suite_of(hub)
    (found,) = suite.find([0])
    folder = suite.fetch(found, tmp_path / "scratch")
    assert (folder / "model.safetensors").read_bytes() == b"weights of step 0"

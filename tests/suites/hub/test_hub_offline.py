"""No network: what the Hub cache holds can still be walked; nothing cached is the machine's fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download

from pythia_geometry.errors import EXIT_MACHINE, CheckpointError, MachineError
from pythia_geometry.suites.hub.patience import patiently
from pythia_geometry.suites.hub.suite import HubSuite
from tests.hub.checkpoints import pythia_config
from tests.hub.repository import Repository
from tests.hub.server import LocalHub
from tests.hub.suite import step_repository

NAME = "EleutherAI/pythia-14m"
WEIGHTS = "model.safetensors"
SuiteOf = Callable[..., HubSuite]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return step_repository(tmp_path / "files", pythia_config("tiny"), [0, 1, 512, 143000])


def fill_cache(repository: Repository, *files: str) -> None:
    """Fetches `branch/file` into the ordinary cache, while there is a Hub."""
    with LocalHub([repository]) as hub:
        for branch, name in (file.split("/") for file in files):
            hf_hub_download(NAME, name, revision=branch, endpoint=hub.endpoint)


def test_nothing_cached_is_the_machines_fault_after_four_attempts(
    suite_of: SuiteOf, waits: list[float], hub_cache: Path
) -> None:
    with pytest.raises(
        MachineError, match=f"The Hub cannot be reached and no branch of {NAME} is in the Hub"
    ) as caught:
        suite_of(None).steps()
    assert caught.value.exit_code == EXIT_MACHINE
    assert waits == [1.0, 2.0, 4.0]
    assert not list(hub_cache.glob("models--*"))


@pytest.mark.usefixtures("waits")
def test_another_repository_in_the_cache_does_not_help(suite_of: SuiteOf, repository: Repository) -> None:
    fill_cache(repository, f"step512/{WEIGHTS}")
    with pytest.raises(MachineError, match="no branch of EleutherAI/pythia-31m is in the Hub cache"):
        suite_of(None, "EleutherAI/pythia-31m").find([512])


@pytest.mark.usefixtures("waits")
def test_cached_steps_are_walked(suite_of: SuiteOf, repository: Repository, tmp_path: Path, hub_cache: Path) -> None:
    fill_cache(repository, f"step512/{WEIGHTS}", f"step143000/{WEIGHTS}", "step143000/config.json")
    before = sorted(hub_cache.rglob("*"))
    suite = suite_of(None)
    gap, early, last = suite.find([1, 512, 143000])
    assert [c.status for c in (gap, early, last)] == ["missing", "ok", "ok"]
    assert (early.commit, early.revision) == (repository.branches["step512"], "step512")
    file = repository.commits[repository.branches["step512"]].files[WEIGHTS].blob
    assert (early.weight_sha256, early.size) == (file.sha256, file.size)
    assert suite.bytes_to_download(early) == 0
    folder = suite.fetch(early, tmp_path / "scratch")
    assert (folder / WEIGHTS).read_bytes() == b"".join(file.chunks())
    assert suite.config_file().parent.name == repository.branches["step143000"]
    with pytest.raises(MachineError, match=f"{NAME}: tokenizer.json is not in the Hub cache"):
        suite.tokenizer_file()
    assert sorted(hub_cache.rglob("*")) == before


def test_offline_mode_reads_the_cache_and_asks_nobody(
    suite_of: SuiteOf, repository: Repository, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_cache(repository, f"step512/{WEIGHTS}", "main/config.json")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    suite = suite_of(None)
    assert [c.status for c in suite.find([0, 512])] == ["missing", "ok"]
    assert suite.config_file().is_file()
    assert waits == []


@pytest.mark.usefixtures("waits")
def test_cached_steps_of_other_repositories_are_those_that_are_there(suite_of: SuiteOf, tmp_path: Path) -> None:
    other = Repository("org/run")
    for branch in ("step90000", "step143000", "main"):
        other.commit(branch, {WEIGHTS: branch.encode()})
    with LocalHub([other]) as hub:
        for branch in ("step143000", "step90000"):
            hf_hub_download("org/run", WEIGHTS, revision=branch, endpoint=hub.endpoint)
    assert suite_of(None, "org/run").steps() == [90000, 143000]


@pytest.mark.usefixtures("waits")
def test_cached_branch_without_weights_is_a_missing_row(suite_of: SuiteOf, repository: Repository) -> None:
    fill_cache(repository, "step512/config.json", f"step143000/{WEIGHTS}")
    gap, last = suite_of(None).find([512, 143000])
    assert (gap.status, last.status) == ("missing", "ok")
    assert "has no weights" in gap.detail


@pytest.mark.usefixtures("waits")
def test_damaged_cached_file_is_corrupt(suite_of: SuiteOf, repository: Repository, tmp_path: Path) -> None:
    fill_cache(repository, f"step512/{WEIGHTS}")
    suite = suite_of(None)
    (found,) = suite.find([512])
    for blob in Path(constants.HF_HUB_CACHE).glob("models--*/blobs/*"):
        blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    with pytest.raises(CheckpointError) as caught:
        suite.fetch(found, tmp_path / "scratch")
    assert caught.value.status == "corrupt"


def test_errors_that_do_not_pass_are_raised_at_once(waits: list[float]) -> None:
    def broken() -> None:
        raise ValueError("no network error")

    with pytest.raises(ValueError, match="no network error"):
        patiently(broken)
    assert waits == []

"""Fetching one checkpoint: one format, checked bytes, nothing left behind, and the user's cache untouched."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download

from pythia_geometry.errors import CheckpointError, MachineError
from pythia_geometry.suites.checkpoint import Checkpoint
from pythia_geometry.suites.hub import files as hub_files
from pythia_geometry.suites.hub.patience import REFUSALS
from pythia_geometry.suites.hub.suite import HubSuite
from tests.hub.checkpoints import pythia_config, write_checkpoint
from tests.hub.faults import Fault
from tests.hub.repository import Repository
from tests.hub.server import LocalHub

NAME = "EleutherAI/pythia-14m"
WEIGHTS = "model.safetensors"
Serve = Callable[..., LocalHub]
SuiteOf = Callable[..., HubSuite]
CONFIG = pythia_config("tiny")
SHARDS = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def commit(repository: Repository, branch: str, folder: Path, formats: tuple[str, ...], shards: int = 1) -> None:
    write_checkpoint(folder / branch, CONFIG, seed=len(repository.commits), formats=formats, shards=shards)
    repository.commit(branch, {path.name: path for path in (folder / branch).iterdir()})


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Steps 0, 1 and 2, all different, in safetensors and in pickles; and main."""
    repository = Repository(NAME)
    for branch in ("step0", "step1", "step2", "main"):
        commit(repository, branch, tmp_path / "files", ("safetensors", "bin"))
    return repository


def weights(tmp_path: Path, branch: str, name: str = WEIGHTS) -> bytes:
    return (tmp_path / "files" / branch / name).read_bytes()


@contextmanager
def fetched(suite: HubSuite, checkpoint: Checkpoint, scratch: Path) -> Iterator[Path]:
    """As the walk does it: one folder a checkpoint."""
    yield suite.fetch(checkpoint, scratch / checkpoint.label)


def one(suite: HubSuite, step: int) -> Checkpoint:
    (found,) = suite.find([step])
    assert found.status == "ok"
    return found


def test_one_format_is_fetched_and_nothing_else(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path, hub_cache: Path
) -> None:
    hub, scratch = serve(repository), tmp_path / "scratch"
    suite = suite_of(hub)
    with fetched(suite, one(suite, 1), scratch) as folder:
        assert folder.parent == scratch
        assert [path.name for path in folder.iterdir() if path.is_file()] == [WEIGHTS]
        assert (folder / WEIGHTS).read_bytes() == weights(tmp_path, "step1")
    assert files_of(scratch) == {f"pythia-14m@step1/{WEIGHTS}": weights(tmp_path, "step1")}
    assert hub.downloaded_files() == [f"step1/{WEIGHTS}"]
    assert hub.bytes_sent < 1.2 * len(weights(tmp_path, "step1"))
    assert files_of(hub_cache) == {}


@pytest.mark.parametrize(
    ("form", "shards", "expected"),
    [
        ("bin", 1, ["pytorch_model.bin"]),
        ("safetensors", 2, ["model.safetensors.index.json", *SHARDS]),
        ("bin", 2, ["pytorch_model.bin.index.json", *(f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2))]),
    ],
)
def test_pickles_and_shards_are_fetched_whole(
    serve: Serve, suite_of: SuiteOf, tmp_path: Path, form: str, shards: int, expected: list[str]
) -> None:
    repository = Repository(NAME)
    commit(repository, "step1", tmp_path / "files", (form,), shards)
    hub = serve(repository)
    suite = suite_of(hub)
    with fetched(suite, one(suite, 1), tmp_path / "scratch") as folder:
        assert sorted(path.name for path in folder.iterdir() if path.is_file()) == sorted(expected)
        for name in expected:
            assert (folder / name).read_bytes() == weights(tmp_path, "step1", name)
    assert sorted(hub.downloaded_files()) == sorted(f"step1/{name}" for name in expected)


def test_wrong_byte_is_fetched_again(serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path) -> None:
    hub = serve(repository)
    hub.faults.append(Fault("corrupt", path="/cdn/.*step1/", method="GET"))
    suite = suite_of(hub)
    with fetched(suite, one(suite, 1), tmp_path / "scratch") as folder:
        assert (folder / WEIGHTS).read_bytes() == weights(tmp_path, "step1")
    assert hub.downloaded_files() == [f"step1/{WEIGHTS}"] * 2


def test_byte_that_stays_wrong_is_a_corrupt_checkpoint(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path
) -> None:
    hub = serve(repository)
    hub.faults.append(Fault("corrupt", path="/cdn/.*step1/", method="GET", count=None))
    suite = suite_of(hub)
    checkpoint = one(suite, 1)
    with (
        pytest.raises(CheckpointError, match=r"pythia-14m@step1: model.safetensors has sha256 [0-9a-f]{8}…") as caught,
        fetched(suite, checkpoint, tmp_path / "scratch"),
    ):
        pytest.fail("wrong weights were handed out")
    assert caught.value.status == "corrupt"
    assert f"the Hub lists {checkpoint.weight_sha256[:8]}…" in str(caught.value)
    assert hub.downloaded_files() == [f"step1/{WEIGHTS}"] * 2
    assert not list((tmp_path / "scratch").iterdir())


def test_wrong_byte_in_one_shard_is_seen(serve: Serve, suite_of: SuiteOf, tmp_path: Path) -> None:
    repository = Repository(NAME)
    commit(repository, "step1", tmp_path / "files", ("bin",), 3)
    hub = serve(repository)
    hub.faults.append(Fault("corrupt", path="00002-of-00003", method="GET", count=None))
    suite = suite_of(hub)
    with (
        pytest.raises(CheckpointError, match=r"pytorch_model-00002-of-00003\.bin has sha256"),
        fetched(suite, one(suite, 1), tmp_path / "scratch"),
    ):
        pass


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", path="/cdn/", status=503, count=2),
        Fault("status", path="/cdn/", status=429, count=2),
        Fault("reset", path="/cdn/", count=2),
        Fault("reset", path="/cdn/", at_byte=5000, count=2),
        Fault("reset", path="/resolve/", method="GET", count=2),
        Fault("status", path="/resolve/", method="GET", status=503, count=3),
        Fault("truncate", path="/cdn/", at_byte=5000, count=2),
    ],
    ids=lambda fault: f"{fault.action}{fault.status}{fault.method or ''}{fault.at_byte or ''}",
)
def test_passing_fault_is_survived(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path, waits: list[float], fault: Fault
) -> None:
    hub = serve(repository)
    suite = suite_of(hub)
    checkpoint = one(suite, 1)
    fault.matched = fault.fired = 0
    hub.faults.append(fault)
    with fetched(suite, checkpoint, tmp_path / "scratch") as folder:
        assert (folder / WEIGHTS).read_bytes() == weights(tmp_path, "step1")
    assert fault.fired == fault.count
    assert len(waits) <= 3


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("fault", [Fault("status", path="/cdn/", count=None), Fault("reset", path="/cdn/", count=None)])
def test_file_that_never_comes_is_a_failed_checkpoint(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path, fault: Fault
) -> None:
    hub = serve(repository)
    suite = suite_of(hub)
    checkpoint = one(suite, 1)
    hub.faults.append(fault)
    with (
        pytest.raises(CheckpointError, match=r"pythia-14m@step1: model.safetensors could not be fetched") as caught,
        fetched(suite, checkpoint, tmp_path / "scratch"),
    ):
        pass
    assert caught.value.status == "failed"
    assert len(hub.requests(contains="/cdn/")) <= REFUSALS


@pytest.mark.usefixtures("waits")
def test_hub_that_goes_away_after_listing_is_a_failed_checkpoint(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path
) -> None:
    hub = serve(repository)
    suite = suite_of(hub)
    checkpoint = one(suite, 1)
    hub.faults.append(Fault("reset", count=None))
    with (
        pytest.raises(CheckpointError, match=r"pythia-14m@step1: model\.safetensors") as caught,
        fetched(suite, checkpoint, tmp_path / "scratch"),
    ):
        pass
    assert caught.value.status == "failed"


def test_branch_that_moves_after_listing_is_fetched_as_it_was(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path
) -> None:
    suite = suite_of(serve(repository))
    checkpoint = one(suite, 1)
    repository.commit("step1", {WEIGHTS: b"something else"})
    del repository.branches["step0"]
    with fetched(suite, checkpoint, tmp_path / "scratch") as folder:
        assert (folder / WEIGHTS).read_bytes() == weights(tmp_path, "step1")


def test_file_that_is_gone_from_its_commit_is_missing(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path
) -> None:
    hub = serve(repository)
    suite = suite_of(hub)
    checkpoint = one(suite, 1)
    gone = {"X-Error-Code": "EntryNotFound"}
    hub.faults.append(Fault("status", path="/resolve/", status=404, headers=gone, count=None))
    with (
        pytest.raises(CheckpointError, match="is not on the Hub") as caught,
        fetched(suite, checkpoint, tmp_path / "scratch"),
    ):
        pass
    assert caught.value.status == "missing"


def test_full_disk_is_no_fault_of_the_checkpoint(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    suite = suite_of(serve(repository))
    checkpoint = one(suite, 1)
    monkeypatch.setattr(hub_files, "download", full)
    with (
        pytest.raises((OSError, MachineError), match="No space left on device"),
        fetched(suite, checkpoint, tmp_path / "scratch"),
    ):
        pass


def test_file_of_the_wrong_size_is_corrupt(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object, **__: object) -> str:
        raise OSError("Consistency check failed: file should be of size 5 but has size 4")

    suite = suite_of(serve(repository))
    checkpoint = one(suite, 1)
    monkeypatch.setattr(hub_files, "download", short)
    with (
        pytest.raises(CheckpointError, match="could not be fetched whole: Consistency check") as caught,
        fetched(suite, checkpoint, tmp_path / "scratch"),
    ):
        pass
    assert caught.value.status == "corrupt"


def fetch_into_cache(hub: LocalHub, revision: str, *names: str) -> list[Path]:
    """As the user did before: into the ordinary Hub cache."""
    return [Path(hf_hub_download(NAME, name, revision=revision, endpoint=hub.endpoint)) for name in names]


def test_files_in_the_users_cache_are_used_and_stay(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path, hub_cache: Path
) -> None:
    hub = serve(repository)
    (path,) = fetch_into_cache(hub, "step1", WEIGHTS)
    before = files_of(hub_cache)
    suite = suite_of(hub)
    checkpoint, other = one(suite, 1), one(suite, 2)
    hub.clear_log()
    assert suite.bytes_to_download(checkpoint) == 0
    assert suite.bytes_to_download(other) == len(weights(tmp_path, "step2"))
    with fetched(suite, checkpoint, tmp_path / "scratch") as folder:
        assert folder == path.parent
        assert (folder / WEIGHTS).read_bytes() == weights(tmp_path, "step1")
    assert not hub.requests()
    with fetched(suite, other, tmp_path / "scratch"):
        pass
    assert hub.downloaded_files() == [f"step2/{WEIGHTS}"]
    assert files_of(hub_cache) == before


def test_pickle_in_the_cache_is_no_stand_in_for_safetensors(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path
) -> None:
    hub = serve(repository)
    fetch_into_cache(hub, "step1", "pytorch_model.bin")
    suite = suite_of(hub)
    checkpoint = one(suite, 1)
    assert suite.bytes_to_download(checkpoint) == checkpoint.size
    with fetched(suite, checkpoint, tmp_path / "scratch") as folder:
        assert (folder / WEIGHTS).is_file()


def test_part_of_the_shards_in_the_cache_is_not_enough(serve: Serve, suite_of: SuiteOf, tmp_path: Path) -> None:
    repository = Repository(NAME)
    commit(repository, "step1", tmp_path / "files", ("safetensors",), 2)
    hub = serve(repository)
    fetch_into_cache(hub, "step1", SHARDS[0])
    suite = suite_of(hub)
    checkpoint = one(suite, 1)
    with fetched(suite, checkpoint, tmp_path / "scratch") as folder:
        assert all((folder / name).is_file() for name in SHARDS)
        assert tmp_path / "scratch" in folder.parents
    fetch_into_cache(hub, "step1", SHARDS[1], "model.safetensors.index.json")
    assert suite.bytes_to_download(checkpoint) == 0


def test_damaged_file_in_the_users_cache_is_never_handed_out_nor_deleted(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path
) -> None:
    hub = serve(repository)
    (path,) = fetch_into_cache(hub, "step1", WEIGHTS)
    damaged = path.read_bytes()[:-1] + b"!"
    path.resolve().write_bytes(damaged)
    suite = suite_of(hub)
    try:
        with fetched(suite, one(suite, 1), tmp_path / "scratch") as folder:
            assert (folder / WEIGHTS).read_bytes() == weights(tmp_path, "step1")
    except CheckpointError as error:
        assert error.status == "corrupt"
    assert path.read_bytes() == damaged


def test_hub_cache_of_the_test_is_the_clients(hub_cache: Path) -> None:
    assert str(hub_cache) == constants.HF_HUB_CACHE


def test_kept_weights_go_into_the_hub_cache_and_are_not_fetched_again(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path, hub_cache: Path
) -> None:
    hub, scratch = serve(repository), tmp_path / "scratch"
    suite = suite_of(hub).keeping()
    with fetched(suite, one(suite, 1), scratch) as folder:
        assert folder.is_relative_to(hub_cache)
        assert (folder / WEIGHTS).read_bytes() == weights(tmp_path, "step1")
    assert not scratch.exists() or not any(scratch.rglob("*.safetensors"))
    later = suite_of(hub)
    checkpoint = one(later, 1)
    hub.clear_log()
    assert later.bytes_to_download(checkpoint) == 0
    with fetched(later, checkpoint, scratch) as again:
        assert again == folder
    assert not [request for request in hub.requests() if request.path.endswith(WEIGHTS)]


def test_kept_weights_with_a_wrong_byte_are_fetched_once_more(
    serve: Serve, suite_of: SuiteOf, repository: Repository, tmp_path: Path, hub_cache: Path
) -> None:
    hub = serve(repository)
    suite = suite_of(hub).keeping()
    checkpoint = one(suite, 2)
    hub.faults.append(Fault("corrupt", path="/cdn/.*step2/", method="GET"))
    with fetched(suite, checkpoint, tmp_path / "scratch") as folder:
        assert (folder / WEIGHTS).read_bytes() == weights(tmp_path, "step2")

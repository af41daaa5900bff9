"""Parts of a file into memory: continued where they broke off, and never something else than was asked for."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from threading import Event

import pytest
from huggingface_hub import constants, hf_hub_url

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import CORRUPT, FAILED, Stopped
from pythia_geometry.suites.hub import remote_file as remote_file_module
from pythia_geometry.suites.hub.patience import BREAKS
from pythia_geometry.suites.hub.remote_file import RemoteFile
from tests.hub.api import Request
from tests.hub.faults import Fault
from tests.hub.repository import Repository
from tests.hub.server import LocalHub

NAME = "org/run"
WEIGHTS = "model.safetensors"
CONTENT = Random(0).randbytes(1_000_000)
START, STOP = 123_457, 987_654
PART = CONTENT[START:STOP]
Serve = Callable[..., LocalHub]


@pytest.fixture
def hub(serve: Serve) -> LocalHub:
    repository = Repository(NAME)
    repository.commit("step0", {WEIGHTS: CONTENT, "config.json": CONTENT})
    return serve(repository)


def remote(hub: LocalHub, name: str = WEIGHTS, size: int = len(CONTENT)) -> RemoteFile:
    commit = hub.repositories[NAME].branches["step0"]
    return RemoteFile(
        hf_hub_url(NAME, name, revision=commit, endpoint=hub.endpoint), hub.endpoint, size, f"run@step0: {name}"
    )


def asked(hub: LocalHub) -> list[tuple[int, str | None]]:
    return [(request.status, request.range) for request in hub.requests()]


def test_parts_are_what_was_asked_for_and_the_hub_is_asked_once(hub: LocalHub) -> None:
    file = remote(hub)
    assert file.read(0, 1000) == CONTENT[:1000]
    assert file.read(START, STOP) == PART
    assert file.read(len(CONTENT) - 1, len(CONTENT)) == CONTENT[-1:]
    ranges = ["bytes=0-999", f"bytes={START}-{STOP - 1}", f"bytes={len(CONTENT) - 1}-{len(CONTENT) - 1}"]
    assert asked(hub) == [(302, ranges[0]), *((206, one) for one in ranges)]


def test_file_that_the_hub_serves_itself(hub: LocalHub) -> None:
    file = remote(hub, "config.json")
    assert file.read(5, 10) + file.read(10, 12) == CONTENT[5:12]
    assert asked(hub) == [(206, "bytes=5-9"), (206, "bytes=10-11")]


def test_token_is_for_the_hub_alone(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    seen: list[tuple[str, str | None]] = []
    real = hub.prepare

    def prepare(request: Request) -> object:
        seen.append((request.path.split("/")[1], request.headers.get("Authorization")))
        return real(request)

    monkeypatch.setattr(hub, "prepare", prepare)
    file = remote(hub)
    for _ in range(2):
        assert file.read(5, 10) == CONTENT[5:10]
    assert seen == [("org", "Bearer hf_secret"), ("cdn", None), ("cdn", None)]


@pytest.mark.parametrize("action", ["reset", "truncate"])
def test_broken_part_is_continued_from_its_last_byte(hub: LocalHub, waits: list[float], action: str) -> None:
    hub.faults += [Fault(action, path="/cdn/", at_byte=at) for at in (400_000, 300_000)]  # type: ignore[arg-type]
    assert remote(hub).read(START, STOP) == PART
    assert waits == [1.0, 2.0]
    starts = [int(str(r.range)[6:].split("-")[0]) for r in hub.requests(contains="/cdn/")]
    assert starts[0] == START < starts[1] < starts[2]
    if action == "truncate":  # after a reset the client may not see the last bytes that were sent
        assert starts == [START, START + 400_000, START + 700_000]


@pytest.mark.usefixtures("waits")
def test_stall_is_cut_off_and_continued(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    hub.faults.append(Fault("stall", path="/cdn/", at_byte=600_000, seconds=60))
    assert remote(hub).read(START, STOP) == PART
    assert [request.status for request in hub.requests()] == [302, 206, 302, 206]


@pytest.mark.parametrize("status", [403, 404, 410, 503, 429])
def test_storage_that_refuses_is_asked_for_again_at_the_hub(hub: LocalHub, waits: list[float], status: int) -> None:
    hub.faults.append(Fault("status", path="/cdn/", status=status, skip=1))
    file = remote(hub)
    assert file.read(0, 10) + file.read(10, 20) == CONTENT[:20]
    assert [code for code, _ in asked(hub)] == [302, 206, status, 302, 206]
    assert waits == [1.0]


@pytest.mark.parametrize("status", [403, 404])
def test_hub_that_refuses_is_believed(hub: LocalHub, waits: list[float], status: int) -> None:
    hub.faults.append(Fault("status", path="/resolve/", status=status, count=None))
    with pytest.raises(CheckpointError, match=f"run@step0: {WEIGHTS} could not be fetched") as caught:
        remote(hub).read(0, 10)
    assert caught.value.status == FAILED
    assert (len(hub.requests()), waits) == (1, [])


def test_server_without_ranges_is_not_read(hub: LocalHub, waits: list[float]) -> None:
    hub.faults.append(Fault("status", path="/cdn/", status=200, count=None))
    with pytest.raises(CheckpointError, match=r"does not send parts of files \(status 200\). Type the same") as caught:
        remote(hub).read(0, 10)
    assert (caught.value.status, waits) == (FAILED, [])


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_other_size_than_listed_is_corrupt(hub: LocalHub, waits: list[float], size: int) -> None:
    with pytest.raises(CheckpointError, match=f"has 1000000 bytes, the Hub lists {size}") as caught:
        remote(hub, size=size).read(0, 10)
    assert (caught.value.status, waits) == (CORRUPT, [])


@pytest.mark.usefixtures("waits")
def test_part_of_another_place_is_not_taken(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hub.prepare

    def elsewhere(request: Request) -> object:
        moved = {**request.headers, "Range": "bytes=7-16"} if request.path.startswith("/cdn/") else request.headers
        return real(Request(request.method, request.target, moved, request.body))

    monkeypatch.setattr(hub, "prepare", elsewhere)
    with pytest.raises(CheckpointError, match="not the part from byte 0 on"):
        remote(hub).read(0, 10)


@pytest.mark.usefixtures("waits")
def test_requests_are_bounded_where_nothing_comes_and_go_on_where_something_does(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults.append(Fault("reset", path="/cdn/", count=None))
    with pytest.raises(CheckpointError, match="could not be fetched"):
        remote(hub).read(START, STOP)
    assert len(hub.requests(contains="/cdn/")) == BREAKS
    monkeypatch.setattr(remote_file_module, "PROGRESS", 300_000)
    hub.faults[:] = [Fault("truncate", path="/cdn/", at_byte=100_000, count=8)]
    assert remote(hub).read(START, STOP) == PART


def test_stop_ends_a_part_and_a_wait(hub: LocalHub) -> None:
    stop = Event()
    stop.set()
    into = bytearray(STOP - START)
    with pytest.raises(Stopped):
        remote(hub).read_into(START, memoryview(into), stop)
    assert bytes(into) != PART
    hub.clear_log()
    hub.faults.append(Fault("status", path="/resolve/", status=429, headers={"Retry-After": "200"}))
    with pytest.raises(Stopped):
        remote(hub).read_into(START, memoryview(into), stop)
    assert len(hub.requests()) == 1

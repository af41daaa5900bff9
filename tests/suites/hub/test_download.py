"""One file over HTTP: continued where it broke off, stopped at once, and never more requests than it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from threading import Event

import httpx2
import pytest
from huggingface_hub import constants, hf_hub_url

from pythia_geometry.suites.checkpoint import Stopped
from pythia_geometry.suites.hub import download as download_module
from pythia_geometry.suites.hub.download import PART, download
from pythia_geometry.suites.hub.patience import BREAKS
from tests.hub.faults import Fault
from tests.hub.repository import Repository
from tests.hub.server import LocalHub

NAME = "org/run"
WEIGHTS = "model.safetensors"
CONTENT = Random(0).randbytes(1_000_000)
Serve = Callable[..., LocalHub]


@pytest.fixture
def hub(serve: Serve) -> LocalHub:
    repository = Repository(NAME)
    repository.commit("step0", {WEIGHTS: CONTENT, "empty.bin": b""})
    return serve(repository)


def url(hub: LocalHub, name: str = WEIGHTS) -> str:
    return hf_hub_url(NAME, name, revision=hub.repositories[NAME].branches["step0"], endpoint=hub.endpoint)


def body_requests(hub: LocalHub) -> list[tuple[str | None, int]]:
    return [(request.range, request.sent) for request in hub.requests("GET", contains="/cdn/")]


def test_file_costs_two_requests_and_leaves_no_part(hub: LocalHub, tmp_path: Path) -> None:
    download(url(hub), hub.endpoint, tmp_path / "new" / WEIGHTS, len(CONTENT))
    assert [path.name for path in (tmp_path / "new").iterdir()] == [WEIGHTS]
    assert (tmp_path / "new" / WEIGHTS).read_bytes() == CONTENT
    assert [(request.method, request.status) for request in hub.requests()] == [("GET", 302), ("GET", 200)]


@pytest.mark.parametrize("action", ["reset", "truncate"])
def test_broken_body_is_continued_from_its_last_byte(
    hub: LocalHub, tmp_path: Path, waits: list[float], action: str
) -> None:
    hub.faults += [Fault(action, path="/cdn/", at_byte=at) for at in (400_000, 300_000)]  # type: ignore[arg-type]
    download(url(hub), hub.endpoint, tmp_path / WEIGHTS, len(CONTENT))
    assert (tmp_path / WEIGHTS).read_bytes() == CONTENT
    first, second, third = body_requests(hub)
    assert (first[0], second[0] is None, third[0] is None) == (None, False, False)
    assert waits == [1.0, 2.0]
    assert third[1] < second[1] + 700_000
    if action == "truncate":  # after a reset the client may not see the last bytes that were sent
        assert (second[0], third[0]) == ("bytes=400000-", "bytes=700000-")


def test_part_of_another_process_is_continued(hub: LocalHub, tmp_path: Path) -> None:
    (tmp_path / (WEIGHTS + PART)).write_bytes(CONTENT[:654_321])
    download(url(hub), hub.endpoint, tmp_path / WEIGHTS, len(CONTENT))
    assert (tmp_path / WEIGHTS).read_bytes() == CONTENT
    assert body_requests(hub) == [("bytes=654321-", len(CONTENT) - 654_321)]


def test_whole_part_of_another_process_costs_no_request(hub: LocalHub, tmp_path: Path) -> None:
    (tmp_path / (WEIGHTS + PART)).write_bytes(CONTENT)
    download(url(hub), hub.endpoint, tmp_path / WEIGHTS, len(CONTENT))
    assert (tmp_path / WEIGHTS).read_bytes() == CONTENT
    assert not hub.requests()


def test_file_of_unknown_size_starts_over(hub: LocalHub, tmp_path: Path, waits: list[float]) -> None:
    hub.faults.append(Fault("truncate", path="/cdn/", at_byte=400_000))
    download(url(hub), hub.endpoint, tmp_path / WEIGHTS)
    assert (tmp_path / WEIGHTS).read_bytes() == CONTENT
    assert [asked for asked, _ in body_requests(hub)] == [None, None]
    assert waits == [1.0]


def test_empty_file(hub: LocalHub, tmp_path: Path) -> None:
    download(url(hub, "empty.bin"), hub.endpoint, tmp_path / "empty.bin", 0)
    assert (tmp_path / "empty.bin").read_bytes() == b""


@pytest.mark.usefixtures("waits")
def test_stall_in_the_middle_is_cut_off_and_continued(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    hub.faults.append(Fault("stall", path="/cdn/", at_byte=600_000, seconds=60))
    download(url(hub), hub.endpoint, tmp_path / WEIGHTS, len(CONTENT))
    assert (tmp_path / WEIGHTS).read_bytes() == CONTENT
    _, (asked, rest) = body_requests(hub)
    assert asked is not None
    assert rest < len(CONTENT)


@pytest.mark.usefixtures("waits")
def test_more_bytes_than_listed_never_pile_up(hub: LocalHub, tmp_path: Path) -> None:
    with pytest.raises(httpx2.TransportError, match="more than the 1000 bytes"):
        download(url(hub), hub.endpoint, tmp_path / WEIGHTS, 1000)
    assert (tmp_path / (WEIGHTS + PART)).stat().st_size == 0
    assert len(body_requests(hub)) == BREAKS


@pytest.mark.usefixtures("waits")
def test_fewer_bytes_than_listed_are_no_file(hub: LocalHub, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="416"):
        download(url(hub), hub.endpoint, tmp_path / WEIGHTS, len(CONTENT) + 1)
    assert not (tmp_path / WEIGHTS).exists()


@pytest.mark.usefixtures("waits")
def test_requests_are_bounded_where_nothing_comes_and_go_on_where_something_does(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults.append(Fault("reset", path="/cdn/", count=None))
    with pytest.raises(httpx2.TransportError):
        download(url(hub), hub.endpoint, tmp_path / WEIGHTS, len(CONTENT))
    assert len(body_requests(hub)) == BREAKS
    hub.faults[:] = [Fault("truncate", path="/cdn/", at_byte=100_000, count=9)]
    with pytest.raises(httpx2.TransportError):
        download(url(hub), hub.endpoint, tmp_path / WEIGHTS, len(CONTENT))
    monkeypatch.setattr(download_module, "PROGRESS", 300_000)
    hub.faults[:] = [Fault("truncate", path="/cdn/", at_byte=100_000, count=9)]
    download(url(hub), hub.endpoint, tmp_path / WEIGHTS, len(CONTENT))
    assert (tmp_path / WEIGHTS).read_bytes() == CONTENT


def test_stop_ends_a_download_and_the_next_continues_it(hub: LocalHub, tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Stopped):
        download(url(hub), hub.endpoint, tmp_path / WEIGHTS, len(CONTENT), stop)
    arrived = (tmp_path / (WEIGHTS + PART)).stat().st_size
    assert 0 < arrived < len(CONTENT)
    hub.clear_log()
    download(url(hub), hub.endpoint, tmp_path / WEIGHTS, len(CONTENT))
    assert (tmp_path / WEIGHTS).read_bytes() == CONTENT
    assert body_requests(hub) == [(f"bytes={arrived}-", len(CONTENT) - arrived)]


def test_stop_ends_a_wait(hub: LocalHub, tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    hub.faults.append(Fault("status", path="/resolve/", status=429, headers={"Retry-After": "200"}))
    with pytest.raises(Stopped):
        download(url(hub), hub.endpoint, tmp_path / WEIGHTS, len(CONTENT), stop)
    assert len(hub.requests()) == 1

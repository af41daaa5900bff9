"""A walk from the Hub that is stopped in the middle of a download: the next one asks only for the rest."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import hf_hub_download

from pythia_geometry.runs.local import walk
from pythia_geometry.suites.hub.download import PART
from tests.hub.environment import client_environment
from tests.hub.faults import Fault
from tests.hub.server import LocalHub
from tests.runs.command import SECONDS, STOPPED, Command
from tests.runs.served import NAME, WEIGHTS, Served, assert_true, served
from tests.suites.conftest import hub_cache, serve  # noqa: F401 - fixtures

STEPS = (0, 1, 2, 4, 8, 143000)
AT = 5000
Serve = Callable[..., LocalHub]


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return served(tmp_path_factory.mktemp("stepped"), STEPS)


def command(hub: LocalHub, one: Served, folder: Path, *more: str) -> Command:
    """A walk of all steps."""
    steps = ",".join(map(str, STEPS))
    given = ["--model", "pythia-14m", "--steps", steps, "--probes", str(one.truth.probes), "--out", str(folder / "run")]
    environment = client_environment(hub.endpoint, folder / "home") | {"HF_HUB_DOWNLOAD_TIMEOUT": "5"}
    return Command([*given, "--device", "cpu", "--threads", "1", *more], environment)


def stop(hub: LocalHub, one: Served, folder: Path, step: int, by: signal.Signals) -> tuple[int, str]:
    """Walks until the download of a step stalls, and stops the walk there."""
    hub.faults[:] = [Fault("stall", path=f"/cdn/.*/step{step}/", at_byte=AT, seconds=SECONDS)]
    sha256 = hashlib.sha256(one.truth.weights(step).read_bytes()).hexdigest()
    part = folder / "run" / "downloads" / sha256 / (WEIGHTS + PART)
    with command(hub, one, folder) as walking:
        walking.wait_until(lambda: part.exists() and part.stat().st_size == AT)
        return walking.signal(by)


def test_stopped_and_killed_downloads_are_continued(serve: Serve, stepped: Served, tmp_path: Path) -> None:  # noqa: F811
    hub = serve(stepped.repository)
    code, said = stop(hub, stepped, tmp_path, 2, signal.SIGINT)
    assert (code, said) == (130, STOPPED)
    code, said = stop(hub, stepped, tmp_path, 8, signal.SIGKILL)
    assert code == -signal.SIGKILL
    hub.faults.clear()
    found = walk(stepped.plan(hub), tmp_path / "run")
    assert_true(found, stepped.expected())
    bodies = hub.requests("GET", contains="/cdn/")
    assert [r.label for r in bodies if r.range == f"bytes={AT}-"] == [f"step{step}/{WEIGHTS}" for step in (2, 8)]
    assert sum(request.sent for request in bodies) == sum(stepped.size(step) for step in STEPS if step != 1)
    assert not (tmp_path / "run" / "downloads").exists()


@pytest.mark.parametrize(
    ("by", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_walk_by_ranges_that_is_stopped_in_a_span_goes_on_with_that_step(
    serve: Serve,  # noqa: F811
    stepped: Served,
    tmp_path: Path,
    by: signal.Signals,
    code: int,
) -> None:
    hub = serve(stepped.repository)
    hub.faults[:] = [Fault("stall", path="/cdn/.*/step2/", at_byte=3000, skip=1, count=None, seconds=SECONDS)]
    with command(hub, stepped, tmp_path, "--fetch", "ranges") as walking:
        walking.wait_until(lambda: any(r.fault == "stall" and r.sent == 3000 for r in hub.requests()))
        assert walking.signal(by) == (code, STOPPED if code > 0 else "")
    hub.faults.clear()
    hub.clear_log()
    found = walk(stepped.plan(hub, fetch="ranges"), tmp_path / "run")
    pd.testing.assert_frame_equal(found.geometry, stepped.expected().geometry, check_exact=True)
    fetched = {request.label for request in hub.requests("GET", contains="/cdn/")}
    done = (143000, 0)  # step 1 is being computed meanwhile
    assert fetched <= {f"step{step}/{WEIGHTS}" for step in STEPS if step not in done}
    assert f"step2/{WEIGHTS}" in fetched
    assert not (tmp_path / "run" / "downloads").exists()


def test_offline_walks_what_is_cached_and_asks_nobody(serve: Serve, stepped: Served, tmp_path: Path) -> None:  # noqa: F811
    hub = serve(stepped.repository)
    cache = tmp_path / "home" / "hub"
    for step, name in ((4, WEIGHTS), (143000, WEIGHTS), (4, "config.json"), (4, "tokenizer.json")):
        hf_hub_download(NAME, name, revision=f"step{step}", endpoint=hub.endpoint, cache_dir=cache)
    before = sorted(path for path in cache.rglob("*"))
    hub.clear_log()
    walking = command(hub, stepped, tmp_path, "--offline").process
    out, err = walking.communicate(timeout=SECONDS)
    assert walking.returncode == 3, err
    assert "has no branch step8 in the Hub cache (--offline)" in " ".join(out.split())
    assert hub.requests() == []
    assert sorted(path for path in cache.rglob("*")) == before

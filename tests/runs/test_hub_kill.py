"""A walk from the Hub that is stopped in the middle of a download: the next one asks only for the rest."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import hf_hub_download

from pythia_geometry.runs.local import walk
from pythia_geometry.suites.download import PART
from tests.hub.environment import client_environment
from tests.hub.faults import Fault
from tests.hub.server import LocalHub
from tests.runs.served import NAME, WEIGHTS, Served, assert_true, served
from tests.suites.conftest import hub_cache, serve  # noqa: F401 - fixtures

STEPS = (0, 1, 2, 4, 8, 143000)
AT = 5000
SECONDS = 300.0
Serve = Callable[..., LocalHub]


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return served(tmp_path_factory.mktemp("stepped"), STEPS)


def command(hub: LocalHub, one: Served, folder: Path, *more: str) -> subprocess.Popen[str]:
    """`pythia-geom` in a process of its own."""
    steps = ",".join(map(str, STEPS))
    given = ["--model", "pythia-14m", "--steps", steps, "--probes", str(one.truth.probes), "--out", str(folder / "run")]
    words = ["pythia-geom", *given, "--device", "cpu", "--threads", "1", *more]
    code = f"import sys\nfrom pythia_geometry.cli import main\nsys.argv = {words!r}\nmain()"
    environment = client_environment(hub.endpoint, folder / "home") | {"HF_HUB_DOWNLOAD_TIMEOUT": "5"}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=pipe, stderr=pipe, text=True)


def wait_for_part(process: subprocess.Popen[str], weights: Path, folder: Path) -> None:
    """Until the bytes before the stall lie on the disk."""
    deadline = time.monotonic() + SECONDS
    part = folder / hashlib.sha256(weights.read_bytes()).hexdigest() / (WEIGHTS + PART)
    while not part.exists() or part.stat().st_size != AT:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def stop(hub: LocalHub, one: Served, folder: Path, step: int, by: signal.Signals) -> tuple[int, str]:
    """Walks until the download of a step stalls, and stops the walk there."""
    hub.faults[:] = [Fault("stall", path=f"/cdn/.*/step{step}/", at_byte=AT, seconds=SECONDS)]
    process = command(hub, one, folder)
    wait_for_part(process, one.truth.weights(step), folder / "run" / "downloads")
    process.send_signal(by)
    _, said = process.communicate(timeout=SECONDS)
    return process.returncode, said


def test_stopped_and_killed_downloads_are_continued(serve: Serve, stepped: Served, tmp_path: Path) -> None:  # noqa: F811
    hub = serve(stepped.repository)
    code, said = stop(hub, stepped, tmp_path, 2, signal.SIGINT)
    assert (code, said) == (130, "\nStopped. What was finished is kept: type the same command to continue.\n")
    code, said = stop(hub, stepped, tmp_path, 8, signal.SIGKILL)
    assert code == -signal.SIGKILL
    hub.faults.clear()
    found = walk(stepped.plan(hub), tmp_path / "run")
    assert_true(found, stepped.expected())
    bodies = hub.requests("GET", contains="/cdn/")
    assert [r.label for r in bodies if r.range == f"bytes={AT}-"] == [f"step{step}/{WEIGHTS}" for step in (2, 8)]
    assert sum(request.sent for request in bodies) == sum(stepped.size(step) for step in STEPS if step != 1)
    assert not (tmp_path / "run" / "downloads").exists()


@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_walk_by_ranges_that_is_stopped_in_a_span_goes_on_with_that_step(
    serve: Serve,  # noqa: F811
    stepped: Served,
    tmp_path: Path,
    by: signal.Signals,
    code: int,
) -> None:
    hub = serve(stepped.repository)
    hub.faults[:] = [Fault("stall", path="/cdn/.*/step2/", at_byte=3000, skip=1, count=None, seconds=SECONDS)]
    process = command(hub, stepped, tmp_path, "--fetch", "ranges")
    deadline = time.monotonic() + SECONDS
    while not any(request.fault == "stall" and request.sent == 3000 for request in hub.requests()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(by)
    out, said = process.communicate(timeout=SECONDS)
    assert process.returncode == code, (out, said)
    assert said == ("\nStopped. What was finished is kept: type the same command to continue.\n" if code > 0 else "")
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
    process = command(hub, stepped, tmp_path, "--offline")
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 3, err
    assert "has no branch step8 in the Hub cache (--offline)" in " ".join(out.split())
    assert hub.requests() == []
    assert sorted(path for path in cache.rglob("*")) == before

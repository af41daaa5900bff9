"""What a task of a cluster does, without a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.many.cluster_shares import work_of
from pythia_geometry.runs.many.cluster_task import Room, capture_some, take
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.progress import Silent
from pythia_geometry.store.run_folder import RunFolder
from tests.hub.server import LocalHub
from tests.runs.children import stop
from tests.runs.many.test_shards import assert_same_files
from tests.runs.served import WEIGHTS, served
from tests.suites.conftest import hub_cache, serve  # noqa: F401 - fixtures
from tests.suites_on_disk import SuiteOnDisk, tiny_suite

STEPS = (0, 1, 2, 4, 8)
ROOMY = Room("walk", 1, 10**9)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"pythia-geometry-{os.getuid()}"


def test_taken_in_its_files_are_those_of_one_process_and_nothing_is_computed_again(
    suite: SuiteOnDisk, alone: Path, tmp_path: Path, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plan = RunFolder(tmp_path / "run"), make_plan(suite.request())
    ledger = Ledger(plan.runs[0], plan.request, folder, Silent())
    with folder.writing():
        folder.write_manifest({"runs": {}})
        for files in capture_some(ledger.run, plan.request, ROOMY, work_of(ledger)):
            assert not isinstance(files, Exception)
            take(ledger, files)
    assert work_of(ledger) == []
    assert list(places.iterdir()) == []
    monkeypatch.setattr("pythia_geometry.runs.one_run.measuring.capture", stop)
    suite.walk(folder.path)
    assert_same_files(folder.path, alone)
    assert not list(folder.path.rglob(".tmp-*"))


def test_next_weights_arrive_while_the_first_ones_are_computed_with(
    serve: Callable[..., LocalHub],  # noqa: F811
    tmp_path: Path,
    places: Path,
) -> None:
    one = served(tmp_path / "served", STEPS)
    hub = serve(one.repository)
    plan = one.plan(hub)
    ledger = Ledger(plan.runs[0], plan.request, RunFolder(tmp_path / "run"), Silent())
    task = capture_some(ledger.run, plan.request, Room("walk", 1, 2 * one.size(2)), work_of(ledger)[2:])
    next(task)  # and it does nothing more until it is asked again
    deadline = time.monotonic() + 20
    while f"step4/{WEIGHTS}" not in hub.downloaded_files():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert f"step8/{WEIGHTS}" not in hub.downloaded_files(), "there is no room for a third"
    task.close()
    assert list(places.iterdir()) == []


def test_checkpoint_that_cannot_be_used_is_one_result_among_others(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path)
    suite.weights(1).write_bytes(b"no weights")
    plan = make_plan(suite.request())
    ledger = Ledger(plan.runs[0], plan.request, RunFolder(tmp_path / "run"), Silent())
    first, second, third = capture_some(ledger.run, plan.request, ROOMY, work_of(ledger)[:3])
    assert isinstance(second, CheckpointError)
    assert not isinstance(first, Exception) and not isinstance(third, Exception)


def test_head_is_checked_with_the_first_weights_that_can_be_loaded_and_then_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = tiny_suite(tmp_path)
    suite.weights(0).write_bytes(b"no weights")
    plan = make_plan(suite.request())
    ledger = Ledger(plan.runs[0], plan.request, RunFolder(tmp_path / "run"), Silent())
    work, checked = work_of(ledger), []
    monkeypatch.setattr("pythia_geometry.runs.one_run.loader.check_head", lambda *_: checked.append(1))
    for some, times in ((work[:1], 0), (work[:2], 1), (work[2:4], 1)):
        list(capture_some(ledger.run, plan.request, ROOMY, some))
        assert len(checked) == times


def test_any_other_error_is_the_last_result(
    serve: Callable[..., LocalHub],  # noqa: F811
    tmp_path: Path,
    places: Path,
) -> None:
    one = served(tmp_path / "served", STEPS)
    plan = one.plan(serve(one.repository))
    ledger = Ledger(plan.runs[0], plan.request, RunFolder(tmp_path / "run"), Silent())
    (only,) = capture_some(ledger.run, plan.request, Room("walk", 1, one.size(0) - 1), work_of(ledger))
    assert isinstance(only, PythiaGeometryError) and not isinstance(only, CheckpointError)
    assert list(places.iterdir()) == []

"""A walk on several devices, a process each, ends with the tables of one process, byte for byte."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pythia_geometry.commands.walk_session import run_shard
from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.manifest import updated_manifest
from pythia_geometry.runs.many import devices
from pythia_geometry.runs.many.shards import Shard, gather, walk_shard
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.progress import Progress
from pythia_geometry.runs.request import RAY
from pythia_geometry.store.run_folder import RunFolder
from tests.hub.faults import Fault
from tests.hub.server import LocalHub
from tests.runs.children import Stopped, stop
from tests.runs.fetching.test_fetch import until
from tests.runs.many.test_shards import assert_same_files
from tests.runs.served import WEIGHTS, assert_true, served
from tests.suites.conftest import hub_cache, serve  # noqa: F401 - fixtures
from tests.suites_on_disk import SuiteOnDisk, assert_same, tiny_suite

BOTH = "cpu,cpu"
STEPS = (0, 1, 2, 4, 8, 143000)


class Seen:
    """What was told, and something to do at the first finished checkpoint."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.stages: set[str] = set()
        self.labels: list[str] = []
        self.details: list[str] = []
        self.then = then

    def stage(self, checkpoint: str, stage: str) -> None:
        self.stages.add(stage)

    def finished(self, checkpoint: str, detail: str) -> None:
        self.labels.append(checkpoint)
        self.details.append(detail)
        if len(self.labels) == 1:
            self.then()

    def damaged(self, file: str, why: str) -> None:
        raise AssertionError(f"{file}: {why}")

    def lost(self, checkpoint: str, count: int) -> None:
        raise AssertionError(f"{checkpoint}: {count} lost")


def test_two_processes_give_the_files_of_one_and_are_not_started_when_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = tiny_suite(tmp_path)
    suite.weights(4).write_bytes(b"no weights")
    expected = suite.walk(tmp_path / "alone")
    out, plan, seen = tmp_path / "run", make_plan(suite.request(device=BOTH)), Seen()
    monkeypatch.setattr("pythia_geometry.runs.one_run.measuring.capture", stop)  # nothing is computed in this process
    walk(plan, out, seen)
    assert_same_files(out, tmp_path / "alone")
    assert sorted(seen.labels) == sorted(c.label for c in plan.runs[0].usable)
    assert [label for label, detail in zip(seen.labels, seen.details, strict=True) if detail] == ["tiny@step4"]
    assert {"load", "write"} <= seen.stages
    assert not any(path.name != ".lock" for shard in RunFolder(out).shards() for path in shard.path.iterdir())
    walks = RunFolder(out).manifest()["walks"]
    assert [w["settings"]["device"] for w in walks] == [BOTH, "cpu"]
    suite.weights(4).write_bytes(suite.weights(8).read_bytes())
    monkeypatch.setattr(devices.subprocess, "Popen", stop)
    assert_same(walk(make_plan(suite.request(device=BOTH, steps="0,1")), out), expected)


def test_process_that_is_killed_is_one_message_and_what_was_done_is_kept(
    suite: SuiteOnDisk, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers: list[devices.Worker] = []
    listen = devices._listen

    def watched(given: Sequence[devices.Worker], progress: Progress) -> object:
        workers.extend(given)
        return listen(given, progress)

    out = tmp_path / "run"
    plan = make_plan(suite.request(device=BOTH, activations="none"))
    with monkeypatch.context() as patch:
        patch.setattr(devices, "_listen", watched)
        with pytest.raises(MachineError, match="The process of cpu was ended by signal 9; .*type the same command"):
            walk(plan, out, Seen(lambda: workers[1].process.kill()))
    assert [worker.process.poll() for worker in workers] == [-signal.SIGKILL] * 2
    assert sum(len(shard.done()) for shard in RunFolder(out).shards()) > 0
    suite.walk(out, activations="none")
    assert_same_files(out, alone)
    assert not list(out.rglob(".tmp-*"))


def test_what_a_process_meets_is_raised_here(suite: SuiteOnDisk, tmp_path: Path) -> None:
    out, plan = tmp_path / "run", make_plan(suite.request())
    with RunFolder(out).shard("2-of-2").writing(), devices._worker("cpu", (plan, Shard(2, 2), out)) as refused:
        with devices._worker("cpu", ("no plan", "no shard", out)) as broken:
            with pytest.raises(MachineError, match="Another walk is writing to .*2-of-2"):
                devices._listen([refused], Seen())
            with pytest.raises(RuntimeError, match="Traceback(.|\n)*AttributeError"):
                devices._listen([broken], Seen())


def test_process_ends_with_the_pipe_whatever_it_is_doing(
    serve: Callable[..., LocalHub],  # noqa: F811
    tmp_path: Path,
) -> None:
    one = served(tmp_path / "served", STEPS)
    hub = serve(one.repository)
    hub.faults.append(Fault("stall", path="/cdn/", count=None, seconds=60))
    with devices._worker("cpu", (one.plan(hub), Shard(1, 1), tmp_path / "run")) as worker:
        until(lambda: any(request.fault == "stall" for request in hub.requests()))
        worker.pipe.close()
        assert worker.process.wait(10) == 0


def test_processes_of_a_hub_walk_share_the_disk_fetch_each_weight_once_and_leave_none(
    serve: Callable[..., LocalHub],  # noqa: F811
    tmp_path: Path,
) -> None:
    one = served(tmp_path / "served", STEPS)
    hub, size = serve(one.repository), one.size(0)
    with pytest.raises(PythiaGeometryError, match="allows .* to each of 2 devices, and pythia-14m@step0 alone has"):
        one.plan(hub, device=BOTH, disk=f"{2 * size - 1}B")
    plan = one.plan(hub, device=BOTH, disk=f"{2 * size + 1}B")
    assert devices._on(plan, "cpu").disk_budget == size
    assert_true(walk(plan, tmp_path / "run"), one.expected())
    fetched = sorted(label for label in hub.downloaded_files() if label.endswith(WEIGHTS))
    assert fetched == sorted(f"step{step}/{WEIGHTS}" for step in STEPS if step != 1)
    assert not list((tmp_path / "run").rglob("*.safetensors*"))


def test_downloads_of_a_stopped_process_wait_for_the_next(suite: SuiteOnDisk, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    shard = folder.shard("1-of-2")
    walk_shard(make_plan(suite.request()), Shard(1, 2), folder.path)
    (shard.downloads / "a").mkdir(parents=True)
    with folder.writing():
        gather(folder, walked_on=[Shard(1, 2)])
        assert not shard.done() and len(folder.done()) > 0
        assert shard.manifest() and (shard.downloads / "a").is_dir()
        gather(folder)
    assert [path.name for path in shard.path.iterdir()] == [".lock"]


def test_downloads_that_no_process_of_this_walk_will_use_go_before_it_fetches(
    serve: Callable[..., LocalHub],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = served(tmp_path / "served", STEPS)
    hub, out = serve(one.repository), tmp_path / "run"
    folder = RunFolder(out)
    stopped = [folder, *(folder.shard(name) for name in ("1-of-2", "2-of-3"))]
    for each in stopped:
        with each.writing():
            each.write_manifest(updated_manifest({}, one.plan(hub)))
        (each.downloads / ("a" * 64)).mkdir(parents=True)  # named after weights, as a walk names it
    monkeypatch.setattr(devices, "_listen", lambda *_: stop())
    with pytest.raises(Stopped):
        walk(one.plan(hub, device=BOTH), out)
    assert [each.downloads.exists() for each in stopped] == [False, True, False]


def test_comma_without_a_device_is_said(suite: SuiteOnDisk) -> None:
    with pytest.raises(PythiaGeometryError, match="--device 'cpu,' has a comma with no device beside it"):
        make_plan(suite.request(device="cpu,", disk="1GB"))


@pytest.mark.parametrize("device", ["cuda:all,cpu", "cpu, cuda:all"])
def test_all_gpus_and_more_are_refused(suite: SuiteOnDisk, device: str) -> None:
    with pytest.raises(PythiaGeometryError, match=f"--device {device}: cuda:all stands alone"):
        make_plan(suite.request(device=device, disk="1GB"))


def test_one_gpu_with_ray_is_refused(suite: SuiteOnDisk) -> None:
    with pytest.raises(PythiaGeometryError, match="--executor ray gives each task a GPU .* Pass --device cuda, cpu"):
        suite.request(device="cuda:1", executor=RAY)


@pytest.mark.parametrize("device", ["cuda:all", "cpu,cpu"])
def test_devices_and_another_way_to_divide_are_refused(suite: SuiteOnDisk, device: str) -> None:
    with pytest.raises(PythiaGeometryError, match=f"--executor ray .* --device {device} .* Pass one of them"):
        suite.request(device=device, executor=RAY)
    with pytest.raises(PythiaGeometryError, match=f"--shard and --device {device} each divide .*--shard 1/2 --device"):
        run_shard(suite.request(device=device), "", "1/2", dry_run=True)

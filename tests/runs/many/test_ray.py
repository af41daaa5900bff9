"""A walk on a Ray cluster ends with the tables of one process, byte for byte."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from huggingface_hub import hf_hub_download

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import RAY
from pythia_geometry.store.run_folder import RunFolder
from tests.hub.environment import client_environment
from tests.hub.faults import Fault
from tests.hub.server import LocalHub
from tests.runs.children import stop
from tests.runs.command import STOPPED, Command, parts
from tests.runs.many.test_shards import assert_same_files
from tests.runs.served import NAME, WEIGHTS, Served, assert_true, served
from tests.suites.conftest import hub_cache, serve  # noqa: F401 - fixtures
from tests.suites_on_disk import SuiteOnDisk, tiny_suite

STEPS = (0, 1, 2, 4, 8, 16, 143000)
has_ray = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not has_ray, reason="Ray is not installed: pip install 'pythia-geometry[ray]'")
quiet = pytest.mark.filterwarnings("ignore")  # Ray's own: open files, future changes


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SuiteOnDisk:
    made = tiny_suite(tmp_path_factory.mktemp("suite"), tuple(range(0, 40, 2)))
    made.weights(4).write_bytes(b"no weights")
    return made


@dataclass
class TwoNodes:
    """A cluster of two nodes with one core each, simulated on this machine, with folders of its own."""

    cluster: Any
    second: Any
    folder: Path

    @property
    def places(self) -> Path:
        """Where its tasks keep weights."""
        return self.folder / f"pythia-geometry-{os.getuid()}"

    @property
    def home(self) -> Path:
        """The HF_HOME of its machines."""
        return self.folder / "home"

    def left(self) -> list[Path]:
        """What tasks have left on the disk."""
        return list(self.places.iterdir()) if self.places.exists() else []


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[TwoNodes]:
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)  # short: Ray's sockets lie there
        kept = client_environment("http://127.0.0.1:9", folder / "home")
        for given in set(os.environ) - set(kept):
            patch.delenv(given)
        for given, value in {**kept, "TMPDIR": name, "RAY_USAGE_STATS_ENABLED": "0"}.items():
            patch.setenv(given, value)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            yield TwoNodes(cluster, cluster.add_node(num_cpus=1), folder)
        finally:
            cluster.shutdown()


@pytest.fixture
def joined(two_nodes: TwoNodes) -> Iterator[TwoNodes]:
    """This process as a driver of the cluster."""
    import ray

    ray.init(address=two_nodes.cluster.address, log_to_driver=False, logging_level=40)
    yield two_nodes
    ray.shutdown()


class Watcher:
    """Does something after some checkpoints."""

    def __init__(self, after: int, then: Callable[[], object]) -> None:
        self.count, self.after, self.then = 0, after, then

    def stage(self, checkpoint: str, stage: str) -> None:
        pass

    def finished(self, checkpoint: str, detail: str) -> None:
        self.count += 1
        if self.count == self.after:
            self.then()


def interrupt() -> None:
    raise KeyboardInterrupt


@needs_ray
@quiet
def test_two_workers_give_the_files_of_one_process_and_continue_after_a_stop(
    suite: SuiteOnDisk, alone: Path, tmp_path: Path, joined: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, plan = tmp_path / "run", make_plan(suite.request(executor=RAY, steps="6-20"))
    with pytest.raises(KeyboardInterrupt):
        walk(plan, out, Watcher(2, interrupt))
    assert len(RunFolder(out)._parts()) == 2
    assert joined.left() == []
    monkeypatch.setattr("pythia_geometry.runs.one_run.measuring.capture", stop)  # nothing is computed in this process
    rest = Watcher(99, stop)
    walk(plan, out, rest)
    assert rest.count == 8
    monkeypatch.undo()
    suite.walk(tmp_path / "alone", steps="6-20")
    assert_same_files(out, tmp_path / "alone")
    assert not list(out.rglob(".tmp-*"))
    assert joined.left() == []


def most_bytes(folder: Path, until: Event, seen: list[int]) -> None:
    """Notes the most bytes of weights that lie below a folder."""
    while not until.is_set():
        found = 0
        for inside, _, names in os.walk(folder):
            for name in names:
                with suppress(OSError):  # removed at this moment
                    found += (Path(inside) / name).stat().st_size if ".safetensors" in name else 0
        seen.append(found)
        time.sleep(0.005)


def hub_command(
    one: Served, two_nodes: TwoNodes, hub: LocalHub, out: Path, *more: str, home: Path | None = None
) -> Command:
    steps = ",".join(map(str, STEPS))
    given = ["--model", "pythia-14m", "--steps", steps, "--probes", str(one.truth.probes), "--out", str(out)]
    environment = client_environment(hub.endpoint, home or two_nodes.home) | {"RAY_ADDRESS": two_nodes.cluster.address}
    return Command([*given, "--device", "cpu", "--threads", "1", "--executor", "ray", *more], environment)


@needs_ray
@quiet
def test_hub_walk_fetches_each_weight_once_within_the_disk_and_leaves_none(
    two_nodes: TwoNodes,
    serve: Callable[..., LocalHub],  # noqa: F811
    tmp_path: Path,
) -> None:
    one = served(tmp_path / "served", STEPS)
    hub = serve(one.repository)
    with pytest.raises(PythiaGeometryError, match="--disk allows .* alone has"):
        one.plan(hub, executor=RAY, disk=f"{one.size(0) - 1}B")
    del one.repository.branches["step4"]
    hub.faults.append(Fault("corrupt", path="/cdn/.*/step8/", count=None))
    expected, hub.bandwidth = one.expected(gaps=(4, 8)), 20 * one.size(0)
    seen: list[int] = []
    ended = Event()
    watcher = Thread(target=most_bytes, args=(two_nodes.folder, ended, seen))
    watcher.start()
    command = hub_command(one, two_nodes, hub, tmp_path / "run", "--disk", f"{one.size(0)}B")
    code, said = command.end()
    ended.set()
    watcher.join()
    assert (code, said) == (3, "")
    assert max(seen) <= one.size(0)
    assert max(seen) > 0, "the watcher has seen no download"
    found = RunFolder(tmp_path / "run").tables()
    assert_true(found, expected)
    status = dict(zip(found.checkpoints["step"], found.checkpoints["status"], strict=True))
    assert {step: word for step, word in status.items() if word != "ok"} == {4: "missing", 8: "corrupt"}
    fetched = [label for label in hub.downloaded_files() if label.endswith(WEIGHTS) and "step8/" not in label]
    assert sorted(fetched) == sorted(f"step{step}/{WEIGHTS}" for step in STEPS if step not in (1, 4, 8))
    assert two_nodes.left() == []
    assert not list(two_nodes.folder.rglob("*.safetensors")) + list((tmp_path / "run").rglob("*.safetensors"))


@needs_ray
@quiet
def test_offline_walk_asks_nobody_also_on_the_machines_of_the_cluster(
    two_nodes: TwoNodes,
    serve: Callable[..., LocalHub],  # noqa: F811
    tmp_path: Path,
) -> None:
    one = served(tmp_path / "served", STEPS)
    hub = serve(one.repository)
    for home in (tmp_path / "home", two_nodes.home):  # at first this machine alone holds it
        for name in (WEIGHTS, "config.json", "tokenizer.json"):
            hf_hub_download(NAME, name, revision="step143000", endpoint=hub.endpoint, cache_dir=home / "hub")
        hub.clear_log()
        assert hub_command(one, two_nodes, hub, tmp_path / "run", "--offline", home=home).end() == (3, "")
        assert hub.requests() == []
        last = RunFolder(tmp_path / "run").tables().checkpoints.iloc[-1]
        assert last["status"] == ("ok" if home == two_nodes.home else "failed")
        assert ("--offline" in last["detail"]) == (last["status"] == "failed")
    assert_true(RunFolder(tmp_path / "run").tables(), one.expected(gaps=set(STEPS) - {143000}))


@needs_ray
@quiet
def test_task_that_no_machine_has_room_for_is_said(suite: SuiteOnDisk, tmp_path: Path, joined: TwoNodes) -> None:
    with pytest.raises(MachineError, match="No machine of the Ray cluster has 64 CPUs for a task. .* fewer --threads"):
        suite.walk(tmp_path / "run", executor=RAY, threads=64)


@needs_ray
@quiet
def test_node_that_is_lost_in_the_middle_costs_nothing_but_time(
    suite: SuiteOnDisk, alone: Path, tmp_path: Path, joined: TwoNodes
) -> None:
    """The last test of the cluster, which has one node then."""
    import ray

    assert ray.cluster_resources()["CPU"] == 2
    kill = partial(joined.cluster.remove_node, joined.second, allow_graceful=False)
    watcher = Watcher(3, kill)
    walk(make_plan(suite.request(executor=RAY)), tmp_path / "run", watcher)
    assert watcher.count == 20
    assert joined.second not in joined.cluster.list_all_nodes()
    assert_same_files(tmp_path / "run", alone)
    assert joined.left() == []


@needs_ray
@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("node1:6379", ConnectionError("nobody"), "No Ray cluster answers at node1:6379, where RAY_ADDRESS says"),
        ("", ConnectionError("nobody"), "ray start left word of .* does not answer. Type ray stop"),
        ("node1", ValueError("Invalid address"), "Ray cannot join the cluster node1: Invalid address"),
        ("node1:6379", RuntimeError("Version mismatch"), "Ray cannot join the cluster node1:6379: Version mismatch"),
        ("ray://node1:10001", AssertionError(), "RAY_ADDRESS is ray://node1:10001, .* Give host:port"),
    ],
)
def test_cluster_that_cannot_be_joined_is_one_message(
    suite: SuiteOnDisk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    error: Exception,
    message: str,
) -> None:
    import ray

    def refuse(**given: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(MachineError, match=message):
        suite.walk(tmp_path / "run", executor=RAY)


@needs_ray
def test_no_process_of_ray_outlives_a_signal_to_all_and_nothing_is_left(
    suite: SuiteOnDisk, alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name:
        with Command(suite.arguments(out, "--executor", "ray"), {**os.environ, "TMPDIR": name}) as command:
            command.wait_until(lambda: parts(out))
            code, said = command.signal(signal.SIGTERM, everybody=True)  # to Ray's processes too, as in Slurm
        assert code in (143, 1), said
        command.assert_nobody_lives()
        if code == 143:  # else Ray has ended the walk at once, as it may when its own processes are gone first
            assert said.endswith(STOPPED)
            assert not list((Path(name) / f"pythia-geometry-{os.getuid()}").iterdir())
    assert 0 < parts(out) < parts(alone)
    suite.walk(out)
    assert_same_files(out, alone)


def test_without_ray_the_message_names_the_pip_command(
    suite: SuiteOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "pythia_geometry.runs.many.ray", raising=False)
    with pytest.raises(PythiaGeometryError, match=r"pip install 'pythia-geometry\[ray\]'"):
        suite.walk(tmp_path / "run", executor=RAY)
    assert not (tmp_path / "run").exists()


def test_executor_that_is_none(suite: SuiteOnDisk) -> None:
    with pytest.raises(PythiaGeometryError, match="--executor 'slurm' is not one of: local, ray"):
        suite.request(executor="slurm")

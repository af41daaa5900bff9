"""A walk on a Ray cluster ends with the tables of one process, byte for byte."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import RAY, make_plan
from pythia_geometry.store import RunFolder
from tests.runs.children import stop
from tests.runs.test_shards import assert_same_files
from tests.suites_on_disk import SuiteOnDisk, assert_same, tiny_suite

has_ray = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not has_ray, reason="Ray is not installed: pip install 'pythia-geometry[ray]'")
quiet = pytest.mark.filterwarnings("ignore")  # Ray's own: open files, future changes


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SuiteOnDisk:
    return tiny_suite(tmp_path_factory.mktemp("suite"))


@pytest.fixture(scope="module")
def alone(suite: SuiteOnDisk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    suite.walk(out)
    return out


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray = pytest.importorskip("ray")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield ray
        ray.shutdown()


class Watcher:
    """Does something after some checkpoints."""

    def __init__(self, after: int, then: Any) -> None:
        self.count, self.after, self.then = 0, after, then

    def stage(self, checkpoint: str, stage: str) -> None:
        pass

    def finished(self, checkpoint: str, detail: str) -> None:
        self.count += 1
        if self.count == self.after:
            self.then()


@needs_ray
@quiet
def test_two_workers_give_the_files_of_one_process_and_continue_after_a_stop(
    suite: SuiteOnDisk, alone: Path, tmp_path: Path, two_workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, plan = tmp_path / "run", make_plan(suite.request(executor=RAY))

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        walk(plan, out, Watcher(2, interrupt))
    assert len(RunFolder(out)._parts()) == 2
    monkeypatch.setattr("pythia_geometry.runs.one_run.capture", stop)  # nothing is computed in this process
    rest = Watcher(99, stop)
    walk(plan, out, rest)
    assert rest.count == 7
    assert_same_files(out, alone)
    assert not list(out.rglob(".tmp-*"))


@needs_ray
@quiet
def test_broken_checkpoint_is_a_row_as_on_one_machine(tmp_path: Path, two_workers: Any) -> None:
    suite = tiny_suite(tmp_path, (0, 3, 9))
    suite.weights(3).write_bytes(b"no weights")
    assert_same(suite.walk(tmp_path / "run", executor=RAY), suite.walk(tmp_path / "alone"))
    assert CheckpointError.__name__ not in str(RunFolder(tmp_path / "run").tables().checkpoints["detail"])


@pytest.mark.slow
@needs_ray
@quiet
def test_node_that_is_lost_in_the_middle_costs_nothing_but_time(tmp_path: Path) -> None:
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()
    suite = tiny_suite(tmp_path, tuple(range(0, 40, 2)))
    suite.walk(tmp_path / "alone")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    lost = cluster.add_node(num_cpus=1)
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        assert ray.cluster_resources()["CPU"] == 2
        kill = partial(cluster.remove_node, lost, allow_graceful=False)
        watcher = Watcher(3, kill)
        walk(make_plan(suite.request(executor=RAY)), tmp_path / "run", watcher)
        assert watcher.count == 20
        assert lost not in cluster.list_all_nodes()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert_same_files(tmp_path / "run", tmp_path / "alone")


def test_without_ray_the_message_names_the_pip_command(
    suite: SuiteOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "pythia_geometry.runs.ray", raising=False)
    with pytest.raises(PythiaGeometryError, match=r"pip install 'pythia-geometry\[ray\]'"):
        suite.walk(tmp_path / "run", executor=RAY)
    assert not (tmp_path / "run").exists()


def test_executor_that_is_none(suite: SuiteOnDisk) -> None:
    with pytest.raises(PythiaGeometryError, match="--executor 'slurm' is not one of: local, ray"):
        suite.request(executor="slurm")

"""The walk on a Ray cluster: tasks of a few checkpoints each, on whatever machine is free.

A task sends back each checkpoint's files as soon as it has them; this process alone writes the walk's run folder. The
tasks of a machine that is lost run again on others.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import platform
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from pythia_geometry.errors import CheckpointError, MachineError, PythiaGeometryError
from pythia_geometry.runs.cluster_task import Files, Room, Work, capture_some, put_files
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.one_run import Elsewhere
from pythia_geometry.runs.places import sweep
from pythia_geometry.runs.plan import Plan, Request
from pythia_geometry.store import RunFolder, disk_errors

try:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as missing:
    raise PythiaGeometryError(
        "--executor ray needs Ray, which is not installed. Type: pip install 'pythia-geometry[ray]'"
    ) from missing

RETRIES = 10
"""How many machines may be lost under one task."""

LARGEST_TASK = 8
"""Distinct weights a task at most: what a lost machine can cost, of which only the first is waited for."""

MANY = 1000
"""Places on a machine where nothing bounds them."""

PASSED_ON = ("HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")
"""Settings of the Hub that tasks take from this process. No token: Ray writes a task's settings into its logs."""

Pending = dict[Any, tuple[Ledger, list[Work]]]
"""By the stream of a task's results: what is still to come of it."""


def capture_on_cluster(plan: Plan, ledgers: Sequence[Ledger]) -> Elsewhere:
    """Captures on the cluster whatever the run folder lacks; says which checkpoints were tried.

    Connects to the cluster that `RAY_ADDRESS` names or that runs on this machine; else starts Ray on this machine.

    Raises:
        MachineError: If a task was lost for good; what has arrived is kept.
        PythiaGeometryError: What a task met that was no fault of a checkpoint.
    """
    work = {id(ledger): _work(ledger) for ledger in ledgers}
    if not any(work.values()):
        return {}
    with _connected() as is_ours:
        needs = _needs(plan.request)
        room = _room(plan, work.values(), ledgers[0].folder, _tasks_at_once(needs, ray.nodes()))
        n_weights = sum(len(_by_weights(of_run)) for of_run in work.values())
        size = min(LARGEST_TASK, math.ceil(n_weights / (2 * sum(_tasks_at_once(needs, ray.nodes())) or 1)))
        remote: Any = ray.remote(capture_some).options(num_returns="streaming", max_retries=RETRIES, **needs)
        pending: Pending = {}
        try:
            for ledger in ledgers:
                run = ray.put(ledger.run)
                for some in _divided(work[id(ledger)], size):
                    pending[remote.remote(run, plan.request, room, some)] = (ledger, some)
            return _collect(pending)
        finally:
            if is_ours:  # asks Ray nothing: a signal to all processes of a job has perhaps ended it
                ray.shutdown()
                sweep(room.walk)
            else:
                _withdraw(pending, room.walk)


@contextmanager
def _connected() -> Iterator[bool]:
    """Ray, joined or started here unless the caller has joined it; whether it runs for this walk alone.

    Raises:
        MachineError: If no cluster answers where `RAY_ADDRESS` says.
    """
    if ray.is_initialized():
        yield False
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # as Ray will do by itself; without it Ray prints a warning about that
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        is_ours = _start_or_join()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts its own in this place
        yield is_ours
    finally:
        ray.shutdown()


def _start_or_join() -> bool:
    """Joins the cluster that `RAY_ADDRESS` names or that was started here, else starts Ray; whether it did."""
    try:
        context: Any = ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise MachineError(
            f"No Ray cluster answers at {os.environ.get('RAY_ADDRESS')}, where RAY_ADDRESS says. Type ray start there, "
            "or unset RAY_ADDRESS to start Ray on this machine"
        ) from error
    session: str = context.address_info["session_dir"]  # its name ends in the process that started Ray
    return session.endswith(f"_{os.getpid()}")


# -- how the work is divided ----------------------------------------------------------------------------


def _work(ledger: Ledger) -> list[Work]:
    """Checkpoints that lack a forward pass."""
    todo = [(c, [encoded.probe.name for encoded in ledger.todo(c)]) for c in ledger.run.usable]
    return [(c, names) for c, names in todo if names]


def _by_weights(work: Sequence[Work]) -> list[list[Work]]:
    """Checkpoints with the same weights together, so that one task fetches them once."""
    found: dict[str, list[Work]] = {}
    for checkpoint, names in work:
        found.setdefault(checkpoint.weight_sha256 or checkpoint.label, []).append((checkpoint, names))
    return list(found.values())


def _divided(work: Sequence[Work], size: int) -> list[list[Work]]:
    """Tasks of at most so many distinct weights."""
    groups = _by_weights(work)
    return [[one for group in groups[i : i + size] for one in group] for i in range(0, len(groups), size)]


def _needs(request: Request) -> dict[str, Any]:
    """What one task takes: a GPU where the cluster has any, else CPU threads; and the Hub's settings."""
    gpus = int(request.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        "num_cpus": request.threads or 1,
        "num_gpus": gpus,
        **({"runtime_env": {"env_vars": passed_on}} if passed_on else {}),
    }


def _tasks_at_once(needs: dict[str, Any], nodes: Sequence[dict[str, Any]]) -> list[int]:
    """How many tasks each living machine has room for."""
    has = [node["Resources"] for node in nodes if node["Alive"]]
    asked = [(kind, needs[name]) for kind, name in (("CPU", "num_cpus"), ("GPU", "num_gpus")) if needs[name]]
    return [min(int(held.get(kind, 0) // amount) for kind, amount in asked) for held in has]


def _room(plan: Plan, work: Any, folder: RunFolder, at_once: Sequence[int]) -> Room:
    """`--disk` in equal parts for the tasks of one machine: as many as have room for their largest checkpoint."""
    name = f"{platform.node()} {folder.path.resolve()}"
    walk = hashlib.sha256(name.encode()).hexdigest()[:12]
    suites = {c.label: run.suite for run in plan.runs for c in run.usable}
    largest = max(suites[c.label].bytes_to_download(c) for of_run in work for c, _ in of_run)
    if not plan.request.disk or largest == 0:
        return Room(walk, MANY, plan.disk_budget)
    places = max(1, min(plan.disk_budget // largest, max(at_once)))
    return Room(walk, places, plan.disk_budget // places)


# -- what comes back -------------------------------------------------------------------------------------


def _collect(pending: Pending) -> Elsewhere:
    """Takes results into the run folder as they arrive."""
    elsewhere: dict[str, CheckpointError | None] = {}
    while pending:
        ready, _ = ray.wait(list(pending), num_returns=1)
        stream: Any = ready[0]
        ledger, to_come = pending[stream]
        try:
            returned: Files | Exception = ray.get(next(stream))
        except ray.exceptions.RayError as error:
            raise MachineError(
                f"{to_come[0][0].label} was lost on the Ray cluster: {error} What has arrived is kept: type the same "
                "command to continue"
            ) from error
        label = to_come.pop(0)[0].label
        if not to_come:
            del pending[stream]
        if isinstance(returned, CheckpointError):
            elsewhere[label] = returned
        elif isinstance(returned, Exception):
            raise returned
        else:
            _take(ledger, returned)
            elsewhere[label] = None
        ledger.progress.finished(label, str(elsewhere[label] or ""))
    return elsewhere


def _take(ledger: Ledger, files: Files) -> None:
    """Unpacks a checkpoint's run folder beside the parts, and moves what it holds to its place."""
    with disk_errors(ledger.folder.path), TemporaryDirectory(prefix=".tmp-", dir=ledger.folder.path) as name:
        put_files(files, RunFolder(name).path)
        ledger.folder.take(RunFolder(name))
    ledger.done = ledger.folder.done()


def _withdraw(pending: Pending, walk: str) -> None:
    """Ends what still runs, and removes what that left on every machine that answers within seconds."""
    for stream in pending:
        ray.cancel(stream, force=True)
    living = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    on = [NodeAffinitySchedulingStrategy(node, soft=False) for node in living]
    sweeps = [ray.remote(sweep).options(num_cpus=0, max_retries=0, scheduling_strategy=s).remote(walk) for s in on]
    ray.wait(sweeps, num_returns=len(sweeps), timeout=10)

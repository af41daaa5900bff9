"""The walk on a Ray cluster: tasks of a few checkpoints each, on whatever machine is free.

A task sends back each checkpoint's files as soon as it has them; this process alone writes the walk's run folder. The
tasks of a machine that is lost run again on others.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pythia_geometry.errors import CheckpointError, MachineError, PythiaGeometryError
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.many.cluster_shares import divided, room, task_size, tasks_at_once, work_of
from pythia_geometry.runs.many.cluster_task import Files, Work, capture_some, take
from pythia_geometry.runs.many.places import sweep
from pythia_geometry.runs.one_run.walk import Elsewhere
from pythia_geometry.runs.plan import Plan
from pythia_geometry.runs.request import Request

try:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as missing:
    raise PythiaGeometryError(
        "--executor ray needs Ray, which is not installed. Type: pip install 'pythia-geometry[ray]'"
    ) from missing

RETRIES = 10
"""How many machines may be lost under one task."""

PASSED_ON = ("HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")
"""Settings of the Hub that tasks take from this process. No token: Ray writes a task's settings into its logs."""

Pending = dict[Any, tuple[Ledger, list[Work]]]
"""By the stream of a task's results: what is still to come of it."""


def capture_on_cluster(plan: Plan, ledgers: Sequence[Ledger]) -> Elsewhere:
    """Captures on the cluster whatever the run folder lacks; says which checkpoints were tried.

    Joins the cluster that `RAY_ADDRESS` names or that was started here with `ray start`; else starts Ray itself.

    Raises:
        MachineError: If a task was lost for good; what has arrived is kept.
        PythiaGeometryError: What a task met that was no fault of a checkpoint.
    """
    work = [work_of(ledger) for ledger in ledgers]
    if not any(work):
        return {}
    with _connected() as is_ours:
        needs = _needs(plan.request)
        at_once = tasks_at_once(needs, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        size, here = task_size(work, at_once), room(plan, work, ledgers[0].folder, at_once)
        remote: Any = ray.remote(capture_some).options(num_returns="streaming", max_retries=RETRIES, **needs)
        pending: Pending = {}
        try:
            for ledger, of_run in zip(ledgers, work, strict=True):
                run = ray.put(ledger.run)
                for some in divided(of_run, size):
                    pending[remote.remote(run, plan.request, here, some)] = (ledger, some)
            return _collect(pending)
        finally:
            if is_ours:  # asks Ray nothing: a signal to all processes of a job has perhaps ended it
                ray.shutdown()
                sweep(here.walk)
            else:
                _withdraw(pending, here.walk)


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
    address = os.environ.get("RAY_ADDRESS", "")
    if "://" in address:
        raise MachineError(
            f"RAY_ADDRESS is {address}, and a walk is no client of a cluster but part of it. Give host:port, as "
            "node1:6379, on one of its machines"
        )
    try:
        context: Any = ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise MachineError(
            f"No Ray cluster answers at {address}, where RAY_ADDRESS says. Type ray start there, or unset RAY_ADDRESS "
            "to start Ray on this machine"
            if address
            else "The Ray cluster that ray start left word of on this machine does not answer. Type ray stop, and the "
            "walk starts Ray by itself"
        ) from error
    except (ValueError, RuntimeError) as error:  # no host:port; another version of Ray or Python
        raise MachineError(f"Ray cannot join the cluster {address}: {error}") from error
    session: str = context.address_info["session_dir"]  # its name ends in the process that started Ray
    return session.endswith(f"_{os.getpid()}")


def _needs(request: Request) -> dict[str, Any]:
    """What one task takes: a GPU where the cluster has any, else CPU threads; and the Hub's settings."""
    gpus = int(request.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        "num_cpus": request.threads or 1,
        "num_gpus": gpus,
        **({"runtime_env": {"env_vars": passed_on}} if passed_on else {}),
    }


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
            take(ledger, returned)
            elsewhere[label] = None
        ledger.progress.finished(label, str(elsewhere[label] or ""))
    return elsewhere


def _withdraw(pending: Pending, walk: str) -> None:
    """Ends what still runs, and removes what that left on every machine that answers within seconds."""
    for stream in pending:
        ray.cancel(stream, force=True)
    living = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    on = [NodeAffinitySchedulingStrategy(node, soft=False) for node in living]
    sweeps = [ray.remote(sweep).options(num_cpus=0, max_retries=0, scheduling_strategy=s).remote(walk) for s in on]
    ray.wait(sweeps, num_returns=len(sweeps), timeout=10)

"""The walk on a Ray cluster: one task a checkpoint, on whatever machine is free.

A task runs its probes and measures in a run folder of its own, and sends that folder's files back; this process alone
writes the walk's run folder. A task of a machine that is lost runs again on another one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from pythia_geometry.errors import CheckpointError, MachineError, PythiaGeometryError
from pythia_geometry.extraction.models import SuiteModel
from pythia_geometry.runs.fetch import Fetcher, Wanted
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.one_run import Elsewhere, RunWalk
from pythia_geometry.runs.plan import Request, RunPlan
from pythia_geometry.runs.progress import Silent
from pythia_geometry.store import CACHES, RunFolder, disk_errors
from pythia_geometry.suites.checkpoint import Checkpoint

try:
    import ray
except ImportError as missing:
    raise PythiaGeometryError(
        "--executor ray needs Ray, which is not installed. Type: pip install 'pythia-geometry[ray]'"
    ) from missing

RETRIES = 10
"""How many machines may be lost under one task."""

Files = Mapping[str, bytes]


class Returned(NamedTuple):
    """What a task sends back: the files of its run folder, or why the checkpoint cannot be used."""

    files: Files
    status: str = ""
    detail: str = ""


def capture_on_cluster(ledgers: Sequence[Ledger]) -> Elsewhere:
    """Captures on the cluster whatever the run folder lacks; says which checkpoints were tried.

    Connects to the cluster that `RAY_ADDRESS` names or that runs on this machine; else starts Ray on this machine.

    Raises:
        MachineError: If a task was lost for good; what has arrived is kept.
    """
    work = [(ledger, c, [e.probe.name for e in todo]) for ledger in ledgers for c in ledger.run.usable
            if (todo := ledger.todo(c))]  # fmt: skip
    if not work:
        return {}
    was_connected = ray.is_initialized()
    if not was_connected:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # as Ray will do by itself; without it Ray prints a warning about that
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    pending: dict[Any, tuple[Ledger, Checkpoint]] = {}
    try:
        plans = {id(ledger): ray.put(ledger.run) for ledger in ledgers}
        task = _task(ledgers[0].request)
        for ledger, checkpoint, names in work:
            pending[task(plans[id(ledger)], ledger.request, checkpoint, names)] = (ledger, checkpoint)
        return _collect(pending)
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)
        if not was_connected:
            ray.shutdown()


def _task(request: Request) -> Callable[..., Any]:
    """The remote function with what one task needs: a GPU where the cluster has any, else CPU threads."""
    gpus = int(request.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)
    remote: Any = ray.remote(_capture).options(num_cpus=request.threads or 1, num_gpus=gpus, max_retries=RETRIES)
    call: Callable[..., Any] = remote.remote
    return call


def _collect(pending: dict[Any, tuple[Ledger, Checkpoint]]) -> Elsewhere:
    """Takes results into the run folder as they arrive."""
    elsewhere: dict[str, CheckpointError | None] = {}
    while pending:
        (arrived,), _ = ray.wait(list(pending), num_returns=1)
        ledger, checkpoint = pending.pop(arrived)
        try:
            returned: Returned = ray.get(arrived)
        except ray.exceptions.RayError as error:
            raise MachineError(
                f"{checkpoint.label} was lost on the Ray cluster: {error} What has arrived is kept: type the same "
                "command to continue"
            ) from error
        error_here = CheckpointError(returned.detail, returned.status) if returned.detail else None
        if error_here is None:
            _take(ledger, returned.files)
        elsewhere[checkpoint.label] = error_here
        ledger.progress.finished(checkpoint.label, returned.detail)
    return elsewhere


def _take(ledger: Ledger, files: Files) -> None:
    """Unpacks a task's run folder beside the parts, and moves what it holds to its place."""
    with disk_errors(ledger.folder.path), TemporaryDirectory(prefix=".tmp-", dir=ledger.folder.path) as name:
        for path, content in files.items():
            file = Path(name) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        ledger.folder.take(RunFolder(name))
    ledger.done = ledger.folder.done()


# -- on the machines of the cluster ---------------------------------------------------------------------

_models: dict[tuple[str, str, str], SuiteModel] = {}
"""The model of the last task of this process: the next one only swaps its weights."""


def _capture(run: RunPlan, request: Request, checkpoint: Checkpoint, names: Sequence[str]) -> Returned:
    """Runs probes through one checkpoint; the task."""
    with TemporaryDirectory(prefix="pythia-geometry-") as name:
        folder = RunFolder(name)
        ledger = Ledger(run, request, folder, Silent())
        todo = [encoded for encoded in run.probes if encoded.probe.name in names]
        key = (run.suite.origin, request.dtype, request.device)
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(1) as measurer:
            wanted = [Wanted(run.suite, checkpoint)]
            with Fetcher(wanted, folder.downloads, max(1, wanted[0].cost)) as fetcher:
                walk = RunWalk(ledger, measurer, fetcher, _models.get(key))
                try:
                    walk.capture(checkpoint, todo)
                except CheckpointError as error:
                    return Returned({}, error.status, str(error))
        _models.clear()
        if walk.model is not None:
            _models[key] = walk.model
        files = [p for kind in ("parts", *CACHES) for p in sorted((folder.path / kind).rglob("*")) if p.is_file()]
        return Returned({str(p.relative_to(folder.path)): p.read_bytes() for p in files})

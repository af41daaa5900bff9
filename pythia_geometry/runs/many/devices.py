"""One walk on several devices of this machine: a process for each, which walks a shard.

    pythia-geom … --device cuda:0,cuda:1

The process that was typed shows their progress and takes their shards in; the rest of the walk cannot tell that from
an earlier walk. A process ends as soon as its pipe to this one closes: none survives this one, whatever ends it.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from pythia_geometry.errors import CheckpointError, MachineError
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.many import device_worker
from pythia_geometry.runs.many.device_worker import DAMAGED, ERROR, FINISHED, LOST, STAGE
from pythia_geometry.runs.many.shards import Shard, gather
from pythia_geometry.runs.one_run.walk import Elsewhere
from pythia_geometry.runs.plan import Plan
from pythia_geometry.runs.progress import Progress


@dataclass(frozen=True)
class Worker:
    """A process that walks a shard on one device."""

    device: str
    process: subprocess.Popen[bytes]
    pipe: Connection

    def lost(self) -> MachineError:
        """What to say where it ended before its work did."""
        code = self.process.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        why = "; signal 9 is often the machine running out of memory" if code == -9 else ""
        return MachineError(
            f"The process of {self.device} {how}{why}. What was finished is kept: type the same command to continue"
        )


def capture_on_devices(plan: Plan, ledgers: Sequence[Ledger]) -> Elsewhere:
    """Captures whatever the run folder lacks, and takes it in; says which checkpoints were tried.

    Raises:
        PythiaGeometryError: What a process met that was no fault of a checkpoint; the others are ended, and what
            was finished stays in the shards for the next walk.
    """
    folder, progress = ledgers[0].folder, ledgers[0].progress
    with ExitStack() as processes:
        workers = [
            processes.enter_context(_worker(device, (_on(plan, device), shard, folder.path)))
            for device, shard in _shares(plan, ledgers)
        ]
        tried = _listen(workers, progress)
    gather(folder)
    for ledger in ledgers:
        ledger.done = folder.done()
    return tried


def _shares(plan: Plan, ledgers: Sequence[Ledger]) -> list[tuple[str, Shard]]:
    """The devices for which anything is left to do, each with its shard."""
    lacking = {c.label for ledger in ledgers for c in ledger.run.usable if ledger.todo(c)}
    shares = zip(plan.request.devices, shards_of(plan), strict=True)
    return [(d, s) for d, s in shares if any(c.label in lacking for run in s.of(plan).runs for c in run.usable)]


def shards_of(plan: Plan) -> list[Shard]:
    """One for each device; none where one process walks all."""
    count = plan.request.n_shares
    return [Shard(i, count) for i in range(1, count + 1)] if count > 1 else []


def _on(plan: Plan, device: str) -> Plan:
    """The plan of one process: its own device, and its share of the disk."""
    disk = f"{plan.disk_budget // plan.request.n_shares}B" if plan.request.disk else ""
    return replace(plan, request=replace(plan.request, device=device, disk=disk))


@contextmanager
def _worker(device: str, work: object) -> Iterator[Worker]:
    """Starts a process; it does not outlive the block."""
    ours, theirs = Pipe()
    command = [sys.executable, "-P", "-m", device_worker.__name__, str(theirs.fileno())]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    # a process group of its own: Ctrl-C is for this process, which then ends the others
    process = subprocess.Popen(command, env=here, pass_fds=[theirs.fileno()], process_group=0)  # noqa: S603
    try:
        theirs.close()
        with suppress(OSError):  # where it could not start; heard of in _listen
            ours.send_bytes(pickle.dumps(work))
        yield Worker(device, process, ours)
    finally:
        process.kill()
        process.wait()
        ours.close()


def _listen(workers: Sequence[Worker], progress: Progress) -> Elsewhere:
    """Passes on what the processes tell, until all are through."""
    tried: dict[str, CheckpointError | None] = {}
    open_pipes = {worker.pipe: worker for worker in workers}
    while open_pipes:
        for pipe in wait(list(open_pipes)):
            assert isinstance(pipe, Connection)
            try:
                kind, *what = pipe.recv()
            except (EOFError, OSError):
                raise open_pipes[pipe].lost() from None
            if kind == STAGE:
                progress.stage(*what)
            elif kind == FINISHED:
                progress.finished(*what)
            elif kind == DAMAGED:
                progress.damaged(*what)
            elif kind == LOST:
                progress.lost(*what)
            elif kind == ERROR:
                raise what[0]
            else:
                tried.update(what[0])
                del open_pipes[pipe]
    return tried

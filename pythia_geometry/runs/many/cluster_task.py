"""What one task of a cluster does on its machine: some checkpoints of one run, the next downloading meanwhile.

It keeps weights, and a run folder for each checkpoint, in a place of its own on that machine's disk, and hands out the
folders' files, which the walk's own process takes in. It knows no Ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from threadpoolctl import threadpool_limits

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.runs.fetching.ahead import Wanted
from pythia_geometry.runs.fetching.files import Fetcher
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.many.places import place
from pythia_geometry.runs.one_run.loader import Loader
from pythia_geometry.runs.one_run.measuring import Measuring
from pythia_geometry.runs.plan import RunPlan
from pythia_geometry.runs.progress import Silent
from pythia_geometry.runs.request import Request
from pythia_geometry.store.manifest_file import CACHES
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.writing import disk_errors
from pythia_geometry.suites.checkpoint import Checkpoint

Files = Mapping[str, bytes]
Work = tuple[Checkpoint, Sequence[str]]
"""A checkpoint, and the names of the probes to run through it."""


@dataclass(frozen=True)
class Room:
    """What a walk may keep on the disk of one machine.

    Attributes:
        walk: Name of the walk.
        places: How many of its tasks may keep weights at a time; others wait.
        budget: Bytes of weights that each of them may keep.
    """

    walk: str
    places: int
    budget: int


_models: dict[tuple[str, str, str], SuiteModel] = {}
"""The model of the last task of this process, its head checked: the next one only swaps its weights."""


def capture_some(run: RunPlan, request: Request, room: Room, work: Sequence[Work]) -> Iterator[Files | Exception]:
    """Runs probes through some checkpoints, and measures.

    Yields:
        For each checkpoint in turn the files of a run folder with its results, or why it cannot be used. An error that
        is not of one checkpoint is the last.
    """
    try:
        yield from _capture_each(run, request, room, work)
    except PythiaGeometryError as error:
        yield error


def _capture_each(
    run: RunPlan, request: Request, room: Room, work: Sequence[Work]
) -> Iterator[Files | CheckpointError]:
    key = (run.suite.origin, request.dtype, request.device)
    wanted = [Wanted(run.suite, checkpoint) for checkpoint, _ in work]
    with (
        place(room.walk, room.places) as here,
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(1) as measurer,
        Fetcher(wanted, here / "downloads", room.budget) as fetcher,
    ):
        loader = Loader(run, request, fetcher, Silent(), model=_models.pop(key, None))
        _models.clear()
        for number, (checkpoint, names) in enumerate(work):
            ledger = Ledger(run, request, RunFolder(here / str(number)), Silent())
            try:
                probes = [encoded for encoded in run.probes if encoded.probe.name in names]
                Measuring(ledger, loader, measurer).walk(checkpoint, probes, ())
                yield _files(ledger.folder)
            except CheckpointError as error:
                yield error
        if loader.model is not None:
            _models[key] = loader.model


def _files(folder: RunFolder) -> Files:
    """Activations and parts, by their paths inside the folder; the folder is emptied."""
    paths = [p for kind in ("parts", *CACHES) for p in sorted((folder.path / kind).rglob("*")) if p.is_file()]
    files = {str(path.relative_to(folder.path)): path.read_bytes() for path in paths}
    for path in paths:
        path.unlink()
    return files


def take(ledger: Ledger, files: Files) -> None:
    """Moves what a task has sent into the walk's own run folder, which is held for writing.

    Raises:
        MachineError: If the disk gives out.
    """
    mine = ledger.folder
    with disk_errors(mine.path), TemporaryDirectory(prefix=".tmp-", dir=mine.path) as name:
        sent = RunFolder(name)
        for inside, content in files.items():
            path = sent.path / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        mine.take(sent, ledger.done)

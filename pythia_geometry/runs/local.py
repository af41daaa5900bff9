"""The walk on one machine: every chosen checkpoint through every probe, once.

What shards, other devices or the machines of a Ray cluster have computed is taken into the run folder first; the rest
of the walk cannot tell it from what an earlier walk left. A thread fetches the checkpoints that come next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from threadpoolctl import threadpool_limits

from pythia_geometry.extraction.probes.benchmark_items import frozen_name, frozen_text
from pythia_geometry.extraction.probes.probes import frozen_of
from pythia_geometry.runs.fetching.files import empty_downloads
from pythia_geometry.runs.fetching.weights import weights_ahead
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.manifest import replaced_since, updated_manifest
from pythia_geometry.runs.many.devices import capture_on_devices, shards_of
from pythia_geometry.runs.many.shards import gather
from pythia_geometry.runs.one_run.held import Held
from pythia_geometry.runs.one_run.loader import Loader
from pythia_geometry.runs.one_run.measuring import Measuring, measuring_threads
from pythia_geometry.runs.one_run.walk import Elsewhere, RunWalk, wanted
from pythia_geometry.runs.plan import Plan
from pythia_geometry.runs.progress import Progress, Silent
from pythia_geometry.runs.request import RAY
from pythia_geometry.store.manifest_file import PROBES
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import Tables


def walk(plan: Plan, out: str | Path, progress: Progress | None = None) -> Tables:
    """Computes whatever of the plan the run folder lacks, and returns all its tables.

    Args:
        plan: What to do.
        out: The run folder; made if it does not exist, continued if it does.
        progress: Told of every step.

    Raises:
        PythiaGeometryError: If the folder is another model's.
        MachineError: If the disk or the network gives out, or a shard is still being walked; what was finished
            is kept.
    """
    watcher = progress or Silent()
    folder = RunFolder(out, watcher.damaged)
    capture_elsewhere = _executor(plan)
    updated_manifest(folder.manifest(), plan)  # refuses another model's folder before anything is made
    with (
        folder.writing(),
        threadpool_limits(1, user_api="blas"),
        measuring_threads(plan.request.resolved_device) as measurer,
    ):
        gather(folder, walked_on=shards_of(plan))
        if plan.request.is_divided:  # the others fetch now, and what lies here would come on top
            empty_downloads(folder.downloads)
        held = folder.manifest()
        folder.write_manifest(updated_manifest(held, plan, replaced_since(held, plan)))
        _freeze(plan, folder)
        ledgers = [Ledger(run, plan.request, folder, watcher) for run in plan.runs]
        elsewhere = capture_elsewhere(ledgers)
        ahead = [one for ledger in ledgers for one in wanted(ledger, elsewhere)]
        with weights_ahead(ahead, plan.span_sources, folder.downloads, plan.disk_budget) as fetcher:
            for ledger in ledgers:
                loader = Loader(ledger.run, plan.request, fetcher, ledger.progress)
                RunWalk(Measuring(ledger, loader, measurer), Held(ledger, loader), elsewhere).all()
        tables = folder.write_tables()
        for label, count in folder.lost.items():
            watcher.lost(label, count)
        return tables


def _freeze(plan: Plan, folder: RunFolder) -> None:
    """Keeps the items of tasks of lm-eval, so that the next machine needs neither the harness nor the dataset."""
    frozen = (frozen_of(encoded.probe) for run in plan.runs for encoded in run.probes)
    files = {f"{PROBES}/{frozen_name(one)}": frozen_text(one) for one in frozen if one is not None}
    for name, text in files.items():
        folder.write_text(name, text)


def _executor(plan: Plan) -> Callable[[Sequence[Ledger]], Elsewhere]:
    """What captures on other machines or devices before this process walks the rest."""
    if plan.request.executor == RAY:
        from pythia_geometry.runs.many.ray import capture_on_cluster

        return partial(capture_on_cluster, plan)
    if plan.request.n_shares > 1:
        return partial(capture_on_devices, plan)
    return lambda ledgers: {}

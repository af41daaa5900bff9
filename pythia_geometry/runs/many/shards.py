"""One walk by several processes that know nothing of each other: each walks a share into a run folder of its own.

    pythia-geom … --shard 1/4      writes runs/MODEL/shards/1-of-4, and nothing else
    pythia-geom …                  takes the shards in, walks what is missing, compares, writes the tables

A shard runs probes through its checkpoints and measures. Comparisons need the activations of other checkpoints, so
the last command makes all of them; for it what the shards have left is an earlier walk that was stopped.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from pythia_geometry.errors import CheckpointError, PythiaGeometryError
from pythia_geometry.extraction.probes.encoding import EncodedProbe
from pythia_geometry.runs.fetching.ahead import Wanted
from pythia_geometry.runs.fetching.weights import weights_ahead
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.manifest import updated_manifest
from pythia_geometry.runs.one_run.loader import Loader
from pythia_geometry.runs.one_run.measuring import Measuring, measuring_threads
from pythia_geometry.runs.one_run.walk import Elsewhere
from pythia_geometry.runs.plan import Plan, RunPlan
from pythia_geometry.runs.progress import Progress, Silent
from pythia_geometry.runs.work import Alone
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.suites.checkpoint import Checkpoint


@dataclass(frozen=True)
class Shard:
    """One of several equal shares of a walk, counted from 1."""

    index: int
    count: int

    @property
    def name(self) -> str:
        """Name of its folder: `2-of-4`."""
        return f"{self.index}-of-{self.count}"

    def of(self, plan: Plan) -> Plan:
        """The plan's share: every `count`-th usable checkpoint over all runs, whatever is already done.

        Checkpoints with the same weights count as one, so that no two shards fetch the same file.
        """
        weights = list(dict.fromkeys(c.weights for run in plan.runs for c in run.usable))
        mine = set(weights[self.index - 1 :: self.count])
        runs = [replace(run, checkpoints=tuple(c for c in run.usable if c.weights in mine)) for run in plan.runs]
        return replace(plan, runs=tuple(runs))


def parse_shard(text: str) -> Shard:
    """Reads `2/4`.

    Raises:
        PythiaGeometryError: If it is not i/n with i from 1 to n.
    """
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if match is None:
        raise PythiaGeometryError(f"--shard does not understand {text!r}. Expected i/n, such as 1/4: the first of four")
    index, count = int(match[1]), int(match[2])
    if count == 0:
        raise PythiaGeometryError(f"--shard {text}: a walk has at least one shard. Expected i/n, such as 1/4")
    if not 1 <= index <= count:
        raise PythiaGeometryError(
            f"--shard {text}: shards are counted from 1 to {count}. Type --shard 1/{count}"
            + (f" … --shard {count}/{count}" if count > 1 else "")
        )
    return Shard(index, count)


def walk_shard(plan: Plan, shard: Shard, out: str | Path, progress: Progress | None = None) -> Elsewhere:
    """Runs the shard's checkpoints that neither the run folder nor the shard's own has; says what became of each.

    Args:
        plan: The whole plan.
        shard: Which share of it.
        out: The run folder; only `shards/<i>-of-<n>` in it is written.
        progress: Told of every step.

    Raises:
        PythiaGeometryError: If the folder is another model's.
        MachineError: If the disk or the network gives out; what was finished is kept.
    """
    folder = RunFolder(out)
    updated_manifest(folder.manifest(), plan)  # refuses another model's folder before anything is made
    watcher = progress or Silent()
    mine = RunFolder(out, watcher.damaged).shard(shard.name)
    share = shard.of(plan)
    with (
        mine.writing(),
        threadpool_limits(1, user_api="blas"),
        measuring_threads(plan.request.resolved_device) as measurer,
    ):
        mine.write_manifest(updated_manifest(mine.manifest(), plan))
        shares = [
            _Share(run, Ledger(run, plan.request, mine, watcher), Ledger(run, plan.request, folder, watcher))
            for run in share.runs
        ]
        wanted = [Wanted(one.run.suite, c) for one in shares for c in one.run.usable if one.lacks(c)]
        with weights_ahead(wanted, plan.span_sources, mine.downloads, plan.disk_budget) as fetcher:
            tried: dict[str, CheckpointError | None] = {}
            for one in shares:
                loader = Loader(one.run, plan.request, fetcher, watcher)
                tried |= {c.label: one.walk(Measuring(one.mine, loader, measurer), c) for c in one.run.usable}
            return tried


@dataclass(frozen=True)
class _Share:
    """What a shard has to do of one run: whatever both its own folder and the run folder lack.

    Measures of two checkpoints wait for the last command: a shard does not see a step's neighbours.
    """

    run: RunPlan
    mine: Ledger
    whole: Ledger

    def probes(self, checkpoint: Checkpoint) -> list[EncodedProbe]:
        names = {encoded.probe.name for encoded in self.whole.todo(checkpoint)}
        return [encoded for encoded in self.mine.todo(checkpoint) if encoded.probe.name in names]

    def alone(self, checkpoint: Checkpoint) -> list[Alone]:
        lacking = self.whole.todo_alone(checkpoint)
        return [one for one in self.mine.todo_alone(checkpoint) if one in lacking]

    def lacks(self, checkpoint: Checkpoint) -> bool:
        return bool(self.probes(checkpoint) or self.alone(checkpoint))

    def walk(self, measuring: Measuring, checkpoint: Checkpoint) -> CheckpointError | None:
        """Captures one checkpoint; says why where it cannot be used."""
        broken = None
        try:
            measuring.walk(checkpoint, self.probes(checkpoint), self.alone(checkpoint))
        except CheckpointError as error:
            broken = error
        self.mine.progress.finished(checkpoint.label, str(broken or ""))
        return broken


def gather(folder: RunFolder, walked_on: Collection[Shard] = ()) -> None:
    """Moves what the shards have computed into the run folder, which is held for writing.

    Args:
        folder: The run folder.
        walked_on: Shards that are left the weights which they have fetched.

    Raises:
        MachineError: If one of them is still being walked; nothing has been moved then.
    """
    with ExitStack() as locks:
        full = [shard for shard in folder.shards() if shard.is_begun]
        for shard in full:
            locks.enter_context(shard.writing())
        done = folder.done() if full else {}
        for shard in full:
            _keep_walks(folder, shard)  # first: parts without a manifest are no run folder
            folder.take(shard, done)
            shard.clear(but_downloads=shard.path.name in {one.name for one in walked_on})


def _keep_walks(folder: RunFolder, shard: RunFolder) -> None:
    """Adds to the run folder's manifest on what machine, with which versions, the shard was walked."""
    manifest = folder.manifest()
    held = manifest.get("walks", [])
    new = [walk for walk in shard.manifest().get("walks", []) if walk not in held]
    folder.write_manifest({**manifest, "walks": [*held, *new]})


def done_anywhere(folder: RunFolder) -> set[str]:
    """Identities of the work that is done, in the run folder or in a shard that was not taken in yet."""
    return set().union(*(each.done() for each in (folder, *folder.shards())))

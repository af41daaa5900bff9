"""How a cluster shares a walk: what one task takes on, and what it may keep on its machine's disk. It knows no Ray."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from pythia_geometry.errors import MachineError
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.many.cluster_task import Room, Work
from pythia_geometry.runs.plan import Plan
from pythia_geometry.store.run_folder import RunFolder

LARGEST_TASK = 8
"""Distinct weights a task at most: what a lost machine can cost, of which only the first is waited for."""

MANY = 1000
"""Places on a machine where nothing bounds them."""


def work_of(ledger: Ledger) -> list[Work]:
    """Checkpoints that lack a forward pass, with the probes that they lack."""
    todo = [(c, [encoded.probe.name for encoded in ledger.todo(c)]) for c in ledger.run.usable]
    return [(c, names) for c, names in todo if names]


def tasks_at_once(needs: Mapping[str, Any], machines: Sequence[Mapping[str, float]]) -> list[int]:
    """How many tasks each machine has room for.

    Args:
        needs: What one task takes, as `num_cpus` and `num_gpus`.
        machines: What each of them has, as `CPU` and `GPU`.

    Raises:
        MachineError: If none has room for one: Ray would wait for such a machine without a word.
    """
    asked = [(kind, needs[name]) for kind, name in (("CPU", "num_cpus"), ("GPU", "num_gpus")) if needs[name]]
    found = [min(int(has.get(kind, 0) // amount) for kind, amount in asked) for has in machines]
    if not any(found):
        takes = " and ".join(f"{amount} {kind}{'s' * (amount > 1)}" for kind, amount in asked)
        raise MachineError(
            f"No machine of the Ray cluster has {takes} for a task. Add one with ray start, or pass fewer --threads"
        )
    return found


def task_size(work: Sequence[Sequence[Work]], at_once: Sequence[int]) -> int:
    """Distinct weights a task: about two tasks for everyone who can run one, so that none waits long at the end.

    Args:
        work: Of every run.
        at_once: From `tasks_at_once`.
    """
    n_weights = sum(len(_by_weights(of_run)) for of_run in work)
    return min(LARGEST_TASK, math.ceil(n_weights / (2 * sum(at_once))))


def divided(work: Sequence[Work], size: int) -> list[list[Work]]:
    """Tasks of at most so many distinct weights; those of one run alone, so that one model serves a task."""
    groups = _by_weights(work)
    return [[one for group in groups[i : i + size] for one in group] for i in range(0, len(groups), size)]


def _by_weights(work: Sequence[Work]) -> list[list[Work]]:
    """Checkpoints with the same weights together, so that one task fetches them once."""
    found: dict[str, list[Work]] = {}
    for checkpoint, names in work:
        found.setdefault(checkpoint.weights, []).append((checkpoint, names))
    return list(found.values())


def room(plan: Plan, work: Sequence[Sequence[Work]], folder: RunFolder, at_once: Sequence[int]) -> Room:
    """`--disk` in equal parts for the tasks of one machine: as many as have room for their largest checkpoint.

    What this machine's Hub cache holds may be missing on the others.

    Args:
        plan: The plan.
        work: Of every run.
        folder: The run folder, after which the walk is named.
        at_once: From `tasks_at_once`.
    """
    name = f"{platform.node()} {folder.path.resolve()}"
    walk = hashlib.sha256(name.encode()).hexdigest()[:12]
    suites = {run.name: run.suite for run in plan.runs}
    largest = max(suites[c.run].most_to_download(c) for of_run in work for c, _ in of_run)
    if not plan.request.disk or largest == 0:
        return Room(walk, MANY, plan.disk_budget)
    places = min(plan.disk_budget // largest, max(at_once))
    return Room(walk, places, plan.disk_budget // places)

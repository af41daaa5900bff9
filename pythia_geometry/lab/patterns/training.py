"""Trains seeds of one design together, each in a folder of its own, and goes on where any of them was stopped.

Members that were stopped at different steps catch up first: the earliest are a stack until they meet the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pythia_geometry.lab.patterns.member import STATE, Member, Reading
from pythia_geometry.lab.patterns.network import Network
from pythia_geometry.lab.patterns.settings import PatternTraining
from pythia_geometry.lab.patterns.stacked import Donor, Stack, one_thread
from pythia_geometry.lab.suite_folder import LOSSES, is_finished
from pythia_geometry.store.writing import replacing, sync

READINGS = "readings.csv"
SAVE_SECONDS = 30.0  # what a kill can cost
SOLVED, PATIENCE = 0.99, 10  # accuracy over all outputs, at so many examinations in a row

Keep = Callable[[Member, Path], None]
Watch = Callable[[int, Sequence[Member]], None]
"""Called with the step and the members that made it."""


@dataclass(frozen=True)
class Schedule:
    """When members are looked at, and kept.

    Attributes:
        examine_every: Steps between examinations; the first is at step 0, the last at the end.
        kept: Steps at which `keep` is called.
        stops_when_solved: Whether a member is finished as soon as it has been right for ten examinations in a row.
    """

    examine_every: int = 25
    kept: Collection[int] = field(default_factory=frozenset)
    stops_when_solved: bool = False


def train(
    trainings: Sequence[PatternTraining],
    folders: Mapping[int, Path],
    schedule: Schedule,
    keep: Keep,
    watch: Watch = lambda step, members: None,
    donor: Donor | None = None,
    device: str = "cpu",
) -> None:
    """Trains all that is not finished.

    Args:
        trainings: They differ in their seeds alone.
        folders: Of each seed, existing; receives state, readings and losses.
        schedule: When to look and to keep.
        keep: Keeps a member as it is, in its folder.
        watch: Called after every update.
        donor: Patterns that are supplied (`Stack`), on the same device.
        device: Where the stack computes; members are kept on the CPU, and go on on any device.
    """
    network, steps = Network(trainings[0], device), trainings[0].steps
    seeds = [one.seed for one in trainings if not is_finished(folders[one.seed])]
    members = [Member.kept(network, seed, folders[seed]) for seed in seeds]
    with one_thread():
        while members:
            step = min(member.step for member in members)
            group = [member for member in members if member.step == step]
            until = min([member.step for member in members if member.step > step] + [steps])
            for done in _advance(network, group, until, folders, schedule, keep, watch, donor):
                members.remove(done)


def _advance(
    network: Network,
    group: Sequence[Member],
    until: int,
    folders: Mapping[int, Path],
    schedule: Schedule,
    keep: Keep,
    watch: Watch,
    donor: Donor | None,
) -> list[Member]:
    """Trains a stack up to a step, or until some of it are done; returns these."""
    steps, stack, saved_at = network.training.steps, Stack(network, group, donor), time.monotonic()
    while True:
        step = stack.step
        if step % schedule.examine_every == 0 or step == steps:
            stack.examine()
        is_kept, is_late = step in schedule.kept, time.monotonic() - saved_at > SAVE_SECONDS
        done = [m for m in group if step == steps or (schedule.stops_when_solved and is_solved(m.readings))]
        if is_kept or is_late or done or step == until:
            stack.write_back()
        for member in group:
            if is_kept:
                keep(member, folders[member.seed])
            if is_late or step == until:
                member.save(folders[member.seed])
        if is_late:
            saved_at = time.monotonic()
        for member in done:
            _finish(member, folders[member.seed])
        if done or step == until:
            return done
        stack.update()
        watch(stack.step, group)


def is_solved(readings: Sequence[Reading]) -> bool:
    """Whether accuracy over all outputs was .99 or more at the last ten examinations."""
    if not readings:
        return False
    n_outputs = 1 + readings[-1].output
    last = readings[-PATIENCE * n_outputs :]
    if len(last) < PATIENCE * n_outputs:
        return False
    means = [sum(one.accuracy for one in last[i : i + n_outputs]) / n_outputs for i in range(0, len(last), n_outputs)]
    return min(means) >= SOLVED


def _finish(member: Member, folder: Path) -> None:
    """Writes readings and losses, whose file marks the end, and drops the state."""
    with replacing(folder / READINGS) as temporary:
        pd.DataFrame(member.readings, columns=list(Reading._fields)).to_csv(temporary, index=False, float_format="%.6g")
    with replacing(folder / LOSSES) as temporary:
        temporary.write_text("step,loss\n" + "".join(f"{i},{value:.6g}\n" for i, value in enumerate(member.losses)))
    sync()
    (folder / STATE).unlink(missing_ok=True)

"""Two steps with the same weights: a branch that serves the wrong checkpoint makes a flat curve.

Whoever cannot be convicted is not accused: where nothing tells which of two is the wrong one, both are suspect.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pythia_geometry.suites.checkpoint import DUPLICATE, OK, SUSPECT, WRONG, Checkpoint, WeightFile

FIRST_UPDATE = frozenset({0, 1})
"""Steps that may share their weights: the learning rate of Pythia's first update is 0 (issue 83)."""

# A shard that so many different checkpoints share, and at least half of them, holds what training does not change.
_UNTRAINED = 8


def mark_duplicates(
    checkpoints: Iterable[Checkpoint], last_step: int, main: Checkpoint | None = None
) -> list[Checkpoint]:
    """Marks every checkpoint whose weights, or one shard of them, belong elsewhere.

    Whole weights: a group that shares its weights with `main`, or with the last step of the whole run, belongs to
    that last step (assumption A17), because the published fault is final-era weights served at early steps
    (EleutherAI/pythia issue 205). Where the last step shares its weights with earlier steps while `main` serves
    others, it is suspect too. Of earlier steps that share theirs, nothing tells whose they are: all are suspect.
    Step 0 = step 1 is expected and left alone.

    Single shards: a shard of `main` at an earlier step makes that step wrong (issue 206). Where two earlier
    steps share a shard and differ in others, one of them mixes two checkpoints, the hashes do not say which,
    and both are suspect.

    Args:
        checkpoints: The checkpoints of one run in one weight format, with hashes.
        last_step: The last step that the run has, chosen or not: the one that may equal `main`.
        main: What `main` serves in the same format, where known.

    Returns:
        The same checkpoints, in the same order; those marked carry a status and say why.
    """
    listed = list(checkpoints)
    usable = [c for c in listed if c.status == OK and c.weight_sha256]
    scene = _Scene(last_step, main, _by_whole(usable), _by_shard(usable))
    return [scene.mark(c) if c.status == OK and c.weight_sha256 else c for c in listed]


def _by_whole(checkpoints: Sequence[Checkpoint]) -> Mapping[str, list[Checkpoint]]:
    groups: dict[str, list[Checkpoint]] = defaultdict(list)
    for checkpoint in checkpoints:
        groups[checkpoint.weight_sha256].append(checkpoint)
    return groups


def _by_shard(checkpoints: Sequence[Checkpoint]) -> Mapping[str, list[Checkpoint]]:
    """By the sha256 of a shard, the checkpoints that hold it; untrained shards are left out."""
    holders: dict[str, list[Checkpoint]] = defaultdict(list)
    sharded = [c for c in checkpoints if len(c.files) > 1]
    for checkpoint in sharded:
        for file in checkpoint.files:
            holders[file.sha256].append(checkpoint)
    many = max(_UNTRAINED, len({c.weight_sha256 for c in sharded}) / 2)
    return {sha256: held for sha256, held in holders.items() if len({c.weight_sha256 for c in held}) < many}


@dataclass(frozen=True)
class _Scene:
    """Everything that one checkpoint is compared with."""

    last_step: int
    main: Checkpoint | None
    wholes: Mapping[str, list[Checkpoint]]
    shards: Mapping[str, list[Checkpoint]]

    def mark(self, checkpoint: Checkpoint) -> Checkpoint:
        group = self.wholes[checkpoint.weight_sha256]
        main_sha256 = self.main.weight_sha256 if self.main else ""
        if checkpoint.weight_sha256 == main_sha256 and checkpoint.step != self.last_step:
            return _same(checkpoint, "main")
        others = [c for c in group if c is not checkpoint]
        if others and {c.step for c in group} != FIRST_UPDATE:
            last = next((c for c in group if c.step == self.last_step), None)
            if last is None:
                return _undecided(checkpoint, others)
            if checkpoint is not last:
                return _same(checkpoint, last.name)
            if main_sha256:
                return self._doubtful_end(checkpoint, group)
        return self._mark_shards(checkpoint)

    def _doubtful_end(self, checkpoint: Checkpoint, group: Sequence[Checkpoint]) -> Checkpoint:
        if self.main is None or checkpoint.weight_sha256 == self.main.weight_sha256:
            return checkpoint
        earlier = ", ".join(c.name for c in group[:3] if c is not checkpoint)
        return replace(
            checkpoint, status=SUSPECT,
            detail=f"{checkpoint.label} shares its weights (sha256 {checkpoint.weight_sha256[:8]}…) with "
            f"{len(group) - 1} earlier steps ({earlier}{' …' if len(group) > 3 else ''}), and main serves others.",
        )  # fmt: skip

    def _mark_shards(self, checkpoint: Checkpoint) -> Checkpoint:
        for file in checkpoint.files if len(checkpoint.files) > 1 else ():
            others = [c for c in self.shards.get(file.sha256, []) if c.weight_sha256 != checkpoint.weight_sha256]
            is_final = file.sha256 in self.final
            if is_final and checkpoint.step != self.last_step:
                return _mixed(checkpoint, file, "main" if self.main else self._last_name, WRONG)
            # The last step may share its own shards with whoever holds them wrongly.
            if others and not is_final and {checkpoint.step, *(c.step for c in others)} != FIRST_UPDATE:
                return _mixed(checkpoint, file, others[-1].name, SUSPECT)
        return checkpoint

    @cached_property
    def _last_name(self) -> str:
        """How the suite calls the run's last step."""
        everyone = (c for group in self.wholes.values() for c in group)
        return next((c.name for c in everyone if c.step == self.last_step), f"step{self.last_step}")

    @cached_property
    def final(self) -> frozenset[str]:
        """Shards of the end of training that are trained at all: those of `main`, or else of the last step."""
        held = self.main.files if self.main else ()
        at_end = [c.files for group in self.wholes.values() for c in group if c.step == self.last_step]
        files = held or (at_end[0] if at_end else ())
        return frozenset(f.sha256 for f in files) & self.shards.keys()


def _same(checkpoint: Checkpoint, same_as: str) -> Checkpoint:
    detail = (
        f"{checkpoint.label} holds the same weights as {same_as} (sha256 {checkpoint.weight_sha256[:8]}…): "
        "its curve would be flat."
    )
    return replace(checkpoint, status=DUPLICATE, detail=detail)


def _undecided(checkpoint: Checkpoint, others: Sequence[Checkpoint]) -> Checkpoint:
    named = ", ".join(c.name for c in others[:3]) + (" …" if len(others) > 3 else "")
    detail = (
        f"{checkpoint.label} holds the same weights as {named} (sha256 {checkpoint.weight_sha256[:8]}…), and nothing "
        "tells whose they are."
    )
    return replace(checkpoint, status=SUSPECT, detail=detail)


def mark_across(runs: Sequence[Sequence[Checkpoint]]) -> list[list[Checkpoint]]:
    """Marks every checkpoint whose weights another run serves too: two seeds or two names cannot have trained the same.

    Nothing tells whose they are, so all are suspect. First steps may be the same (`FIRST_UPDATE`): runs may start
    alike. Stages of one repository may meet.

    Args:
        runs: The checkpoints of each run, in one weight format.

    Returns:
        The same, in the same order; those marked carry a status and say why.
    """
    groups = _by_whole([c for run in runs for c in run if c.weight_sha256])
    return [[_across(c, groups[c.weight_sha256]) if c.weight_sha256 else c for c in run] for run in runs]


def _across(checkpoint: Checkpoint, group: Sequence[Checkpoint]) -> Checkpoint:
    others = elsewhere(checkpoint, group)
    if checkpoint.status != OK or not others or {checkpoint.step, *(c.step for c in others)} <= FIRST_UPDATE:
        return checkpoint
    named = ", ".join(c.label for c in others[:3]) + (" …" if len(others) > 3 else "")
    detail = (
        f"{checkpoint.label} holds the same weights as {named} (sha256 {checkpoint.weight_sha256[:8]}…): two runs "
        "cannot have trained the same, and nothing tells whose they are."
    )
    return replace(checkpoint, status=SUSPECT, detail=detail)


def elsewhere(checkpoint: Checkpoint, group: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Those of a group that are of another run; another stage of one repository is none."""
    mine = (checkpoint.source, checkpoint.seed)
    return [c for c in group if c.run != checkpoint.run and (c.source, c.seed) != mine]


def _mixed(checkpoint: Checkpoint, file: WeightFile, other: str, status: str) -> Checkpoint:
    which = "it" if status == WRONG else "one of the two"
    detail = (
        f"{checkpoint.label} serves {file.name} of {other} (sha256 {file.sha256[:8]}…), and other shards of its own: "
        f"{which} mixes two checkpoints."
    )
    return replace(checkpoint, status=status, detail=detail)

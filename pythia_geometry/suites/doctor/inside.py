"""A look at the embeddings of a run: what the listing cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import CORRUPT, OK, Checkpoint
from pythia_geometry.suites.doctor.continuity import Continuity, Vector, continuity
from pythia_geometry.suites.doctor.embedding import read_embedding
from pythia_geometry.suites.served import AUTO, Served, choose
from pythia_geometry.suites.suite import Suite

_PATIENCE = 3  # steps in a row that may not be readable
_SAME = 2e-3  # relative distance that a change of dtype may cause (bfloat16: 0.0011)


@dataclass(frozen=True)
class Inside:
    """What the embeddings show.

    Attributes:
        continuity: The tests over steps.
        unread: By step, why its embedding could not be read; a corrupt file makes the step suspect.
        corrupt: Steps whose files are broken.
        disagree: By step, how its two formats differ.
    """

    continuity: Continuity
    unread: Mapping[int, str] = field(default_factory=dict)
    corrupt: frozenset[int] = frozenset()
    disagree: Mapping[int, str] = field(default_factory=dict)


def look_inside(suite: Suite, served: Served, told: Callable[[str], None] = lambda _: None) -> Inside:
    """Reads the first rows of the embedding of every step that the listing trusts, once a distinct file.

    Args:
        suite: The suite.
        served: Judged; the steps that it refuses are left out, so that they are nobody's neighbours.
        told: Told which step is being read.
    """
    found: dict[int, Vector] = {}
    failures: dict[int, CheckpointError] = {}
    disagree: dict[int, str] = {}
    read: set[str] = set()
    in_a_row = 0
    for branch in served.branches:
        checkpoint = choose(branch, AUTO, suite.address)
        if checkpoint.status != OK or checkpoint.weight_sha256 in read or in_a_row == _PATIENCE:
            continue
        told(f"reading {checkpoint.label}")
        read.update({checkpoint.weight_sha256} - {""})
        try:
            found[checkpoint.step] = _embedding(suite, checkpoint)
            for other in branch.weights.values():
                if other.status == OK and other is not checkpoint:
                    disagree |= _compared(checkpoint, found[checkpoint.step], other, _embedding(suite, other))
            in_a_row = 0
        except CheckpointError as error:
            failures[checkpoint.step] = error
            in_a_row = 0 if error.status == CORRUPT else in_a_row + 1
    tests = continuity(found)
    if in_a_row == _PATIENCE:
        last = list(failures.values())[-1]
        tests = replace(
            tests, untested=(*tests.untested, f"no more steps were read after {_PATIENCE} failures: {last}")
        )
    corrupt = frozenset(step for step, error in failures.items() if error.status == CORRUPT)
    return Inside(tests, {step: str(error) for step, error in failures.items()}, corrupt, disagree)


def _embedding(suite: Suite, checkpoint: Checkpoint) -> Vector:
    return read_embedding(checkpoint, lambda name, span: suite.read(checkpoint, name, span))


def _compared(one: Checkpoint, a: Vector, other: Checkpoint, b: Vector) -> dict[int, str]:
    """How the embeddings of two formats of one step differ; nothing where they differ as rounding does."""
    distance = float(np.linalg.norm(a - b) / (np.linalg.norm(a) or 1.0)) if a.shape == b.shape else float("inf")
    with np.errstate(over="ignore"):
        if distance <= _SAME or np.array_equal(a.astype(np.float16), b.astype(np.float16)):
            return {}
    names = f"{one.files[0].name} and {other.files[0].name}"
    return {one.step: f"{names} hold different embeddings (relative distance {distance:.3g})"}

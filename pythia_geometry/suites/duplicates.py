"""Two steps with the same weights: a branch that serves the wrong checkpoint makes a flat curve."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from pythia_geometry.suites.checkpoint import DUPLICATE, OK, Checkpoint


def mark_duplicates(
    checkpoints: Iterable[Checkpoint], last_step: int, main_sha256: str | None = None
) -> list[Checkpoint]:
    """Marks every checkpoint whose weights belong to a later step.

    The last step of a group keeps the weights (assumption A17): the published fault is final-era weights
    served at early steps (EleutherAI/pythia issue 205). A group that shares its weights with `main` belongs
    to the last step of the whole run. Step 0 = step 1 is expected (the learning rate of the first update is
    0, issue 83) and is left alone.

    Args:
        checkpoints: The checkpoints of one run, with hashes.
        last_step: The last step that the run has, chosen or not: the one that may equal `main`.
        main_sha256: Identity of the weights that `main` serves, where known.

    Returns:
        The same checkpoints, in the same order; duplicates carry the status and a message.
    """
    listed = list(checkpoints)
    groups: dict[str, list[Checkpoint]] = defaultdict(list)
    for checkpoint in listed:
        if checkpoint.status == OK and checkpoint.weight_sha256:
            groups[checkpoint.weight_sha256].append(checkpoint)
    return [_mark(c, groups.get(c.weight_sha256, []), main_sha256, last_step) for c in listed]


def _mark(checkpoint: Checkpoint, group: list[Checkpoint], main_sha256: str | None, last_step: int) -> Checkpoint:
    if checkpoint not in group:
        return checkpoint
    if checkpoint.weight_sha256 == main_sha256 and checkpoint.step != last_step:
        return _refuse(checkpoint, "main")
    if {c.step for c in group} == {0, 1}:
        return checkpoint
    owner = max(group, key=lambda c: c.step)
    return checkpoint if checkpoint is owner else _refuse(checkpoint, f"step{owner.step}")


def _refuse(checkpoint: Checkpoint, same_as: str) -> Checkpoint:
    detail = (
        f"{checkpoint.label} holds the same weights as {same_as} (sha256 {checkpoint.weight_sha256[:8]}…): "
        "its curve would be flat. See docs/errors.md#duplicate-weights, or pass --duplicates keep."
    )
    return replace(checkpoint, status=DUPLICATE, detail=detail)

"""Weights of other steps, held in memory for measures of two checkpoints.

A walk opens checkpoints one after the other. A measure of two needs the matrices of the step before, or of the last
one, beside this one's: they are kept when they come by, and a checkpoint that did not come by is opened for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pythia_geometry.extraction.loading.matrices import Matrix, matrices
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.losses import EncodedLoss
from pythia_geometry.measures import (
    BOTH_SIDES,
    LAST,
    NEXT,
    PREVIOUS,
    SURFACE_PAIR,
    WEIGHT_PAIR,
    WEIGHT_TRIPLE,
    Measure,
)
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.one_run.loader import Loader
from pythia_geometry.runs.readings import READINGS, TENSORS
from pythia_geometry.suites.checkpoint import Checkpoint


class Held:
    """What is kept of other steps of a run: matrices of the last, of this one, of the one before; one whole model."""

    def __init__(self, ledger: Ledger, loader: Loader) -> None:
        """Holds nothing yet."""
        self._ledger, self._loader = ledger, loader
        self._matrices: dict[str, list[Matrix]] = {}
        self._parameters: dict[str, dict[str, Tensor]] = {}
        self._needs_matrices = any(m.reads in (WEIGHT_PAIR, WEIGHT_TRIPLE) for m in of_two(ledger))
        self._needs_all = any(m.reads == SURFACE_PAIR for m in of_two(ledger))
        self._second = replace(loader, model=None, checkpoint=None)

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keeps what is open now, where a measure of two may ask for it."""
        if self._loader.checkpoint is not checkpoint:
            return
        if self._needs_matrices:
            self.matrices(checkpoint)
        if self._needs_all:
            self.parameters(checkpoint)

    def matrices(self, checkpoint: Checkpoint) -> list[Matrix]:
        """A checkpoint's matrices; it is opened where they are not at hand.

        Raises:
            CheckpointError: If it cannot be had or used.
        """
        if checkpoint.label not in self._matrices:
            found = matrices(self.model(checkpoint))
            self._matrices[checkpoint.label] = [replace(m, values=_narrow(m.values)) for m in found]
        return self._matrices[checkpoint.label]

    def parameters(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """All parameters of a checkpoint by name; it is opened where they are not at hand.

        Raises:
            CheckpointError: If it cannot be had or used.
        """
        if checkpoint.label not in self._parameters:
            named = self.model(checkpoint).module.named_parameters()
            self._parameters[checkpoint.label] = {name: _copied(p.detach()) for name, p in named}
        return self._parameters[checkpoint.label]

    def model(self, checkpoint: Checkpoint) -> SuiteModel:
        """The model with a checkpoint's weights."""
        return self._loader.open(checkpoint, self._ledger.folder.path)

    def any_model(self, checkpoint: Checkpoint) -> SuiteModel:
        """The model, whatever weights it holds now; the checkpoint's where it holds none."""
        return self._loader.model or self.model(checkpoint)

    def second(self, checkpoint: Checkpoint) -> SuiteModel:
        """A second model with a checkpoint's weights, beside the one that is open.

        Raises:
            CheckpointError: If they cannot be had or used.
        """
        return self._second.open(checkpoint, self._ledger.folder.path)

    def keep_model(self, checkpoint: Checkpoint) -> None:
        """Keeps the model of a checkpoint that is open as the second one; the next is opened in the other."""
        first, second = self._loader, self._second
        if first.checkpoint is checkpoint:
            kept = (first.model, first.checkpoint, first.in_part)
            first.model, first.checkpoint, first.in_part = second.model, second.checkpoint, second.in_part
            second.model, second.checkpoint, second.in_part = kept

    def forget(self, checkpoint: Checkpoint | None) -> None:
        """Frees what nothing will ask for any more."""
        if checkpoint is not None:
            self._matrices.pop(checkpoint.label, None)
            self._parameters.pop(checkpoint.label, None)


def of_two(ledger: Ledger) -> list[Measure]:
    """Chosen measures that need another checkpoint's weights."""
    return [m for m in ledger.request.opening_measures if READINGS[m.reads].holds == TENSORS]


def opened_for_pairs(ledger: Ledger, order: Sequence[Checkpoint]) -> set[str]:
    """Labels of the checkpoints that measures of two will open, if all of them can be used.

    Args:
        ledger: The run's ledger.
        order: Checkpoints that may be opened.
    """
    steps = sorted(order, key=lambda checkpoint: checkpoint.step)
    found: set[str] = set()
    for before, checkpoint, after in zip([None, *steps], steps, [*steps[1:], None], strict=False):
        beside = {PREVIOUS: (before,), LAST: (steps[-1],), NEXT: (after,), BOTH_SIDES: (before, after)}
        for measure in of_two(ledger):
            others = beside[measure.against]
            if not all(others) or not ledger.run.is_taken(measure, checkpoint):
                continue
            if any(one not in ledger.done for one, _ in identities(ledger, measure, checkpoint, others)):
                found |= {checkpoint.label, *(other.label for other in others if other)}
    for edit in ledger.work.planned_edits(order, ledger.done):
        found |= {place.label for place in (edit.checkpoint, edit.beside) if place}
    return found


Others = Sequence[Checkpoint | None]
"""The steps that a checkpoint is measured against; None where there is no such step."""


def identities(
    ledger: Ledger, measure: Measure, checkpoint: Checkpoint, others: Others
) -> list[tuple[str, EncodedLoss | None]]:
    """The pieces of work of a measure of several checkpoints, each with the loss that its surface is of, if any."""
    losses: Sequence[EncodedLoss | None] = (None,)
    if measure.reads == SURFACE_PAIR:
        losses = [loss.at(checkpoint.step) for loss in ledger.run.losses]
    return [(ledger.work.measure(checkpoint, None, measure, *others, loss=loss), loss) for loss in losses]


def _copied(values: Tensor) -> Tensor:
    """float16 where it holds every value exactly."""
    half = values.half()
    return half if torch.equal(half.to(values.dtype), values) else values.clone()


def _narrow(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """float16 where it holds every value exactly, as it does for most published checkpoints: half the memory."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.array_equal(half, values) else values.copy()

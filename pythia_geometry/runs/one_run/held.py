"""Weights of other steps, held in memory for measures of two checkpoints.

A walk opens checkpoints one after the other. A measure of two needs the matrices of the step before, or of the last
one, beside this one's: they are kept when they come by, and a checkpoint that did not come by is opened for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.extraction.loading.matrices import Matrix, matrices
from pythia_geometry.measures import LAST, PREVIOUS, Measure
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.one_run.loader import Loader
from pythia_geometry.runs.readings import READINGS, TENSORS
from pythia_geometry.suites.checkpoint import Checkpoint


class Held:
    """The matrices of a few checkpoints of one run: of the last step, of this one, and of the one before."""

    def __init__(self, ledger: Ledger, loader: Loader) -> None:
        """Holds nothing yet."""
        self._ledger, self._loader = ledger, loader
        self._matrices: dict[str, list[Matrix]] = {}
        self._is_needed = bool(of_two(ledger))

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keeps what is open now, where a measure of two may ask for it."""
        if self._is_needed and self._loader.checkpoint is checkpoint:
            self.matrices(checkpoint)

    def matrices(self, checkpoint: Checkpoint) -> list[Matrix]:
        """A checkpoint's matrices; it is opened where they are not at hand.

        Raises:
            CheckpointError: If it cannot be had or used.
        """
        if checkpoint.label not in self._matrices:
            model = self._loader.open(checkpoint, self._ledger.folder.path)
            self._matrices[checkpoint.label] = [replace(m, values=_narrow(m.values)) for m in matrices(model)]
        return self._matrices[checkpoint.label]

    def forget(self, checkpoint: Checkpoint | None) -> None:
        """Frees what nothing will ask for any more."""
        if checkpoint is not None:
            self._matrices.pop(checkpoint.label, None)


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
    for before, checkpoint in zip([None, *steps], steps, strict=False):
        for measure in of_two(ledger):
            reference = {PREVIOUS: before, LAST: steps[-1]}[measure.against]
            if reference and ledger.work.measure(checkpoint, None, measure, reference) not in ledger.done:
                found |= {checkpoint.label, reference.label}
    return found


def _narrow(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """float16 where it holds every value exactly, as it does for most published checkpoints: half the memory."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.array_equal(half, values) else values.copy()

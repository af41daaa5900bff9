"""The readings: what a measure can be given of a checkpoint, and what taking it needs.

Everything that is special about a kind of measure is said here, once: whether it comes out of the forward pass of a
probe, whether it is cached, which attention kernel it needs, what must be held of another step, whether it is dear.
"""

from __future__ import annotations

from dataclasses import dataclass

from pythia_geometry.measures import (
    CIRCUITS,
    EDITED,
    LABELLED,
    MODEL_PAIR,
    PAIR,
    PATTERN,
    PREDICTIONS,
    RESIDUAL,
    SURFACE,
    SURFACE_PAIR,
    WEIGHT_PAIR,
    WEIGHT_TRIPLE,
    WEIGHTS,
)

CLOUD, TENSORS, MODEL = "cloud", "tensors", "model"
"""What may have to be held of another checkpoint."""

EAGER = "eager"


@dataclass(frozen=True)
class Reading:
    """What taking a reading needs.

    Attributes:
        name: As `Measure.reads` names it.
        version: Raised when the code that takes it changes a number.
        from_forward: Whether it comes out of a probe's forward pass, beside the answers.
        per_probe: Whether it is of a probe at a checkpoint; else of the checkpoint alone.
        cached: Whether it is made from cached activations, without the model.
        kernel: The attention kernel that it must have; empty for the one that the model runs with.
        holds: What of the other checkpoint of a pair must be at hand: its cached `cloud`, its `tensors`, or a second
            `model`.
        whole: Whether it needs all weights, the output head too: `--fetch ranges` cannot take it.
        dear: Whether it costs many times a forward pass: `--at` says at which steps.
    """

    name: str
    version: int = 1
    from_forward: bool = False
    per_probe: bool = True
    cached: bool = False
    kernel: str = ""
    holds: str = ""
    whole: bool = False
    dear: bool = False

    @property
    def edits_heads(self) -> bool:
        """Whether a probe runs once more for every head, which does something else in that pass."""
        return self.per_probe and self.opens_model

    @property
    def opens_model(self) -> bool:
        """Whether a checkpoint is opened for it alone, apart from forward passes of probes."""
        return not (self.from_forward or self.cached)


READINGS = {
    reading.name: reading
    for reading in (
        Reading(RESIDUAL, from_forward=True),
        Reading(PATTERN, from_forward=True),
        Reading(PAIR, cached=True, holds=CLOUD),
        Reading(WEIGHTS, per_probe=False),
        Reading(CIRCUITS, per_probe=False),
        Reading(WEIGHT_PAIR, per_probe=False, holds=TENSORS),
        Reading(WEIGHT_TRIPLE, per_probe=False, holds=TENSORS),
        Reading(LABELLED, per_probe=False, whole=True, dear=True),
        Reading(PREDICTIONS, per_probe=False, whole=True),
        Reading(SURFACE, per_probe=False, kernel=EAGER, whole=True, dear=True),
        Reading(SURFACE_PAIR, per_probe=False, holds=TENSORS, whole=True, dear=True),
        Reading(EDITED, whole=True, dear=True),
        Reading(MODEL_PAIR, holds=MODEL, whole=True, dear=True),
    )
}

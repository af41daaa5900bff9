"""How measures of a checkpoint alone are taken: of its weight matrices, and of the loss surface around it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence

from pythia_geometry.extraction.loading.matrices import Matrix
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.losses import NO_LOSS, NONE, EncodedLoss
from pythia_geometry.geometry.cloud import Estimate, unknown
from pythia_geometry.landscape.measured import SurfaceReading
from pythia_geometry.landscape.surface import Surface
from pythia_geometry.landscape.tokens import next_token_losses, scored_tokens
from pythia_geometry.measures import Measure
from pythia_geometry.runs.rows import MODEL, Measured, Site

WHOLE_MODEL = Site(MODEL, -1)


def measure_matrices(found: Sequence[Matrix], measure: Measure) -> Measured:
    """A measure of every weight matrix, or of those that it names."""
    return [
        (Site(matrix.name, matrix.layer_index), measure, measure.compute(matrix, **measure.settings))
        for matrix in found
        if measure.is_taken_at(matrix.name, *matrix.roles)
    ]


def measure_surface(
    model: SuiteModel, measure: Measure, loss: EncodedLoss, surfaces: MutableMapping[str, SurfaceReading]
) -> Iterator[tuple[str, Measured]]:
    """A measure of the loss surface, by task: of a mixture some give a number for each of its tasks.

    Args:
        model: The model with the checkpoint's weights, which nobody else uses meanwhile; they are left as they are.
        measure: The measure.
        loss: Whose surface.
        surfaces: Readings that were taken of this checkpoint before; a new one is added.
    """
    if loss.kind == NONE:
        yield "", [(WHOLE_MODEL, measure, unknown(0, measure.range[1], NO_LOSS))]
        return
    if loss.sha256 not in surfaces:
        examples = scored_tokens(loss.sequences, loss.first_scored)
        surfaces[loss.sha256] = SurfaceReading(Surface(model.module, next_token_losses, examples), loss.tasks)
    found = measure.compute(surfaces[loss.sha256], **measure.settings)
    by_task = {"": found} if isinstance(found, Estimate) else found
    for task, estimate in by_task.items():
        yield task or loss.task, [(WHOLE_MODEL, measure, estimate)]

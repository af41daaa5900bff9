"""How measures of a checkpoint alone are taken: of its weight matrices, of the loss surface, of what can be decoded."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.attention.head_weights import head_circuits
from pythia_geometry.extraction.capture import LAST
from pythia_geometry.extraction.labelled import LabelledRows, read_labelled
from pythia_geometry.extraction.loading.matrices import Matrix
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.losses import NONE, EncodedLoss
from pythia_geometry.extraction.probes.text_cloud import TextCloud
from pythia_geometry.extraction.text_predictions import Predictions, read_predictions
from pythia_geometry.geometry.cloud import Estimate, unknown
from pythia_geometry.geometry.decoding import Labelled
from pythia_geometry.landscape.measured import SurfaceReading
from pythia_geometry.landscape.surface import Surface
from pythia_geometry.landscape.tokens import next_token_losses, scored_tokens
from pythia_geometry.measures import Measure
from pythia_geometry.runs.rows import MODEL, Measured, Site, measure_heads

WHOLE_MODEL = Site(MODEL, -1)


def measure_matrices(found: Sequence[Matrix], measure: Measure) -> Measured:
    """A measure of every weight matrix, or of those that it names."""
    return [
        (Site(matrix.name, matrix.layer_index), measure, measure.compute(matrix, **measure.settings))
        for matrix in found
        if measure.is_taken_at(matrix.name, *matrix.roles)
    ]


def measure_circuits(model: SuiteModel, measure: Measure) -> Measured:
    """A measure of what every head reads and writes; one row with the reason where that is not known."""
    try:
        return measure_heads(head_circuits(model), [measure])
    except PythiaGeometryError as problem:
        return [(WHOLE_MODEL, measure, unknown(0, measure.range[1], str(problem)))]


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
        yield "", [(WHOLE_MODEL, measure, unknown(0, measure.range[1], loss.reason))]
        return
    try:
        if loss.sha256 not in surfaces:
            surfaces[loss.sha256] = SurfaceReading(surface_of(model, loss), loss.tasks)
        found = measure.compute(surfaces[loss.sha256], **measure.settings)
    except PythiaGeometryError as error:  # weights that are not float32, an architecture that the hooks misread
        found = unknown(len(loss.sequences), measure.range[1], str(error))
    by_task = {"": found} if isinstance(found, Estimate) else found
    for task, estimate in by_task.items():
        yield task or loss.task, [(WHOLE_MODEL, measure, estimate)]


def surface_of(model: SuiteModel, loss: EncodedLoss) -> Surface:
    """The surface of a loss around the weights that the model holds."""
    return Surface(model.module, next_token_losses, scored_tokens(loss.sequences, loss.first_scored, loss.by_token))


NO_TEXT = "no text is named: pass --text FILE"


class Decoded:
    """What is decoded or predicted at one checkpoint; what the last rows gave is kept for the next measure.

    Args:
        model: With the checkpoint's weights.
        batch: Sequences a forward pass.
    """

    def __init__(self, model: SuiteModel, batch: int) -> None:
        self.model, self.batch = model, batch
        self._sha256, self._held = "", list[list[Labelled]]()
        self._predictions: Predictions | None = None

    def measured(self, measure: Measure, rows: LabelledRows | TextCloud) -> Iterator[tuple[str, Measured]]:
        """A measure at every answer position, by name: of every layer, or of those that it names."""
        if isinstance(rows, TextCloud):
            if self._predictions is None:
                self._predictions = read_predictions(self.model, rows, self.batch)
            yield LAST, [(WHOLE_MODEL, measure, measure.compute(self._predictions))]
            return
        sites = [(Site(name, i), i) for i, name in enumerate(self.model.shape.layers) if measure.is_taken_at(name)]
        if rows.fault:
            yield _answer(0), [(site, measure, unknown(rows.prompts, 1.0, rows.fault)) for site, _ in sites]
            return
        if rows.sha256 != self._sha256:
            self._sha256, self._held = rows.sha256, list(read_labelled(self.model, rows, self.batch))
        for k, clouds in enumerate(self._held):
            yield _answer(k), [(site, measure, measure.compute(clouds[i], **measure.settings)) for site, i in sites]


def _answer(k: int) -> str:
    """The position at which the answer's token k is predicted, as tables name it."""
    return f"answer {k + 1}"

"""Measures for which a probe runs while heads do something else: at chosen steps, each committed as it is found."""

from __future__ import annotations

from itertools import groupby

from pythia_geometry.errors import CheckpointError
from pythia_geometry.extraction.attention.edited_heads import EditedHeads
from pythia_geometry.geometry.cloud import unknown
from pythia_geometry.runs.ledger import Ledger
from pythia_geometry.runs.one_run.alone import WHOLE_MODEL
from pythia_geometry.runs.one_run.held import Held
from pythia_geometry.runs.one_run.loader import Loader
from pythia_geometry.runs.one_run.steps_beside import NO_PREVIOUS, known_step, with_step
from pythia_geometry.runs.rows import Measured, measure_heads
from pythia_geometry.runs.work import Edit
from pythia_geometry.suites.checkpoint import Checkpoint


def edit_heads(ledger: Ledger, loader: Loader, held: Held, checkpoint: Checkpoint, earlier: Checkpoint | None) -> bool:
    """Adds what is missing of a checkpoint.

    Args:
        ledger: The run's ledger.
        loader: Opens the checkpoint.
        held: Opens the earlier one beside it.
        checkpoint: The checkpoint.
        earlier: The one before it at which such measures are taken; None where there is none.

    Returns:
        Whether such measures are taken at this checkpoint.
    """
    edits = list(ledger.work.edits(checkpoint, earlier))
    recorded = ledger.folder.checkpoint(checkpoint.label)["current"]
    for probe, of_probe in groupby(sorted(edits, key=lambda e: e.encoded.probe.name), lambda e: e.encoded.probe):
        question, current, readings = ledger.question(probe), dict[str, str](), dict[bool, EditedHeads]()
        for edit in of_probe:
            step = edit.beside.step if edit.beside else -1
            if edit.measure.against and known_step(recorded, question, edit.measure) > step:
                continue  # a wider selection has compared with a nearer step
            work = ledger.work.of_edit(edit)
            if work not in ledger.done:
                ledger.progress.stage(checkpoint.label, f"{edit.measure.name} {probe.name}")
                _commit(ledger, work, edit, _measured(edit, ledger, loader, held, readings))
            current[edit.measure.name] = work
            if edit.measure.against:
                current[with_step(edit.measure)] = str(step)
        ledger.record(checkpoint, {question: current})
    if any(edit.measure.against for edit in edits):
        held.keep_model(checkpoint)
    return bool(edits)


def _measured(edit: Edit, ledger: Ledger, loader: Loader, held: Held, readings: dict[bool, EditedHeads]) -> Measured:
    """Rows of one measure; one with the reason where there is no earlier step, or it cannot be had any more."""
    reads_two, prompts = bool(edit.measure.against), ledger.run.prompts[edit.encoded.probe.name]
    if reads_two and edit.beside is None:
        return _nothing(edit, NO_PREVIOUS)
    if reads_two not in readings:
        model = loader.open(edit.checkpoint, ledger.folder.path)
        try:
            earlier = held.second(edit.beside) if edit.beside else None
        except CheckpointError as problem:
            return _nothing(edit, f"step {edit.beside.step if edit.beside else 0} could not be opened again: {problem}")
        readings[reads_two] = EditedHeads(model, edit.encoded, prompts, earlier)
    return measure_heads(readings[reads_two], [edit.measure])


def _nothing(edit: Edit, why: str) -> Measured:
    return [(WHOLE_MODEL, edit.measure, unknown(len(edit.encoded.items), edit.measure.range[1], why))]


def _commit(ledger: Ledger, work: str, edit: Edit, measured: Measured) -> None:
    rest = {
        **ledger.columns(edit.checkpoint, edit.encoded),
        "work": work,
        "precision": ledger.precision,
        "reference_step": edit.beside.step if edit.beside else None,
    }
    ledger.commit(edit.checkpoint, [work], {"geometry": ledger.geometry_rows(measured, rest)})

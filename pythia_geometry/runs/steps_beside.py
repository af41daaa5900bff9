"""Compares each checkpoint with the step before it and with the last, from cached activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.extraction.encoding import EncodedProbe
from pythia_geometry.geometry.cloud import Cloud, unknown
from pythia_geometry.measures import COMPARISONS
from pythia_geometry.runs.ledger import Arrays, Ledger
from pythia_geometry.runs.rows import CAPTURE_VERSION, Row, work_id
from pythia_geometry.suites.checkpoint import Checkpoint

NOT_KEPT = "-not-kept"
Pair = Sequence[NDArray[np.floating] | None]


def compare(ledger: Ledger, checkpoint: Checkpoint, references: Mapping[str, Checkpoint | None]) -> None:
    """Adds the comparisons that are missing: always from the cache (assumption A16).

    A narrower selection does not replace what a wider one compared with a nearer step, and an unknown value
    does not replace a known one.

    Args:
        ledger: The run's ledger.
        checkpoint: The checkpoint, already captured.
        references: By name (`previous`, `last`), what to compare it with; None where there is none.
    """
    rows: list[Row] = []
    ids: list[str] = []
    current: dict[str, dict[str, str]] = {}
    arrays: dict[str, Arrays] = {}
    recorded = ledger.folder.checkpoint(checkpoint.label)["current"]
    for name in ledger.request.chosen_comparisons:
        reference = references[COMPARISONS[name].reference]
        step = reference.step if reference else -1
        for encoded in ledger.run.probes:
            question = ledger.question(encoded.probe)
            held = int(recorded.get(question, {}).get(f"{name} with", -1))
            if held > step:
                continue
            identity = _identity(ledger, name, checkpoint, reference, encoded)
            pair: Pair = ()
            if identity not in ledger.done:
                pair = [_read(ledger, c, arrays).get(encoded.probe.name) for c in (checkpoint, reference) if c]
                if any(side is None for side in pair):
                    if held >= 0:
                        continue
                    identity += NOT_KEPT
            current.setdefault(question, {}).update({name: identity, f"{name} with": str(step)})
            if identity not in ledger.done:
                made = _rows(ledger, name, checkpoint, reference, (encoded, pair))
                rows += [{**row, "work": identity} for row in made]
                ids.append(identity)
    if rows:
        ledger.progress.stage(checkpoint.label, "compare")
        ledger.commit(checkpoint, ids, {"geometry": rows})
    ledger.record(checkpoint, current)


def _identity(
    ledger: Ledger, name: str, checkpoint: Checkpoint, reference: Checkpoint | None, encoded: EncodedProbe
) -> str:
    other = (reference.step, reference.weight_sha256) if reference else ()
    versions = (COMPARISONS[name].version, CAPTURE_VERSION)
    return work_id(checkpoint, encoded.probe, ledger.request, name, *versions, *other)


def _rows(
    ledger: Ledger,
    name: str,
    checkpoint: Checkpoint,
    reference: Checkpoint | None,
    compared: tuple[EncodedProbe, Pair],
) -> list[Row]:
    """One row a layer; unknown with a reason where a side is missing."""
    encoded, pair = compared
    n, n_layers = len(encoded.items), len(ledger.run.shape.layers)
    if reference is None:
        found = [unknown(n, 1.0, "there is no previous step")] * n_layers
    elif (x := pair[0]) is None or (y := pair[1]) is None:
        found = [unknown(n, 1.0, "activations were not kept (--activations none)")] * n_layers
    else:
        found = [COMPARISONS[name].compute(Cloud(a), Cloud(b)) for a, b in zip(x, y, strict=True)]
    rest = {
        **ledger.columns(checkpoint, encoded.probe),
        "precision": ledger.cached_precision(pair[0]) if pair[0] is not None else ledger.request.dtype,
        "reference_step": reference.step if reference else None,
    }
    return ledger.geometry_rows([(index, name, estimate) for index, estimate in enumerate(found)], rest)


def _read(ledger: Ledger, checkpoint: Checkpoint, arrays: dict[str, Arrays]) -> Arrays:
    """A checkpoint's cached activations, read once for all probes."""
    if checkpoint.label not in arrays:
        arrays[checkpoint.label] = ledger.read(checkpoint)
    return arrays[checkpoint.label]

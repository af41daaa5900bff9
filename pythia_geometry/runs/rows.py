"""From captures to rows of the tidy tables, and the identity of each piece of work."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.extraction.capture import Answers
from pythia_geometry.extraction.probes import Probe
from pythia_geometry.geometry.cloud import Cloud, Estimate
from pythia_geometry.measures import MEASURES
from pythia_geometry.runs.plan import RunPlan
from pythia_geometry.runs.request import RANGES, Request
from pythia_geometry.suites.checkpoint import Checkpoint

CAPTURE_VERSION = 1  # raise when capture.py changes a number
Row = dict[str, Any]


def work_id(checkpoint: Checkpoint, probe: Probe, request: Request, *what: object) -> str:
    """A hash of all that determines an answer: weights, probe, position, precision, measure, version."""
    parts = (checkpoint.run, checkpoint.step, checkpoint.weight_sha256, probe.name, probe.sha256)
    text = "\n".join(map(str, (*parts, request.position, request.dtype, *what)))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def capture_id(checkpoint: Checkpoint, probe: Probe, request: Request) -> str:
    """Identity of a probe's forward pass."""
    return work_id(checkpoint, probe, request, "capture", CAPTURE_VERSION)


def headless_id(checkpoint: Checkpoint, probe: Probe, request: Request, in_part: bool) -> str:
    """Identity of a forward pass without the output head: its activations are those of `capture_id`.

    Args:
        checkpoint: The checkpoint.
        probe: The probe.
        request: What the user asked for.
        in_part: Whether the weights came in part, so that their sha256 could not be checked.
    """
    return work_id(checkpoint, probe, request, "capture without head", CAPTURE_VERSION, in_part)


def captured_by(checkpoint: Checkpoint, probe: Probe, request: Request, done: Collection[str]) -> str:
    """Of the forward passes that are done, the one to show: with behaviour if there is one; empty if there is none.

    A walk that asks for behaviour counts only those that have it.
    """
    ids = [capture_id(checkpoint, probe, request)]
    if request.fetch == RANGES:
        ids += [headless_id(checkpoint, probe, request, in_part) for in_part in (False, True)]
    return next((one for one in ids if one in done), "")


def measure_id(checkpoint: Checkpoint, probe: Probe, request: Request, measure: str) -> str:
    """Identity of one measure over all layers."""
    return work_id(checkpoint, probe, request, measure, MEASURES[measure].version)


def unfinished(run: RunPlan, request: Request, done: Collection[str]) -> list[Checkpoint]:
    """Usable checkpoints that lack a forward pass or a measure."""

    def is_finished(checkpoint: Checkpoint, probe: Probe) -> bool:
        measured = {measure_id(checkpoint, probe, request, m) for m in request.chosen_measures}
        return all(one in done for one in measured) and captured_by(checkpoint, probe, request, done) != ""

    probes = [encoded.probe for encoded in run.probes]
    return [checkpoint for checkpoint in run.usable if not all(is_finished(checkpoint, p) for p in probes)]


def checkpoint_row(checkpoint: Checkpoint) -> Row:
    """A row of the `checkpoints` table."""
    return {
        **run_columns(checkpoint),
        "tokens": checkpoint.tokens,
        "source": checkpoint.source,
        "revision": checkpoint.revision,
        "commit": checkpoint.commit or "",
        "weight_sha256": checkpoint.weight_sha256,
        "status": checkpoint.status,
        "detail": checkpoint.detail,
    }


def run_columns(checkpoint: Checkpoint) -> Row:
    """The columns that say which run and step a row is about."""
    return {
        "suite": checkpoint.suite,
        "model": checkpoint.model,
        "seed": checkpoint.seed,
        "step": checkpoint.step,
    }


def probe_columns(checkpoint: Checkpoint, probe: Probe) -> Row:
    """Run, step, probe and task."""
    return {**run_columns(checkpoint), "probe": probe.set_name, "task": probe.task}


def measure_layers(activations: NDArray[np.floating], measures: Sequence[str]) -> list[tuple[int, str, Estimate]]:
    """Every measure of every layer of activations [L, N, D], as (layer index, measure, estimate)."""
    found = []
    for index, layer in enumerate(activations):
        cloud = Cloud(layer)
        found += [(index, name, MEASURES[name].compute(cloud)) for name in measures]
    return found


def geometry_row(estimate: Estimate, layer: str, layer_index: int, measure: str, rest: Row) -> Row:
    """A row of the `geometry` table."""
    return {
        **rest,
        "layer": layer,
        "layer_index": layer_index,
        "measure": measure,
        "value": estimate.value,
        "error": estimate.error,
        "ceiling": estimate.ceiling,
        "n": estimate.n,
        "reason": estimate.reason,
    }


def behaviour_rows(answers: Answers, probe: Probe, rest: Row, unread: str = "") -> Iterator[Row]:
    """Accuracy, exact match, log-probability and margin of one probe.

    `accuracy` is the forced choice where items have distractors and exact match where they have none
    (assumption A3).

    Args:
        answers: Of the probe's items.
        probe: The probe.
        rest: The other columns.
        unread: Why there are no answers; then every value is NaN.
    """
    nan = float("nan")
    choice_or_exact = np.where(_has_distractors(probe), answers.choice, answers.exact)
    metrics = {
        "accuracy": (choice_or_exact, probe.chance),
        "exact_match": (answers.exact, 0.0),
        "log_prob": (answers.log_prob, nan),
        "margin": (answers.margin, 0.0),
    }
    for metric, (values, chance) in metrics.items():
        value, error, reason = (nan, nan, unread) if unread else _mean(values, probe, metric)
        yield {
            **rest,
            "metric": metric,
            "value": value,
            "error": error,
            "n": len(values),
            "chance": chance,
            "majority": probe.majority if metric in ("accuracy", "exact_match") else nan,
            "reason": reason,
            "source": "walk",
        }


def _has_distractors(probe: Probe) -> NDArray[np.bool_]:
    return np.array([bool(item.distractors) for item in probe.items])


def _mean(values: NDArray[np.float64], probe: Probe, metric: str) -> tuple[float, float, str]:
    if metric == "margin" and not _has_distractors(probe).all():
        return float("nan"), float("nan"), "items without distractors have no margin"
    bad = int((~np.isfinite(values)).sum())
    if bad:
        return float("nan"), float("nan"), f"non-finite log-probabilities in {bad} of {len(values)} items"
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), ""


def answer_rows(answers: Answers, probe: Probe, rest: Row) -> Iterator[Row]:
    """One row an item, so that every statistic of behaviour can be computed again without the model."""
    for index, item in enumerate(probe.items):
        yield {
            **rest,
            "item": index,
            "id": item.id,
            "log_prob": answers.log_prob[index],
            "margin": answers.margin[index],
            "choice": answers.choice[index],
            "exact": answers.exact[index],
        }

"""From readings to rows of the tidy tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.attention.head_values import HeadValue
from pythia_geometry.extraction.capture import Answers
from pythia_geometry.extraction.probes.probes import Probe
from pythia_geometry.geometry.cloud import Cloud, Estimate
from pythia_geometry.measures import Measure
from pythia_geometry.runs.benchmark_metrics import OWN_SCORING, metrics_of
from pythia_geometry.suites.checkpoint import Checkpoint

Row = dict[str, Any]


class Site(NamedTuple):
    """Where in a model a number is of: a layer, a head of one, a matrix, or the whole model."""

    layer: str
    layer_index: int
    head: int | None = None


MODEL = "model"
"""The site of a number of the whole model; its layer index is -1."""

Measured = list[tuple[Site, Measure, Estimate]]


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


def measure_layers(
    activations: NDArray[np.floating],
    layers: Sequence[str],
    measures: Sequence[Measure],
    clusters: NDArray[np.int64] | None = None,
) -> Measured:
    """Every measure of every layer of activations [L, N, D]; errors over clusters of prompts where there are any."""
    found: Measured = []
    for index, rows in enumerate(activations):
        cloud, site = Cloud(rows, clusters), Site(layers[index], index)
        found += [(site, measure, measure.compute(cloud, **measure.settings)) for measure in measures]
    return found


def measure_heads(reading: Any, measures: Sequence[Measure]) -> Measured:
    """Every measure of every head, and of heads taken together over a layer or the model."""
    found: Measured = []
    for measure in measures:
        values: Iterable[HeadValue] = measure.compute(reading, **measure.settings)
        found += [(_site_of_head(one), measure, one.estimate) for one in values]
    return found


def _site_of_head(value: HeadValue) -> Site:
    """A head of block i writes into `resid_i`; a sum over all heads is of the model."""
    return Site(MODEL, -1) if value.layer is None else Site(f"resid_{value.layer}", value.layer, value.head)


def geometry_row(site: Site, measure: Measure, estimate: Estimate, rest: Row) -> Row:
    """A row of the `geometry` table."""
    return {
        **rest,
        "layer": site.layer,
        "layer_index": site.layer_index,
        "head": site.head,
        "measure": measure.name,
        "settings": measure.settings_text,
        "value": estimate.value,
        "error": estimate.error,
        "ceiling": estimate.ceiling,
        "n": estimate.n,
        "reason": estimate.reason,
    }


def behaviour_rows(answers: Answers, probe: Probe, rest: Row, unread: str = "") -> Iterator[Row]:
    """Accuracy, exact match, log-probability and margin of one probe; of a task of lm-eval also its own metrics.

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
        if probe.facts and probe.facts.own_scoring and metric in ("accuracy", "margin") and not unread:
            value, error, reason = nan, nan, OWN_SCORING
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
    if probe.facts:
        yield from _benchmark_rows(answers, probe, rest, unread)


NAMES_BESIDE = {"acc_norm": "accuracy_norm"}
"""Metrics of lm-eval that also stand under our name, as tables from elsewhere have them; `acc` is our accuracy."""


def _benchmark_rows(answers: Answers, probe: Probe, rest: Row, unread: str) -> Iterator[Row]:
    """Rows by the harness's names, with its errors."""
    nan = float("nan")
    if (facts := probe.facts) is None:
        return
    for metric in metrics_of(answers, probe, facts):
        if metric.name == "exact_match":  # stands there already, by the same rule
            continue
        is_choice = metric.name.startswith("acc")
        for name in filter(None, (metric.name, NAMES_BESIDE.get(metric.name))):
            yield {
                **rest,
                "metric": name,
                "value": nan if unread else metric.value,
                "error": nan if unread else metric.error,
                "n": len(probe.items),
                "chance": probe.chance if is_choice else nan,
                "majority": probe.majority if is_choice else nan,
                "reason": unread or metric.reason,
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
            "choices": json.dumps([float(log_prob) for log_prob in answers.choices[index]]),
            "reason": "",
        }

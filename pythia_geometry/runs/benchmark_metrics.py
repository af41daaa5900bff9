"""The metrics of lm-eval, by its names and its rules, from the log-probabilities of an item's choices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.extraction.benchmark_capture import in_order
from pythia_geometry.extraction.capture import Answers
from pythia_geometry.extraction.probes.benchmark_items import LIKELIHOOD, BenchmarkFacts, BenchmarkItem
from pythia_geometry.extraction.probes.probes import Probe

OWN_SCORING = "lm-eval scores this task by code of its own, which a walk does not run; `answers` has every choice"
NORMALISED = {"acc_norm": 0, "acc_bytes": 1}
"""What a log-probability is divided by: the choice's characters, or its bytes."""

Values = Mapping[str, NDArray[np.float64]]


class Metric(NamedTuple):
    """A number of a task.

    Attributes:
        name: As lm-eval calls it.
        value: NaN where it could not be computed.
        error: Its standard error.
        reason: Why it could not.
    """

    name: str
    value: float
    error: float
    reason: str = ""


def item_values(answers: Answers, probe: Probe, facts: BenchmarkFacts) -> Values:
    """By metric, the value of every item, NaN where a log-probability is not finite.

    `acc`: the likeliest choice is right (of equal ones the first counts); of a single continuation, greedy decoding
    gives it. `acc_norm` and `acc_bytes`: the same after division by the choice's characters or bytes. `perplexity`: the
    log-probability itself, of which the metric is exp(−mean).
    """
    items = [item for item in probe.items if isinstance(item, BenchmarkItem)]
    if facts.own_scoring:
        return {}
    if facts.kind == LIKELIHOOD:
        return {"acc": answers.exact, "perplexity": answers.log_prob}
    scores = [in_order(item, np.asarray(given)) for item, given in zip(items, answers.choices, strict=True)]
    found = {"acc": np.array([_hit(i, s) for i, s in zip(items, scores, strict=True)])}
    for name, unit in NORMALISED.items():
        found[name] = np.array(
            [_hit(i, s / [length[unit] for length in i.lengths]) for i, s in zip(items, scores, strict=True)]
        )
    if all(len(item.gold) == 1 for item in items):
        found["exact_match"] = answers.exact
    return found


def _hit(item: BenchmarkItem, scores: NDArray[np.float64]) -> float:
    return float(int(np.argmax(scores)) in item.gold) if np.isfinite(scores).all() else math.nan


def metrics_of(answers: Answers, probe: Probe, facts: BenchmarkFacts) -> Iterator[Metric]:
    """Every metric of a task, with the harness's standard error: s/√n of a mean.

    Of a perplexity it is perplexity · s(log-probability)/√n, to which the harness's bootstrap converges.
    """
    values = item_values(answers, probe, facts)
    for name in facts.metrics:
        of_items = values.get(name)
        if of_items is None:
            reason = OWN_SCORING if facts.own_scoring else f"{name} of lm-eval is not computed in a walk"
            yield Metric(name, math.nan, math.nan, reason)
        elif bad := int((~np.isfinite(of_items)).sum()):
            reason = f"non-finite log-probabilities in {bad} of {len(of_items)} items"
            yield Metric(name, math.nan, math.nan, reason)
        else:
            yield _summary(name, of_items)


def _summary(name: str, values: NDArray[np.float64]) -> Metric:
    mean, error = float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))
    if name != "perplexity":
        return Metric(name, mean, error)
    if mean < -700:
        return Metric(name, math.nan, math.nan, f"exp({-mean:.0f}) is larger than any number that can be held")
    return Metric(name, math.exp(-mean), math.exp(-mean) * error)

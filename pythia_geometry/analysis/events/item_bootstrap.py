"""How sure is an onset? The items of a probe drawn again, the same draw at every step.

Every checkpoint answers the same items, so that their luck is shared along the curve: drawn again at each step by
itself, intervals come out about twice too wide for multiple choice and too narrow for LAMBADA (docs/emergence.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events.onsets import MIN_POINTS, why_untestable
from pythia_geometry.analysis.events.rules import NEVER, RULES, baselines, share_error
from pythia_geometry.analysis.tables.reading import RUN, is_share, unmarked
from pythia_geometry.analysis.tables.step_curves import Array
from pythia_geometry.errors import PythiaGeometryError

TASK = [*RUN, "probe", "task"]
METRICS = ("accuracy", "exact_match", "log_prob", "margin")
PERCENTILES = (5, 50, 95)
COLUMNS = [
    *TASK, "metric", "rule", "draws", "emerges", "untestable",
    *(f"{end}_{p:02d}" for p in PERCENTILES for end in ("after", "by")),
]  # fmt: skip


def bootstrap_onsets(
    answers: pd.DataFrame,
    behaviour: pd.DataFrame,
    metrics: Sequence[str] = ("accuracy", "log_prob"),
    rules: Sequence[str] = tuple(RULES),
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Percentiles of the onset over draws of items with replacement, jointly for all steps.

    Args:
        answers: The `answers` table of a walk.
        behaviour: Its `behaviour` table, for chance and majority; steps that have a reason there are left out.
        metrics: Of accuracy, exact_match, log_prob and margin.
        rules: Onset rules, see `onsets.find_onsets`.
        draws: How many times items are drawn.
        seed: Of the draws.

    Returns:
        One row a task, metric and rule: emerges (share of draws that did, at the last point only included),
        untestable (share of draws that were), and for p of 5, 50 and 95 the onset interval (after_p, by_p] that is
        the p-th percentile of the testable draws. A draw that does not emerge counts as later than all that do: its
        interval begins at the last step and ends at infinity. `after` is NaN where the first step is already past.

    Raises:
        PythiaGeometryError: If a metric or rule is unknown, items differ between steps, or a task is in one table only.

    How it misleads: it knows only the luck of the items, not that of the training seed, which is usually larger.
    """
    if unknown := [name for name in metrics if name not in METRICS] + [name for name in rules if name not in RULES]:
        raise PythiaGeometryError(f"Unknown metric or rule {unknown[0]!r}. Known: {', '.join((*METRICS, *RULES))}")
    levels = dict(list(behaviour.groupby([*TASK, "metric"])))
    rows = []
    for key, items in answers.groupby(TASK, sort=True):
        about = dict(zip(TASK, key, strict=True))
        for metric in metrics:
            if (*key, metric) not in levels:
                raise PythiaGeometryError(f"{_name(about)}: the behaviour table has no {metric} of this task")
            points = levels[(*key, metric)]
            usable = points[unmarked(points)]
            step, values = _items_by_step(items[items["step"].isin(usable["step"])], metric, about)
            drawn = _draw(step, values, metric, points, np.random.default_rng(seed), draws)
            rows += [about | {"metric": metric, "rule": rule} | _percentiles(drawn, rule) for rule in rules]
    return pd.DataFrame(rows, columns=COLUMNS)


def _items_by_step(items: pd.DataFrame, metric: str, about: dict[str, object]) -> tuple[Array, Array]:
    """Steps [S] and the value of every item at every step [N, S]."""
    values = items.assign(value=_value(items, metric)).pivot(index="item", columns="step", values="value")
    if items.groupby("item")["probe_sha256"].nunique().gt(1).any() or values.isna().any(axis=None):
        raise PythiaGeometryError(
            f"{_name(about)}: not every step has the same items with a {metric}. "
            "Items are drawn jointly for all steps; leave out the steps that differ"
        )
    return values.columns.to_numpy(dtype=float), values.to_numpy(dtype=float)


def _value(items: pd.DataFrame, metric: str) -> pd.Series:
    """An item's part of a metric; accuracy is the choice, and exact match where there is none (assumption A3)."""
    if metric == "accuracy":
        return items["choice"].fillna(items["exact"])
    return items["exact" if metric == "exact_match" else metric]


@dataclass(frozen=True, eq=False)
class Drawn:
    """The curves of all draws: steps [S], values and errors [draws, S], baselines [draws]."""

    steps: Array
    values: Array
    error: Array
    baseline: Array


def _draw(step: Array, values: Array, metric: str, points: pd.DataFrame, rng: np.random.Generator, draws: int) -> Drawn:
    n = len(values)
    if n < 2:
        return Drawn(step, np.empty((0, len(step))), np.empty((0, len(step))), np.empty(0))
    times = rng.multinomial(n, np.full(n, 1 / n), size=draws)  # [draws, N]: an item counts as often at all steps
    means = times @ values / n  # summed first: a share of all items is exactly 1
    error = np.sqrt(np.maximum(times @ values**2 / n - means**2, 0.0) / (n - 1))
    level = np.full(draws, np.nan)
    if is_share(metric):
        error = share_error(means, np.full(means.shape, float(n)), error)
        level[:] = np.fmax(float(points["chance"].max()), float(points["majority"].max()))
    return Drawn(step, means, error, baselines(step, means, level))


def _percentiles(drawn: Drawn, rule: str) -> dict[str, object]:
    step, n_steps = drawn.steps, len(drawn.steps)
    is_testable = np.array([not reason for reason in why_untestable(drawn.error, drawn.baseline)], dtype=bool)
    if n_steps < MIN_POINTS:
        is_testable[:] = False
    tested = (part[is_testable] for part in (drawn.values, drawn.error, drawn.baseline))
    index = RULES[rule](*tested) if is_testable.any() else np.empty(0, dtype=np.int64)
    row: dict[str, object] = {
        "draws": len(is_testable),
        "emerges": float((index != NEVER).mean()) if len(index) else np.nan,
        "untestable": float((~is_testable).mean()) if len(is_testable) else np.nan,
    }
    index = np.where(index == NEVER, n_steps, index)  # later than all that do
    after, by = np.append(np.nan, step), np.append(step, np.inf)
    for p in PERCENTILES:
        at = int(np.percentile(index, p, method="inverted_cdf")) if len(index) else None
        row[f"after_{p:02d}"] = np.nan if at is None else float(after[at])
        row[f"by_{p:02d}"] = np.nan if at is None else float(by[at])
    return row


def _name(about: dict[str, object]) -> str:
    return " ".join(str(part) for part in about.values() if part != "")

"""Onsets of every curve in a table: one row a curve and rule, none left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from pythia_geometry.analysis.behaviour.table import CURVE, is_known, is_share
from pythia_geometry.analysis.events.emergence import EARLY, RULES, UNTESTABLE, Array, Curve, Onset, onset
from pythia_geometry.errors import PythiaGeometryError

COLUMNS = [*CURVE, "rule", "label", "after", "by", "baseline", "top", "reason", "note"]


def onsets(behaviour: pd.DataFrame, metrics: Sequence[str] = (), rules: Sequence[str] = tuple(RULES)) -> pd.DataFrame:
    """When each behaviour emerged, by each rule.

    Args:
        behaviour: A table from `curves`, `lm_eval` or `published`. Rows with a reason are not used.
        metrics: Metrics to read; all where empty.
        rules: Onset rules, see `emergence.onset`.

    Returns:
        One row a suite, model, seed, probe, task, metric and rule: label (emerges, does not emerge, only at the
        last point, untestable), the onset interval (after, by] in steps, baseline, top, the reason of what is
        untestable or cannot have emerged, and a note where the interval spans a change of source (another harness
        setting), which can make an onset by itself, or where no untrained step was seen.

    Raises:
        PythiaGeometryError: If a rule or metric is unknown, or a curve has a step twice or a value that is not
            a number and no reason.
    """
    if unknown := [rule for rule in rules if rule not in RULES]:
        raise PythiaGeometryError(f"There is no onset rule {unknown[0]!r}. Rules: {', '.join(RULES)}")
    held = sorted(behaviour["metric"].unique())
    if unknown := [metric for metric in metrics if metric not in held]:
        raise PythiaGeometryError(f"The table has no metric {unknown[0]!r}. It has {', '.join(held) or 'no rows'}")
    chosen = behaviour[behaviour["metric"].isin(list(metrics))] if metrics else behaviour
    rows = []
    for key, points in chosen.groupby(CURVE, sort=True):
        about = dict(zip(CURVE, key, strict=True))
        rows += [about | found for found in _of_curve(points.sort_values("step"), about, rules)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_curve(points: pd.DataFrame, about: dict[str, object], rules: Sequence[str]) -> list[dict[str, object]]:
    used = points[points["reason"].fillna("") == ""]
    if used.empty:
        reason = "; ".join(dict.fromkeys(points["reason"]))
        nan = float("nan")
        return [vars(Onset(rule, UNTESTABLE, nan, nan, nan, nan, reason)) | {"note": ""} for rule in rules]
    curve = as_curve(used, about)
    source = used.set_index("step")["source"]
    found = [onset(curve, rule) for rule in rules]
    return [vars(one) | {"note": "; ".join(_notes(curve, one, source))} for one in found]


def as_curve(points: pd.DataFrame, about: dict[str, object]) -> Curve:
    """The points of one curve as arrays.

    Args:
        points: Rows of one curve in order of step.
        about: What names it, for messages; its `metric` says how a baseline is found.

    Raises:
        PythiaGeometryError: If the metric is unknown or the points are no curve.
    """
    metric, name = str(about["metric"]), " ".join(str(part) for part in about.values() if part != "")
    if not is_known(metric):
        raise PythiaGeometryError(f"{name}: unknown metric {metric!r}")
    step, value, error, n, chance, majority = (
        points[column].to_numpy(dtype=float, na_value=np.nan)
        for column in ("step", "value", "error", "n", "chance", "majority")
    )
    try:
        return Curve(step, value, error, n, _level(chance), _level(majority), is_share(metric))
    except PythiaGeometryError as problem:
        raise PythiaGeometryError(f"{name}: {problem}") from problem


def _level(given: Array) -> float:
    """The largest stated level; NaN where none is."""
    return max((float(level) for level in given if np.isfinite(level)), default=np.nan)


def _notes(curve: Curve, found: Onset, source: pd.Series) -> Iterator[str]:
    """What makes an onset weaker than it looks."""
    if found.label != UNTESTABLE and curve.step[0] > EARLY:
        yield f"the baseline knows no step up to {EARLY}"
    if found.after < found.by and source[found.after] != source[found.by]:
        yield f"source changes inside the interval, from {source[found.after]} to {source[found.by]}"

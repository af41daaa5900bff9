"""When does a number rise? Onsets of every curve in a table: one row a curve and rule, none left out.

Behaviour, geometry, a head's score, a weight norm: each is a number by step. Every rule compares a curve with its
baseline and says between which two steps it left it for good. The rules disagree, and docs/definitions.md says how each
misleads: read several, never one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events import rules as event_rules
from pythia_geometry.analysis.events.rules import (
    EARLY,
    FRACTIONS,
    MIN_RISE,
    RULES,
    baselines,
    heights,
    share_error,
    tops,
)
from pythia_geometry.analysis.tables.reading import (
    NO_DIRECTION,
    check_columns,
    check_numbers,
    first_of,
    is_known,
    is_share,
    of_metrics,
    unmarked,
)
from pythia_geometry.analysis.tables.step_curves import Array, StepCurves
from pythia_geometry.errors import PythiaGeometryError

EMERGES, NEVER, LAST, UNTESTABLE = "emerges", "does not emerge", "only at the last point", "untestable"
UP, DOWN = "up", "down"
MIN_POINTS = 3  # a running median of 3 needs them

FOUND = ["direction", "rule", "label", "after", "by", "baseline", "top", "reason", "note"]
ABOUT_A_POINT = frozenset(
    ("step", "tokens", "value", "error", "ceiling", "n", "chance", "majority", "reason", "source", "reference_step",
     "probe_sha256", "precision", "revision", "commit", "weight_sha256")
)  # fmt: skip
"""Columns that tell of one point of a curve. Every other one tells curves apart, also one that is not known here."""

Direction = str | Mapping[str, str]


@dataclass(frozen=True)
class Onset:
    """When a curve rose by one rule.

    Attributes:
        rule: One of `RULES`.
        label: emerges, does not emerge, only at the last point, or untestable.
        after: The last step seen before the onset; NaN where the first step is already past it (left-censored).
        by: The first step past it; NaN where the label is neither emerges nor only at the last point.
        baseline: B of the curve.
        top: A of the curve.
        reason: Why it is untestable or cannot have emerged; empty otherwise.
    """

    rule: str
    label: str
    after: float = np.nan
    by: float = np.nan
    baseline: float = np.nan
    top: float = np.nan
    reason: str = ""


def find_onsets(curves: StepCurves, error: Array, level: Array, rule: str) -> list[Onset]:
    """The interval (after, by] in which each curve rose by one rule; higher is better.

    How it misleads: each rule in its own way (`events/rules.py`); and the grid decides, as between two checkpoints that
    are far apart no rule can tell.

    Args:
        curves: T curves.
        error: Standard errors e [T, n]; NaN where unknown.
        level: Of chance or the majority rate, the larger [T]; NaN where there is none.
        rule: `E2`: first step from which a − 2e stays above the baseline to the end. `E2x3`: the first of three steps
            in a row above it. `F10`, `F25`, `F50`: the first step at which the running median is 10, 25 or 50 % of the
            way from baseline to top, as is 80 % of all that follows; only where the top stands 3 errors above.

    Returns:
        One for each curve.

    Raises:
        PythiaGeometryError: If there is no such rule.

    Source: statements of the project, docs/definitions.md, "Events".
    """
    _check_rules([rule])
    steps, values = curves.steps, curves.values
    base = baselines(steps, values, level)
    if len(steps) < MIN_POINTS:
        return [
            Onset(rule, UNTESTABLE, baseline=b, reason=f"{len(steps)} steps; {MIN_POINTS} are needed") for b in base
        ]
    index, top, height = RULES[rule](values, error, base), tops(values), heights(values, error, base)
    found = []
    for t, reason in enumerate(why_untestable(error, base)):
        label, at = (UNTESTABLE, event_rules.NEVER) if reason else (_label(index[t], len(steps)), int(index[t]))
        if label == NEVER and rule in FRACTIONS and not height[t] >= MIN_RISE:
            reason = f"the top stands {height[t]:.1f} standard errors above the baseline; {MIN_RISE:.0f} are needed"
        after, by = (steps[at - 1] if at > 0 else np.nan), (steps[at] if at >= 0 else np.nan)
        found.append(Onset(rule, label, float(after), float(by), float(base[t]), float(top[t]), reason))
    return found


def why_untestable(error: Array, baseline: Array) -> list[str]:
    """Why no rule can speak of each curve [T]; empty where each can."""
    no_baseline = f"no baseline: no chance level and no step up to {EARLY}"
    known = [bool(np.isfinite(row).all()) for row in error]
    return [
        no_baseline if not np.isfinite(b) else "" if is_known_error else "no errors"
        for b, is_known_error in zip(baseline, known, strict=True)
    ]


def _label(index: int, n_steps: int) -> str:
    return NEVER if index == event_rules.NEVER else LAST if index == n_steps - 1 else EMERGES


def _check_rules(names: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in RULES]:
        raise PythiaGeometryError(f"There is no onset rule {unknown[0]!r}. Rules: {', '.join(RULES)}")


def onsets(
    table: pd.DataFrame,
    metrics: Sequence[str] = (),
    rules: Sequence[str] = tuple(RULES),
    direction: Direction | None = None,
) -> pd.DataFrame:
    """When each number rose, by each rule.

    How it misleads: see `find_onsets`. A measure without a chance level has its early mean alone for a baseline; one
    that falls and comes back has no onset of its recovery here: that is `collapse`.

    Args:
        table: Behaviour (from a walk, `lm_eval`, `published` or `read_table`), geometry, or any table with `metric` or
            `measure`, `step` and `value`; `error`, `n`, `chance`, `majority`, `reason` and `source` are read where they
            are. All other columns tell curves apart (task, layer, head, settings …). Rows with a reason are not used.
        metrics: Names in the column metric or measure; all where empty.
        rules: Onset rules, see `find_onsets`.
        direction: `up` or `down`, for all names or by name: which way the number goes when it emerges. Known for
            accuracy, exact match, log-probability and margin (up); every other is untestable without it.

    Returns:
        One row a curve and rule: what names the curve, direction, label (emerges, does not emerge, only at the last
        point, untestable), the onset interval (after, by] in steps, baseline, top (the lowest where it goes down), the
        reason of what is untestable or cannot have emerged, and a note where the interval spans a change of source
        (another harness setting), which can make an onset by itself, or where no untrained step was seen.

    Raises:
        PythiaGeometryError: If a rule, name or direction is unknown, or a curve has a step twice or holds a value that
            is no number, or no share, without a reason.
    """
    _check_rules(rules)
    kind = first_of(table, ("metric", "measure"))
    held = sorted(map(str, table[kind].unique()))
    ways = _directions(direction, held)
    if unknown := [name for name in (*metrics, *ways) if name not in held]:
        raise PythiaGeometryError(f"The table has no {kind} {unknown[0]!r}. It has {', '.join(held) or 'no rows'}")
    chosen = table[table[kind].isin(list(metrics))] if metrics else table
    keys = _identity(table)
    if chosen.empty:
        return pd.DataFrame(columns=[*keys, *FOUND])
    check_columns(chosen, ("step", "value"), "onsets")
    by_name = {name: ways.get(name, UP if is_known(name) else "") for name in held}
    usable = _usable(chosen, chosen[kind].astype(str).map(by_name))
    check_numbers(chosen[usable].drop(columns="reason", errors="ignore"), "onsets")
    rows = []
    chosen = chosen.assign(**{_USABLE: usable}).sort_values("step", kind="stable")
    for key, points in chosen.groupby(keys, sort=True, dropna=False):
        about = dict(zip(keys, key, strict=True))
        way = by_name[str(about[kind])]
        rows += [about | {"direction": way} | found for found in _of_curve(points, about, way, rules)]
    return pd.DataFrame(rows, columns=[*keys, *FOUND])


_USABLE = "_usable"


def _usable(table: pd.DataFrame, way: pd.Series) -> pd.Series:
    """Rows without a reason, or whose only reason was that their direction is not known, which now is."""
    told = (table["reason"] == NO_DIRECTION).fillna(False).astype(bool) if "reason" in table else False
    return (unmarked(table) | told) & (way != "")


def _identity(table: pd.DataFrame) -> list[str]:
    """Columns that tell curves apart: all but those of a point, and but other columns of measured numbers."""
    return [str(name) for name in table if name not in ABOUT_A_POINT and not _is_measured(table[name])]


def _is_measured(column: pd.Series) -> bool:
    return pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 != 0).any())


def _directions(given: Direction | None, held: Sequence[str]) -> dict[str, str]:
    ways = dict.fromkeys(held, given) if isinstance(given, str) else dict(given or {})
    if bad := [way for way in ways.values() if way not in (UP, DOWN)]:
        raise PythiaGeometryError(f"direction {bad[0]!r}: expected {UP!r} or {DOWN!r}, or one of them by name")
    return ways


def _of_curve(
    points: pd.DataFrame, about: Mapping[str, Any], way: str, rules: Sequence[str]
) -> list[dict[str, object]]:
    used = points[points[_USABLE]]
    reason = "" if way else f"its direction is not stated: pass direction='{UP}' or '{DOWN}'"
    if way and used.empty:
        reason = "; ".join(dict.fromkeys(points["reason"].dropna().astype(str)))
    if reason:
        return [vars(Onset(rule, UNTESTABLE, reason=reason)) | {"note": ""} for rule in rules]
    name = " ".join(str(part) for part in about.values() if not pd.isna(part) and part != "")
    curves, error, level = as_curves(used, name, way)
    sources = used["source"].to_numpy() if "source" in used else None
    sign = -1.0 if way == DOWN else 1.0
    found = []
    for rule in rules:
        (one,) = find_onsets(curves, error, level, rule)
        row = vars(one) | {"baseline": sign * one.baseline, "top": sign * one.top}
        found.append(row | {"note": "; ".join(_notes(curves.steps, one, sources))})
    return found


def as_curves(points: pd.DataFrame, name: str, way: str = UP) -> tuple[StepCurves, Array, Array]:
    """The points of one curve as arrays: the curve [1, n], its errors [1, n] and its level [1].

    A curve that goes down is turned over, and has its early mean alone for a baseline.

    Args:
        points: Rows of one curve in order of step.
        name: For messages.
        way: up or down.

    Raises:
        PythiaGeometryError: If a step is repeated or a value is no number.
    """
    step, value, error, n, chance, majority = (_numbers(points, column) for column in _READ)
    is_of_items = "metric" in points and of_metrics(points, is_share).all()
    e = share_error(value, n, error) if is_of_items else error
    level = np.nanmax([*chance, *majority, -np.inf]) if is_of_items and way == UP else -np.inf
    sign = -1.0 if way == DOWN else 1.0
    known = level if np.isfinite(level) else np.nan
    return StepCurves(step, sign * value[None], name), e[None], np.array([known])


_READ = ("step", "value", "error", "n", "chance", "majority")


def _numbers(points: pd.DataFrame, column: str) -> Array:
    if column not in points:
        return np.full(len(points), np.nan)
    return points[column].to_numpy(dtype=float, na_value=np.nan)


def _notes(steps: Array, found: Onset, sources: np.ndarray | None) -> Iterator[str]:
    """What makes an onset weaker than it looks."""
    if found.label != UNTESTABLE and steps[0] > EARLY:
        yield f"the baseline knows no step up to {EARLY}"
    if sources is not None and found.after < found.by:
        before, past = (sources[int(np.searchsorted(steps, step))] for step in (found.after, found.by))
        if before != past:
            yield f"source changes inside the interval, from {before} to {past}"

"""Where a geometry curve falls to a floor and comes back: the transient and the plateau, kept apart.

Two different collapses are seen in small transformers (docs/lab.md). The *transient* is a dip of all tasks at once
inside the learning rate's warm-up. The *plateau* comes later, where a task is not yet learnt: RankMe rises out of
the transient and falls a second time. A detector that takes the lowest point of the whole curve mixes the two, so
each has its window of steps, stated below.

Plain arrays here, by the rules of `rules.py`; `collapses` is the table. Source: docs/definitions.md, "Events"
(assumptions A10 and A20).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from pythia_geometry.analysis.events.rules import MIN_RETURN, are_apart, crossing, falls, floors, peaks, returns
from pythia_geometry.analysis.tables.reading import unmarked
from pythia_geometry.analysis.tables.step_curves import Array, StepCurves, running_median
from pythia_geometry.errors import PythiaGeometryError

TRANSIENT, PLATEAU, WHOLE = "transient", "plateau", "whole"
WINDOWS = {TRANSIENT: (0.0, 60.0), PLATEAU: (100.0, 1000.0), WHOLE: (0.0, np.inf)}
"""Steps in which each floor is looked for (assumption A20); the whole curve's is its lowest point anywhere."""

COLLAPSES, NO_FALL, STAYS_DOWN, AT_THE_EDGE, UNTESTABLE = (
    "collapses",
    "does not collapse",
    "never rose before it",
    "floor at the edge",
    "untestable",
)
MIN_POINTS = 3


@dataclass(frozen=True)
class Collapse:
    """One fall of one curve, and its recovery.

    Attributes:
        phase: transient, plateau or whole.
        label: collapses; does not collapse (falls less than a fifth, or less than three errors); never rose before
            it (plateau: the curve is still on the transient's floor); floor at the edge (the lowest point is the
            window's last or the curve's last: how deep it goes is not seen); untestable (fewer than three steps).
        start: Value it falls from: the first step's (transient, whole), the highest between the floors (plateau).
        floor: Lowest running median of 3 in the window.
        floor_step: Its step.
        depth: ln start − ln floor, in nats.
        halfway: Step, interpolated in log step, at which half the fall is done; NaN without a collapse.
        peak: Highest running median after the floor (transient: up to the plateau's floor, where there is one).
        recovers: Whether the peak stands a tenth (of a nat) and three errors above the floor.
        rise_after: Last step before the curve has come a tenth of the way (in logs) from floor to peak for good.
        rise_by: First step at which it has.
        half_after: The same for half the way.
        half_by: The same for half the way.
    """

    phase: str
    label: str
    start: float = np.nan
    floor: float = np.nan
    floor_step: float = np.nan
    depth: float = np.nan
    halfway: float = np.nan
    peak: float = np.nan
    recovers: bool = False
    rise_after: float = np.nan
    rise_by: float = np.nan
    half_after: float = np.nan
    half_by: float = np.nan


def find_collapses(step: Array, value: Array, error: Array) -> tuple[Collapse, Collapse, Collapse]:
    """The transient and the plateau of one curve, and the fall to its lowest point wherever that lies.

    How it misleads: windows are in optimiser steps and were chosen on runs with 100 steps of warm-up; other
    schedules need their own. A plateau in the window says nothing of one that comes later. Uncentred RankMe can
    fall because the mean grows while the spread around it stays: read the centred one beside it.

    Args:
        step: Training steps [S], increasing.
        value: A positive measure [S], such as RankMe.
        error: Its standard error [S]; NaN where unknown, and then nothing counts as a collapse.

    Raises:
        PythiaGeometryError: If a value is not positive, lengths differ, or steps do not increase.
    """
    if not (len(step) == len(value) == len(error)) or (np.diff(step) <= 0).any() or not (value > 0).all():
        raise PythiaGeometryError(
            "A collapse needs steps that increase and one positive value and one error for each; "
            f"got {len(step)} steps, {len(value)} values, {len(error)} errors"
        )
    if len(step) < MIN_POINTS:
        return Collapse(TRANSIENT, UNTESTABLE), Collapse(PLATEAU, UNTESTABLE), Collapse(WHOLE, UNTESTABLE)
    curve, relative = StepCurves(step, np.log(running_median(value))[None]), (error / value)[None]
    plateau = _plateau(curve, relative)
    end = len(step) - 1
    if plateau.label == COLLAPSES:
        end = int(np.searchsorted(step, plateau.floor_step))
    whole = _described(curve, relative, WHOLE, 0, int(floors(curve.values)[0]), len(step) - 1)
    return _transient(curve, relative, end), plateau, whole


def _lowest(curve: StepCurves, phase: str) -> int | None:
    """Index of the lowest point inside the phase's window; None where no step lies in it."""
    first, last = WINDOWS[phase]
    inside = (curve.steps >= first) & (curve.steps <= last)
    return int(floors(curve.values, inside)[0]) if inside.any() else None


def _is_edge(curve: StepCurves, phase: str, low: int) -> bool:
    """Whether the curve still falls where the window or the curve ends."""
    smooth = curve.values[0]
    last = np.flatnonzero(curve.steps <= WINDOWS[phase][1])[-1]
    return low == len(smooth) - 1 or (low == last and bool(smooth[low + 1] < smooth[low]))


def _transient(curve: StepCurves, error: Array, end: int) -> Collapse:
    low = _lowest(curve, TRANSIENT)
    if low is None:
        return Collapse(TRANSIENT, UNTESTABLE)
    return _described(curve, error, TRANSIENT, 0, low, end)


def _plateau(curve: StepCurves, error: Array) -> Collapse:
    first, low = _lowest(curve, TRANSIENT), _lowest(curve, PLATEAU)
    if first is None or low is None:
        return Collapse(PLATEAU, UNTESTABLE)
    top = int(peaks(curve.values, first, low)[0])
    if not are_apart(curve.values, error, top, first, MIN_RETURN)[0]:
        floor = float(np.exp(curve.values[0, low]))
        return Collapse(PLATEAU, STAYS_DOWN, floor=floor, floor_step=float(curve.steps[low]))
    return _described(curve, error, PLATEAU, top, low, len(curve.steps) - 1)


def _described(curve: StepCurves, error: Array, phase: str, top: int, low: int, end: int) -> Collapse:
    smooth = curve.values[0]
    does_fall = bool(falls(curve.values, error, top, low)[0])
    label = NO_FALL if not does_fall else AT_THE_EDGE if _is_edge(curve, phase, low) else COLLAPSES
    depth = float(smooth[top] - smooth[low])
    high = int(peaks(curve.values, low, end)[0])
    found = Collapse(
        phase, label, float(np.exp(smooth[top])), float(np.exp(smooth[low])), float(curve.steps[low]), depth,
        halfway=_halfway(curve, top, low, float(smooth[top]) - depth / 2) if does_fall else np.nan,
        peak=float(np.exp(smooth[high])),
    )  # fmt: skip
    if not are_apart(curve.values, error, low, high, MIN_RETURN)[0]:
        return found
    (rise_after, rise_by), (half_after, half_by) = (_return(curve, low, high, share) for share in (0.1, 0.5))
    return replace(found, recovers=True, rise_after=rise_after, rise_by=rise_by, half_after=half_after, half_by=half_by)


def _halfway(curve: StepCurves, top: int, low: int, level: float) -> float:
    """Step at which the fall first passes a level, linear in log(step + 1) between checkpoints."""
    smooth = curve.values[0]
    at = top + int(np.argmax(smooth[top : low + 1] <= level))
    return float(np.exp(crossing(np.log(curve.steps + 1), -smooth, -level, at)) - 1)


def _return(curve: StepCurves, low: int, high: int, share: float) -> tuple[float, float]:
    """The interval in which the curve came a share of the way from floor to peak and stayed there until the peak."""
    by = int(returns(curve.values, low, high, share)[0])
    return float(curve.steps[by - 1]), float(curve.steps[by])


CURVE = ["model", "seed", "task", "layer", "layer_index", "measure"]


def collapses(geometry: pd.DataFrame, measures: tuple[str, ...] = ("rankme",)) -> pd.DataFrame:
    """The collapses of every curve of these measures.

    How it misleads: see `find_collapses`. Curves of one run share its weights, so many of them collapsing is one event.

    Args:
        geometry: A tidy table with model, seed, step, task, layer, layer_index, measure, value and error. Where it
            has suite, probe, position, head or settings, curves are told apart by them too. Rows with a reason are not
            used.
        measures: Which measures to read.

    Returns:
        One row a curve and phase: what names the curve, and the attributes of `Collapse`.

    Raises:
        PythiaGeometryError: If the table lacks a column, or a curve has a step twice or a value that is not positive.
    """
    needed = [*CURVE, "step", "value", "error"]
    if missing := [column for column in needed if column not in geometry]:
        raise PythiaGeometryError(f"The geometry table has no column {missing[0]!r}. Expected {', '.join(needed)}")
    keys = [column for column in ("suite", "probe", "position", "head", "settings") if column in geometry] + CURVE
    rows = []
    for key, points in geometry[geometry["measure"].isin(measures)].groupby(keys, sort=True, dropna=False):
        about = dict(zip(keys, key, strict=True))
        points = points[unmarked(points) & points["value"].notna()].sort_values("step")
        step, value, error = (points[c].to_numpy(dtype=float, na_value=np.nan) for c in ("step", "value", "error"))
        try:
            rows += [about | asdict(found) for found in find_collapses(step, value, error)]
        except PythiaGeometryError as problem:
            raise PythiaGeometryError(f"{' '.join(map(str, key))}: {problem}") from problem
    return pd.DataFrame(rows, columns=[*keys, *Collapse.__dataclass_fields__])

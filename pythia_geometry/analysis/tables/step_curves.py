"""Curves over training steps, one a row, and the even grid in log10(step) on which they are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.errors import PythiaGeometryError

Array = NDArray[np.float64]
BIN = 0.1  # decades of steps
MAX_LAG = 2.0  # decades
LAGS: Array = np.asarray(BIN * np.arange(-round(MAX_LAG / BIN), round(MAX_LAG / BIN) + 1), dtype=np.float64)
MIN_STEPS = 8
MIN_OVERLAP = 1.0  # decades in which all curves must have been measured


@dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class StepCurves:
    """Several curves of one training run at the same steps: the one curve type of the analysis.

    Args:
        steps: Optimiser steps [n], rising, each once, from 0 on.
        values: One curve a row [T, n], finite.
        what: What the values are, for messages.

    Raises:
        PythiaGeometryError: If the steps are unsorted, repeated or negative, the shapes differ, or a value is not
            finite.
    """

    steps: Array
    values: Array
    what: str = "value"

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.steps):
            raise PythiaGeometryError(
                f"{self.what}: expected one row a task and one column a step, [T, {len(self.steps)}]; "
                f"got shape {self.values.shape}"
            )
        bad = np.flatnonzero(np.diff(self.steps) <= 0)
        if len(bad):
            before, after = self.steps[bad[0]], self.steps[bad[0] + 1]
            fault = "repeated" if before == after else "unsorted"
            raise PythiaGeometryError(
                f"{self.what}: column 'step' is {fault}: {before:g} is followed by {after:g}. Expected each step once, "
                "in rising order"
            )
        if len(self.steps) and self.steps[0] < 0:
            raise PythiaGeometryError(f"{self.what}: column 'step' holds {self.steps[0]:g}; no step is below 0")
        if not np.isfinite(self.values).all():
            row, column = np.argwhere(~np.isfinite(self.values))[0]
            raise PythiaGeometryError(
                f"{self.what}: column 'value' is not finite in row {row} at step {self.steps[column]:g}. "
                "Leave that step out, or give a reason in column 'reason'"
            )

    @property
    def x(self) -> Array:
        """log10(step) [n].

        Raises:
            PythiaGeometryError: If a step is below 1, or fewer than 8 are no curve on a log axis.
        """
        if len(self.steps) < MIN_STEPS:
            raise PythiaGeometryError(
                f"{self.what}: {len(self.steps)} steps are too few for a curve; expected at least {MIN_STEPS} from "
                "step 1 on, the same for all tasks. Walk more steps (--steps log or all)"
            )
        if self.steps[0] < 1:
            raise PythiaGeometryError(
                f"{self.what}: column 'step' holds {self.steps[0]:g}, which has no place on a log axis. "
                "Leave steps below 1 out"
            )
        return np.asarray(np.log10(self.steps))


def common_grid(curves: Sequence[StepCurves]) -> Array:
    """Even grid of tenths of a decade inside the range that all curves cover.

    How it misleads: a decade counts as much as any other, though most checkpoints lie in the last.

    Raises:
        PythiaGeometryError: If they share less than one decade.
    """
    low, high = max(c.x[0] for c in curves), min(c.x[-1] for c in curves)
    if high - low < MIN_OVERLAP:
        ranges = "; ".join(f"{c.what} {c.steps[0]:g} to {c.steps[-1]:g}" for c in curves)
        raise PythiaGeometryError(
            f"The curves do not overlap in column 'step': {ranges}. Expected at least a decade of steps in common"
        )
    return np.asarray(BIN * np.arange(np.ceil(low / BIN - 1e-9), np.floor(high / BIN + 1e-9) + 1))


def resample(curves: StepCurves, grid: Array) -> Array:
    """Values at the grid's points [T, len(grid)], linear in log10(step) between checkpoints.

    How it misleads: where checkpoints are sparse the line between two of them looks like data; where they are dense all
    but the nearest two are not read.
    """
    x = curves.x
    return np.array([np.interp(grid, x, row) for row in curves.values])


def smooth(values: Array) -> Array:
    """Mean of each value and its two neighbours along the last axis; the ends count themselves twice.

    How it misleads: neighbouring values are no longer independent, so a test that takes them for that calls too often.
    """
    padded = np.concatenate([values[..., :1], values, values[..., -1:]], axis=-1)
    return np.asarray((padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]) / 3)


def running_median(values: Array) -> Array:
    """Median of each value and its two neighbours along the last axis; the ends stay as they are (assumption A22).

    How it misleads: nothing smooths the ends, so a last value that is noise can be the top or the floor of a curve.

    Args:
        values: Curves [..., n].

    Returns:
        [..., n], each a value of the same curve.
    """
    if values.shape[-1] < 3:
        return values
    left, middle, right = values[..., :-2], values[..., 1:-1], values[..., 2:]
    inner = np.maximum(np.minimum(left, right), np.minimum(np.maximum(left, right), middle))
    return np.concatenate([values[..., :1], inner, values[..., -1:]], axis=-1)


def lagged_products(first: Array, second: Array) -> Array:
    """C[i, j, l] = Σ_k first[i, k] · second[j, k + l], l from −2 to +2 decades.

    A peak at a positive lag means that `first` moved before `second`. Sums run over the overlap and are not
    divided by its length, so that long lags are not favoured by their few terms.

    How it misleads: two curves that only rise have a peak somewhere, and where it lies is their shapes', not their
    order.

    Args:
        first: Rows [Tf, n].
        second: Rows [Ts, n].

    Returns:
        [Tf, Ts, 41].
    """
    reach = len(LAGS) // 2
    padded = np.pad(second, ((0, 0), (reach, reach)))
    moved = np.lib.stride_tricks.sliding_window_view(padded, first.shape[1], axis=1)  # [Ts, 41, n]
    return np.asarray(np.tensordot(first, moved, axes=([1], [2])))


def peak_lag(profile: Array) -> Array:
    """Lag in decades at which a profile [..., 41] is highest, −2 … 2, refined by the parabola through three points.

    How it misleads: a flat or two-humped profile has a highest point too; at ±2 it lies outside what was looked at.
    """
    rows = profile.reshape(-1, profile.shape[-1])
    every, at = np.arange(len(rows)), rows.argmax(axis=1)
    inside = np.clip(at, 1, rows.shape[1] - 2)
    left, top, right = (rows[every, inside + k] for k in (-1, 0, 1))
    bend = left - 2 * top + right
    bends = (bend < 0) & (at == inside)
    shift = np.where(bends, 0.5 * (left - right) / np.where(bends, bend, 1.0), 0.0)
    return np.asarray((LAGS[at] + BIN * shift).reshape(profile.shape[:-1]))

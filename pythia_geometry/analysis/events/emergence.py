"""When does a behaviour emerge? Onsets of one curve, as intervals of the grid on which it was seen.

Every rule compares a curve with its baseline and says between which two steps it left it for good. The rules
disagree, and docs/emergence.md says how each misleads: read several, never one. Plain arrays here; the tables
are in `onsets`.

Source: the protocol notes, section A.3 (docs/emergence.md gives it whole).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.errors import PythiaGeometryError

EMERGES, NEVER, LAST, UNTESTABLE = "emerges", "does not emerge", "only at the last point", "untestable"

EARLY = 16  # steps whose mean is the untrained baseline
MIN_POINTS = 3  # a running median of 3 needs them
MIN_RISE = 3.0  # standard errors between baseline and top; a smaller rise has no fractions
SUSTAINED = 0.8  # share of the later checkpoints that must stay above a fraction

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Curve:
    """One behaviour of one training run over its steps; higher is better.

    Attributes:
        step: Training steps [S], strictly increasing.
        value: The metric at each step [S]; finite.
        error: Its standard error [S]. For shares, 0 and NaN are replaced by Wilson's; for others NaN stays
            unknown.
        n: Number of items at each step [S]; NaN where unknown.
        chance: Expected value of guessing; NaN where there is none.
        majority: Share of the most frequent answer; NaN where it is unknown.
        is_share: Whether the value is a share of right items (accuracy, exact match). Otherwise the metric is
            continuous (a log-probability): `chance` and `majority` are not read.

    Raises:
        PythiaGeometryError: If lengths differ, a value is not finite, a share is not between 0 and 1, an n is
            not positive, or steps do not increase.
    """

    step: Array
    value: Array
    error: Array
    n: Array
    chance: float = float("nan")
    majority: float = float("nan")
    is_share: bool = True

    def __post_init__(self) -> None:
        for name in ("step", "value", "error", "n"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=float))
        shapes = {name: getattr(self, name).shape for name in ("step", "value", "error", "n")}
        if len(set(shapes.values())) > 1 or self.step.ndim != 1:
            raise PythiaGeometryError(f"A curve needs arrays of one length; got {shapes}")
        if not np.isfinite(self.value).all():
            bad = self.step[~np.isfinite(self.value)][0]
            raise PythiaGeometryError(f"A curve's value at step {bad:.0f} is not a number. Leave such steps out")
        if not (np.diff(self.step) > 0).all():
            raise PythiaGeometryError(f"A curve's steps must increase; got {self.step.tolist()}. Sort, drop repeats")
        if self.is_share and len(self.value) and (self.value.min() < 0 or self.value.max() > 1):
            raise PythiaGeometryError(
                f"A share of right items lies between 0 and 1; got {self.value.min():g} to {self.value.max():g}"
            )
        if (self.n <= 0).any():
            raise PythiaGeometryError(f"A curve's n must be positive; got {self.n.min():g}. Use NaN where unknown")

    @cached_property
    def baseline(self) -> float:
        """B: what the run does before it has learned anything.

        For shares the largest of chance, majority rate and the mean value over steps ≤ 16; for continuous
        metrics that mean alone. NaN where none of these is known.

        How it misleads: without early checkpoints it falls back on chance, and untrained models are not at
        chance (PIQA .53 for .50), so that an artefact of the format counts as ability.
        """
        return baseline(self.step, self.value, *([self.chance, self.majority] if self.is_share else []))

    @cached_property
    def smooth(self) -> Array:
        """The running median of 3 [S]."""
        return running_median(self.value)

    @property
    def top(self) -> float:
        """A: the maximum of the running median, wherever it lies; late decline does not lower it."""
        return float(self.smooth.max()) if len(self.smooth) else float("nan")

    @cached_property
    def standard_error(self) -> Array:
        """The errors [S], Wilson's (half the interval at z = 1) for shares whose own error is 0 or unknown."""
        if not self.is_share:
            return self.error
        lower, upper = wilson(self.value, self.n)
        return np.where(self.error > 0, self.error, (upper - lower) / 2)

    def lower(self, k: float) -> Array:
        """The lower end of the interval of k standard errors [S]; Wilson's where a share's error is 0 or unknown."""
        lower = self.value - k * self.error
        return np.where(self.error > 0, lower, wilson(self.value, self.n, k)[0]) if self.is_share else lower

    @property
    def rise(self) -> float:
        """z: (top − baseline) / standard error at the top; infinite where that error is 0."""
        error = self.standard_error[int(self.smooth.argmax())]
        height = self.top - self.baseline
        return float(height / error) if error != 0 else float(np.copysign(np.inf, height) if height else 0.0)


@dataclass(frozen=True)
class Onset:
    """When a curve emerged by one rule.

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
    after: float
    by: float
    baseline: float
    top: float
    reason: str = ""


def onset(curve: Curve, rule: str) -> Onset:
    """The interval (after, by] in which a curve emerged by one rule.

    Args:
        curve: The curve.
        rule: `E2`: the first step from which value − 2 errors stays above the baseline to the end.
            `E2x3`: the first of three steps in a row above it.
            `F10`, `F25`, `F50`: the first step at which the running median has come 10, 25 or 50 % of the way
            from baseline to top, and of which, with all that follow, at least 80 % have; only where the top
            stands 3 standard errors above the baseline.

    Raises:
        PythiaGeometryError: If there is no such rule.
    """
    if rule not in RULES:
        raise PythiaGeometryError(f"There is no onset rule {rule!r}. Rules: {', '.join(RULES)}")
    if reason := _untestable(curve):
        return Onset(rule, UNTESTABLE, np.nan, np.nan, curve.baseline, curve.top, reason)
    index, reason = RULES[rule](curve)
    if index is None:
        return Onset(rule, NEVER, np.nan, np.nan, curve.baseline, curve.top, reason)
    label = LAST if index == len(curve.step) - 1 else EMERGES
    before = float(curve.step[index - 1]) if index else np.nan
    return Onset(rule, label, before, float(curve.step[index]), curve.baseline, curve.top)


def _untestable(curve: Curve) -> str:
    """Why no rule can speak of this curve; empty where each can."""
    if len(curve.step) < MIN_POINTS:
        return f"{len(curve.step)} steps; {MIN_POINTS} are needed"
    if not np.isfinite(curve.baseline):
        return f"no baseline: no chance level and no step up to {EARLY}"
    if not np.isfinite(curve.standard_error).all():
        return "no errors"
    return ""


Found = tuple[int | None, str]


def _stays_above(curve: Curve) -> Found:
    return first_sustained(curve.lower(2.0) > curve.baseline), ""


def _three_above(curve: Curve) -> Found:
    above = curve.lower(2.0) > curve.baseline
    runs = above[:-2] & above[1:-1] & above[2:]
    if runs.any():
        return int(runs.argmax()), ""
    # One point at the very end may be the first of three: it is told apart from none.
    return (len(above) - 1 if above[-1] and not above[-2] else None), ""


def _fraction(curve: Curve, fraction: float) -> Found:
    if not curve.rise >= MIN_RISE:
        return None, f"the top stands {curve.rise:.1f} standard errors above the baseline; {MIN_RISE:.0f} are needed"
    above = curve.smooth >= curve.baseline + fraction * (curve.top - curve.baseline)
    share_from = np.cumsum(above[::-1])[::-1] / np.arange(len(above), 0, -1)
    lasting = above & (share_from >= SUSTAINED)
    return (int(lasting.argmax()) if lasting.any() else None), ""


RULES: dict[str, Callable[[Curve], Found]] = {
    "E2": _stays_above,
    "E2x3": _three_above,
    "F10": lambda curve: _fraction(curve, 0.10),
    "F25": lambda curve: _fraction(curve, 0.25),
    "F50": lambda curve: _fraction(curve, 0.50),
}
"""Onset rules by name; see `onset`."""


def baseline(step: Array, value: Array, *levels: float) -> float:
    """The largest of the mean over steps ≤ 16 and the finite levels; NaN where there is neither."""
    early = value[step <= EARLY]
    known = [float(early.mean())] if len(early) else []
    return max([*known, *(float(level) for level in levels if np.isfinite(level))], default=float("nan"))


def first_sustained(above: Flags) -> int | None:
    """Index of the first point from which all are true to the end; None where the last is not."""
    lasting = np.logical_and.accumulate(above[::-1])[::-1]
    return int(lasting.argmax()) if lasting.any() else None


def running_median(values: Array) -> Array:
    """Median of each value and its two neighbours; the first and the last value stay as they are."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    return np.asarray(np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0))


def wilson(share: Array, n: Array, z: float = 1.0) -> tuple[Array, Array]:
    """Wilson's interval of a share: (lower, upper), never empty, inside 0 … 1.

    Args:
        share: Shares of successes.
        n: Number of items.
        z: Half-width in standard errors.
    """
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.asarray(centre - half), np.asarray(centre + half)

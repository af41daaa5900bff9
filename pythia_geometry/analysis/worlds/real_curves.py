"""Studies whose behaviour is real: curves as they were measured, and in geometry's place a surrogate of known truth.

Made-up behaviour is logistic; real curves wander, dip, rise twice and share their checkpoints' luck. Here accuracy (and
the continuous metric, where it was measured) is not touched. Geometry is what it is in every world, a shared collapse,
late compression and noise, and its recovery is a surrogate made of real curves: another task's, another run's, one's
own with its timing destroyed. A true lead exists where a task's own curve is moved to earlier steps, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.analysis.tables.step_curves import BIN, StepCurves, running_median
from pythia_geometry.analysis.worlds.designs import Array, Design, Rng, Shape
from pythia_geometry.analysis.worlds.made_up import LOG_PROB_SPAN, WORLDS, Drawn, draw_shared
from pythia_geometry.analysis.worlds.studies import StudyDrawn

MIN_TASKS = 5
MOST_CHOICES = 200


@dataclass(frozen=True)
class RealRun:
    """Behaviour of one run, tasks that emerged.

    Attributes:
        name: The run.
        tasks: T names.
        families: Family of each [T].
        accuracy: As measured [T, n].
        error: Its standard errors [T, n].
        continuous: As measured [T, m]; None where it was not.
        midpoints: log10(step) at which accuracy is halfway [T].
    """

    name: str
    tasks: tuple[str, ...]
    families: tuple[str, ...]
    accuracy: StepCurves
    error: Array
    continuous: StepCurves | None
    midpoints: Array

    def only(self, tasks: Sequence[str]) -> RealRun:
        """The same run with these of its tasks, in this order."""
        rows = np.array([self.tasks.index(task) for task in tasks])
        families = tuple(self.families[row] for row in rows)
        accuracy, continuous = (
            _rows(self.accuracy, rows),
            None if self.continuous is None else _rows(self.continuous, rows),
        )
        return RealRun(self.name, tuple(tasks), families, accuracy, self.error[rows], continuous, self.midpoints[rows])

    @property
    def way(self) -> Array:
        """Share of each task's own range that accuracy has come, smoothed over three checkpoints [T, n]."""
        curve = running_median(self.accuracy.values)
        low, high = curve.min(axis=1, keepdims=True), curve.max(axis=1, keepdims=True)
        return np.asarray((curve - low) / np.where(high > low, high - low, 1.0))


Surrogate = Callable[[RealRun, Sequence[RealRun], Rng], Array]
"""(run, all runs with the same tasks, rng) → share of the recovery that is done [T, n]; one rng state for all runs."""


@dataclass(frozen=True)
class RealWorld:
    """A surrogate of geometry.

    Attributes:
        name: As printed.
        truth: In words.
        surrogate: What recovers when.
        lead: True lead in decades; None where there is none.
        grows: Whether the recovery is larger where behaviour is later.
        least_runs: Runs that it takes.
        forbids: As in `StudyWorld`, also `legs_forbid` and `null_from`.
    """

    name: str
    truth: str
    surrogate: Surrogate
    lead: float | None = None
    grows: bool = False
    least_runs: int = 1
    forbids: str = ""
    legs_forbid: str = ""
    null_from: int = 1


def groups_of(runs: Sequence[RealRun], n_runs: int) -> list[tuple[RealRun, ...]]:
    """Every choice of so many runs that share five tasks or more, reduced to those; at most 200.

    A run may be chosen twice, since few real runs share five tasks: its behaviour is then the same, geometry is not.
    """
    found: list[tuple[RealRun, ...]] = []
    for group in combinations_with_replacement(runs, n_runs):
        shared = [task for task in group[0].tasks if all(task in run.tasks for run in group)]
        if len(shared) >= MIN_TASKS and len(found) < MOST_CHOICES:
            found.append(tuple(run.only(shared) for run in group))
    return found


def draw_real(of: RealWorld, groups: Sequence[tuple[RealRun, ...]], others: Sequence[RealRun], rng: Rng) -> StudyDrawn:
    """One study: a group of real runs at random, with surrogates of one draw of timing and noise of their own.

    Args:
        of: The world.
        groups: Of `groups_of`.
        others: All runs, for surrogates that come from another.
        rng: Of all draws.
    """
    group = groups[int(rng.integers(len(groups)))]
    timing = int(rng.integers(2**31))  # tasks' own lags and orders are the same in all runs of a study
    drawn = [_draw(of, run, others, np.random.default_rng(timing), rng) for run in group]
    return StudyDrawn(tuple(run for run, _ in drawn), tuple(other for _, other in drawn), group[0].families)


def _draw(of: RealWorld, run: RealRun, others: Sequence[RealRun], timing: Rng, rng: Rng) -> tuple[Drawn, Array]:
    steps, x, n = run.accuracy.steps, run.accuracy.x, len(run.tasks)
    design = Design(steps, n, midpoints=run.midpoints)
    rise = rng.uniform(*Shape.rise, (n, 1))
    if of.grows:
        rise = Shape.rise[0] + (run.midpoints - run.midpoints.min())[:, None] / max(float(np.ptp(run.midpoints)), 0.1)
    geometry = draw_shared(design, n, rng) + rise * of.surrogate(run, others, timing)
    other = rng.uniform(*Shape.rise, (n, 1)) * WORLDS["EARLY"].recovery(x, run.midpoints, design, rng)
    shuffled = draw_shared(design, n, rng) + other
    continuous = _resampled(run.continuous, steps) if run.continuous else _made_continuous(run, rng)
    drawn = Drawn(steps, geometry, run.accuracy.values, run.error, continuous, run.way[:, 0], run.midpoints)
    return drawn, shuffled


def _made_continuous(run: RealRun, rng: Rng) -> Array:
    """Where no continuous metric was measured: the way that accuracy has come, 3 nats of it, with fresh noise."""
    top = np.ptp(run.accuracy.values, axis=1)[:, None]
    noise = run.error / np.where(top > 0, top, 1.0)
    return np.asarray(LOG_PROB_SPAN * (run.way - 1 + 0.5 * noise * rng.normal(size=run.way.shape)))


def own(run: RealRun, others: Sequence[RealRun], rng: Rng) -> Array:
    """The task's own curve: geometry moves with behaviour."""
    return run.way


def another_task(run: RealRun, others: Sequence[RealRun], rng: Rng) -> Array:
    """Curves of the same run dealt out at random."""
    return run.way[rng.permutation(len(run.tasks))]


def another_run(run: RealRun, others: Sequence[RealRun], rng: Rng) -> Array:
    """The same tasks' curves in another run."""
    able = [other for other in others if other.name != run.name and set(run.tasks) <= set(other.tasks)]
    other = able[int(rng.integers(len(able)))].only(run.tasks) if able else run
    return _resampled(StepCurves(other.accuracy.steps, other.way), run.accuracy.steps)


def one_for_all(run: RealRun, others: Sequence[RealRun], rng: Rng) -> Array:
    """The mean curve, for every task."""
    return np.tile(run.way.mean(axis=0), (len(run.tasks), 1))


def half_own(run: RealRun, others: Sequence[RealRun], rng: Rng) -> Array:
    """Half the own curve and half one early event for all tasks."""
    early = WORLDS["EARLY"].recovery(run.accuracy.x, run.midpoints, Design(midpoints=run.midpoints), rng)
    return np.asarray((run.way + early) / 2)


def scattered(run: RealRun, others: Sequence[RealRun], rng: Rng) -> Array:
    """Each own curve moved by a lag of its own, mean 0, sd .3 decade."""
    return moved(run, rng.normal(0, 0.3, len(run.tasks)))


def phases(run: RealRun, others: Sequence[RealRun], rng: Rng) -> Array:
    """Changes of the own curve with their spectrum kept and their phases drawn anew, alike in all runs of a study."""
    x = run.accuracy.x
    grid = np.arange(x[0], x[-1], BIN / 2)
    spectrum = np.fft.rfft(np.diff([np.interp(grid, x, row) for row in run.way], axis=1), axis=1)
    turned = spectrum * np.exp(2j * np.pi * rng.random(spectrum.shape))
    turned[:, 0] = spectrum[:, 0]
    changes = np.fft.irfft(turned, n=len(grid) - 1, axis=1)
    return _summed(changes, grid, x)


def pieces(run: RealRun, others: Sequence[RealRun], rng: Rng) -> Array:
    """Changes of the own curve in pieces of .3 decade, put together in another order."""
    x = run.accuracy.x
    grid = np.arange(x[0], x[-1], BIN / 2)
    changes = np.diff([np.interp(grid, x, row) for row in run.way], axis=1)
    blocks = np.array_split(np.arange(changes.shape[1]), max(changes.shape[1] // 6, 2))
    order = [np.concatenate([blocks[k] for k in rng.permutation(len(blocks))]) for _ in run.tasks]
    return _summed(np.take_along_axis(changes, np.array(order), axis=1), grid, x)


def root(run: RealRun, others: Sequence[RealRun], rng: Rng) -> Array:
    """The square root of the own curve."""
    return np.sqrt(run.way)


def earlier(lead: float) -> Surrogate:
    """The own curve, so many decades earlier, up to a jitter of .1."""
    return lambda run, others, rng: moved(run, lead + rng.normal(0, 0.1, len(run.tasks)))


def moved(run: RealRun, by: Array) -> Array:
    """Each own curve so many decades earlier [T]; what came before the first step is its first value."""
    x = run.accuracy.x
    return np.array([np.interp(x + shift, x, row) for row, shift in zip(run.way, by, strict=True)])


def _summed(changes: Array, grid: Array, x: Array) -> Array:
    levels = np.concatenate([np.zeros((len(changes), 1)), np.cumsum(changes, axis=1)], axis=1)
    return np.array([np.interp(x, grid, row) for row in levels])


def _rows(curves: StepCurves, rows: NDArray[np.int64]) -> StepCurves:
    return replace(curves, values=curves.values[rows])


def _resampled(curves: StepCurves, steps: Array) -> Array:
    return np.array([np.interp(np.log10(steps), curves.x, row) for row in curves.values])


_SIZE = "the size of one event looks like timing to the legs; the word asks again at each task's own strength"
_SCALE = "a concave function of the same thing looks earlier in its own range: only the bend tells"

REAL = (
    RealWorld("OWN", "geometry moves with each task's real curve", own),
    RealWorld("OTHER TASK", "real curves of the same run, dealt out at random", another_task),
    RealWorld("OTHER RUN", "the same tasks' curves in another run", another_run, least_runs=2),
    RealWorld("ONE FOR ALL", "the mean real curve for every task", one_for_all),
    RealWorld("ONE, GROWS", "the same, larger where behaviour is later", one_for_all, grows=True, legs_forbid=_SIZE),
    RealWorld("HALF OWN", "half the own curve, half one early event", half_own),
    RealWorld("OWN LAGS", "the own curve, tasks lead or lag, in all runs alike, mean 0, sd .3", scattered),
    RealWorld("PHASES", "the own curve's spectrum, phases drawn anew", phases),
    RealWorld("PIECES", "the own curve's changes in another order", pieces),
    RealWorld("OWN ROOT", "the square root of the own curve", root, forbids=_SCALE),
    RealWorld("OWN, .3 EARLIER", "the own curve, .3 decade earlier (×2.0)", earlier(0.3), 0.3),
    RealWorld("OWN, .5 EARLIER", "the own curve, .5 decade earlier (×3.2)", earlier(0.5), 0.5),
)
"""Worlds on real curves; a true lead exists where `lead` is over 0."""

"""What can go wrong with a made-up run beside the time of its recovery: scales, sizes, noise, missing steps.

Each function takes a run's parts and gives them back changed. A referee's objections, one function each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import lfilter

from pythia_geometry.analysis.worlds.designs import MIDPOINTS, Array, Mask, Rng, Shape
from pythia_geometry.analysis.worlds.made_up import ANSWER_TOKENS, sigmoid


@dataclass(frozen=True)
class Parts:
    """What one run is put together from: geometry is shared + rise · recovery, behaviour shows the latent.

    Attributes:
        x: log10(step) [n].
        mid: Midpoints of behaviour [T].
        latent: What behaviour shows, 0 to 1 [T, n].
        recovery: Share of the recovery that is done [T, n].
        rise: Size of the recovery, ln units [T, 1].
        shared: Collapse, compression and noise of ln RankMe [T, n].
    """

    x: Array
    mid: Array
    latent: Array
    recovery: Array
    rise: Array
    shared: Array


Twist = Callable[[Parts, Rng], Parts]
Times = Callable[[Array, Rng], tuple[Array, Array]]
"""Midpoints [T] → (behaviour's midpoints, what geometry follows), the same in all runs of a study."""
Seen = Callable[[Array, Rng], Mask]
"""log10(step) [n] → the steps at which geometry was measured [n]."""


def bent(exponent: float) -> Twist:
    """Geometry is a power of what behaviour shows."""
    return lambda parts, rng: replace(parts, recovery=parts.latent**exponent)


def late(parts: Parts, rng: Rng) -> Parts:
    """Both metrics need several right tokens; geometry does not."""
    return replace(parts, recovery=parts.latent, latent=parts.latent**ANSWER_TOKENS)


def ends_early(parts: Parts, rng: Rng) -> Parts:
    """Geometry follows the latent up to a ceiling at a third of it."""
    return replace(parts, recovery=np.minimum(3 * parts.latent, 1.0))


def metrics_end_early(parts: Parts, rng: Rng) -> Parts:
    """Both metrics reach their ceiling at a half of what geometry follows."""
    return replace(parts, recovery=parts.latent, latent=np.minimum(2 * parts.latent, 1.0))


def ends_softly(parts: Parts, rng: Rng) -> Parts:
    """Geometry nears its ceiling while the latent still rises."""
    return replace(parts, recovery=1 - np.exp(-5 * parts.latent))


def overshoots(parts: Parts, rng: Rng) -> Parts:
    """Half of what geometry gains with behaviour is lost again .6 decade later."""
    return replace(parts, recovery=parts.latent - 0.5 * sigmoid((parts.x - parts.mid[:, None] - 0.6) / 0.2))


def running_mean(parts: Parts, rng: Rng) -> Parts:
    """Geometry is the mean of the latent over the last half decade of steps."""
    grid = np.arange(parts.x[0], parts.x[-1] + 0.02, 0.02)
    fine = np.array([np.interp(grid, parts.x, row) for row in parts.latent])
    summed = np.cumsum(
        np.concatenate([np.zeros((len(fine), 1)), np.repeat(fine[:, :1], 24, axis=1), fine], axis=1), axis=1
    )
    return replace(
        parts, recovery=np.array([np.interp(parts.x, grid, row) for row in (summed[:, 25:] - summed[:, :-25]) / 25])
    )


def own_widths(parts: Parts, rng: Rng) -> Parts:
    """One cause, smoothed by each task's geometry and behaviour in its own way: widths of .05 to .6 decade."""
    return _smoothed(parts, *rng.uniform(0.05, 0.6, (2, len(parts.mid), 1)))


def wider_when_hard(parts: Parts, rng: Rng) -> Parts:
    """One cause; geometry smooths it more where behaviour is later, behaviour less."""
    hard = _difficulty(parts)
    return _smoothed(parts, 0.1 + 0.4 * hard, 0.5 - 0.3 * hard)


def skewed(parts: Parts, rng: Rng) -> Parts:
    """Both are halfway at one step, but geometry is steepest before it and behaviour after it."""
    z = (parts.x - parts.mid[:, None]) / rng.uniform(*Shape.width, (len(parts.mid), 1))
    early, late = (np.exp(-np.exp(-np.clip(side - np.log(np.log(2)), -30, 30))) for side in (z, -z))
    return replace(parts, recovery=early, latent=1 - late)


def drifts(parts: Parts, rng: Rng) -> Parts:
    """One random walk in all curves, geometry and behaviour, stronger where behaviour is later."""
    walk = np.cumsum(rng.normal(size=len(parts.x)) * Shape.wander * np.sqrt(np.diff(parts.x, prepend=parts.x[0])))
    moved = (0.3 + 1.4 * _difficulty(parts)) * walk
    return replace(parts, shared=parts.shared + moved, latent=parts.latent + 0.3 * moved)


def waves(parts: Parts, rng: Rng) -> Parts:
    """Geometry swings by .2, each task with a period and phase of its own."""
    period, phase = rng.uniform(0.5, 1.5, (len(parts.mid), 1)), rng.uniform(0, 2 * np.pi, (len(parts.mid), 1))
    return replace(parts, shared=parts.shared + 0.2 * np.sin(2 * np.pi * parts.x / period + phase))


def noise_shrinks(parts: Parts, rng: Rng) -> Parts:
    """Noise of ln RankMe is eight times as large at first, and ends."""
    noise = lfilter([1.0], [1.0, -0.8], rng.normal(size=parts.latent.shape)) * Shape.own_noise * 0.6
    return replace(parts, shared=parts.shared + noise * np.linspace(8, 0, len(parts.x)))


def luck(parts: Parts, rng: Rng) -> Parts:
    """A checkpoint's good or bad luck with a task, which lasts, shows in its geometry and in its behaviour."""
    noise = lfilter([1.0], [1.0, -0.9], rng.normal(size=parts.latent.shape)) * 0.05
    return replace(parts, shared=parts.shared + noise, latent=parts.latent + noise)


def grows(parts: Parts, rng: Rng) -> Parts:
    """The recovery is larger where behaviour is later."""
    return replace(parts, rise=Shape.rise[0] + _difficulty(parts))


def shrinks(parts: Parts, rng: Rng) -> Parts:
    """The recovery is smaller where behaviour is later."""
    return replace(parts, rise=Shape.rise[0] + 1 - _difficulty(parts))


def grows_beside(parts: Parts, rng: Rng) -> Parts:
    """Beside each task's own recovery, one event of all tasks, larger where behaviour is later."""
    event = sigmoid((parts.x - 2.8) / 0.2)
    return replace(parts, shared=parts.shared + _difficulty(parts) * event)


def one_flat(parts: Parts, rng: Rng) -> Parts:
    """One task's geometry does not recover."""
    rise = parts.rise.copy()
    rise[rng.integers(len(rise))] = 0.0
    return replace(parts, rise=rise)


def in_two_steps(parts: Parts, rng: Rng) -> Parts:
    """Behaviour and geometry rise by half, rest for .8 decade, and rise again."""
    again = sigmoid((parts.x - parts.mid[:, None] - 0.8) / 0.08)
    first = sigmoid((parts.x - parts.mid[:, None]) / 0.08)
    return replace(parts, latent=(first + again) / 2, recovery=(first + again) / 2)


def jumps(parts: Parts, rng: Rng) -> Parts:
    """Geometry jumps in one step when behaviour is halfway."""
    return replace(parts, recovery=(parts.x > parts.mid[:, None]).astype(float))


def curved(parts: Parts, rng: Rng) -> Parts:
    """Geometry rises from the first step on, each task with a curvature of its own; no collapse."""
    trend = (parts.x / parts.x[-1]) ** rng.uniform(0.3, 4.0, (len(parts.mid), 1))
    collapse = parts.shared.mean(axis=0)
    return replace(parts, recovery=trend, rise=2 * parts.rise, shared=parts.shared - collapse + np.log(20))


def seam(parts: Parts, rng: Rng) -> Parts:
    """At step 2,000 the way of measuring changes: all curves jump there, each task's two by the same amount."""
    after, size = parts.x > np.log10(2000), rng.uniform(0, 0.5, (len(parts.mid), 1))
    return replace(parts, latent=parts.latent + size * after, shared=parts.shared + size * after)


def noisy_floor(parts: Parts, rng: Rng) -> Parts:
    """Noise of ln RankMe is four times as large before a tenth of the recovery is done, and lasts."""
    noise = lfilter([1.0], [1.0, -0.8], rng.normal(size=parts.latent.shape)) * Shape.own_noise * 0.6
    return replace(parts, shared=parts.shared + np.where(parts.recovery < 0.1, 4.0, 1.0) * noise)


def spikes(parts: Parts, rng: Rng) -> Parts:
    """One checkpoint of twenty is off by .3 in ln RankMe, up or down."""
    hit = rng.random(parts.latent.shape) < 0.05
    return replace(parts, shared=parts.shared + np.where(hit, 0.3 * rng.choice([-1, 1], hit.shape), 0.0))


def against(parts: Parts, rng: Rng) -> Parts:
    """Noise that turns round from checkpoint to checkpoint, and of which one task has what others lack."""
    noise = lfilter([1.0], [1.0, 0.8], rng.normal(size=parts.latent.shape)) * 2 * Shape.own_noise
    return replace(parts, shared=parts.shared + noise - noise.mean(axis=0))


def dips(parts: Parts, rng: Rng) -> Parts:
    """Both metrics fall below where they began before they rise."""
    dip = np.exp(-0.5 * ((parts.x - parts.mid[:, None] + 0.8) / 0.25) ** 2)
    return replace(parts, latent=parts.latent - 0.25 * dip)


def by_length(scatter: float) -> Times:
    """Prompt length drives behaviour and geometry, each with a scatter in decades."""

    def times(mid: Array, rng: Rng) -> tuple[Array, Array]:
        length = rng.uniform(2.6, 4.6, len(mid))
        behaviour, geometry = (length + rng.normal(0, scatter, len(mid)) for _ in range(2))
        return behaviour, geometry

    return times


def scattered(sd: float) -> Times:
    """Each task's geometry leads or lags by its own amount, in all runs; mean 0."""
    return lambda mid, rng: (mid, mid + rng.normal(0, sd, len(mid)))


def squeezed(mid: Array, rng: Rng) -> tuple[Array, Array]:
    """Geometry's times are half as far apart as behaviour's: early tasks lag, late ones lead, mean 0."""
    return mid, mid.mean() + 0.5 * (mid - mid.mean())


def unrelated(mid: Array, rng: Rng) -> tuple[Array, Array]:
    """Geometry's times have nothing to do with behaviour's."""
    return mid, rng.uniform(*MIDPOINTS, len(mid))


def all_before(mid: Array, rng: Rng) -> tuple[Array, Array]:
    """Every task's geometry recovers before the first behaviour rises, in an order of its own."""
    low, high = MIDPOINTS
    return high - (high - mid) * 0.55, rng.uniform(low, low + 0.4 * (high - low), len(mid))


def at_once(mid: Array, rng: Rng) -> tuple[Array, Array]:
    """All tasks are learnt at one step, up to .03 decade, and geometry with them."""
    same = mid.mean() + rng.normal(0, 0.03, len(mid))
    return same, same


def gap(x: Array, rng: Rng) -> Mask:
    """No geometry over 1.2 decades."""
    start = rng.uniform(2.4, 3.6)
    return np.asarray((x < start) | (x > start + 1.2))


def few(x: Array, rng: Rng) -> Mask:
    """Geometry at one step of six; of few steps at one of three, since a curve needs eight."""
    every = min(6, len(x) // 9)
    return np.asarray(np.arange(len(x)) % every == rng.integers(every))


def irregular(x: Array, rng: Rng) -> Mask:
    """Geometry at the first step, the last, and steps drawn at random: a fifth of them, and fourteen or more."""
    kept = [0, len(x) - 1, *rng.permutation(len(x))[: max(14, len(x) // 5)]]
    return np.asarray(np.isin(np.arange(len(x)), kept))


def _smoothed(parts: Parts, geometry: Array, behaviour: Array) -> Parts:
    """Both rise about the same middles, with these widths [T, 1]."""
    z = parts.x - parts.mid[:, None]
    return replace(parts, recovery=sigmoid(z / geometry), latent=sigmoid(z / behaviour))


def _difficulty(parts: Parts) -> Array:
    """How late each task's behaviour is, 0 to 1 [T, 1]."""
    return np.asarray((parts.mid[:, None] - parts.mid.min()) / max(float(np.ptp(parts.mid)), 0.1))

"""Made-up training runs whose truth is known: does geometry lead each task, or does it only look so?

docs/definitions.md, "Worlds"; the ranges are in designs.py.

    accuracy   B + gain · σ((x − μ)/w)                         x = log10(step); μ, w, gain a task
    log-prob   3 nats · σ((x − μ)/w)                           the same latent, with noise of its own
    noise      .5 se a checkpoint + .2 se shared by all tasks + a fixed offset of items
    ln RankMe  ln 200 − D σ((x − c)/.15) + U σ((x − ρ)/w_g) − late compression + AR(1) noise .03 + .018 shared

Only ρ, when a task's geometry recovers, tells the worlds apart. A true precursor exists in LEAD alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import lfilter

from pythia_geometry.analysis.worlds.designs import (
    COLLAPSE,
    EVAL_ITEMS,
    MIDPOINTS,
    Array,
    Design,
    Rng,
    Shape,
    by_family,
)
from pythia_geometry.errors import PythiaGeometryError

LEAD_JITTER = 0.1  # decades, between tasks
ANSWER_TOKENS = 4  # of the mirage
LOG_PROB_SPAN, LOG_PROB_SPREAD = 3.0, 1.0  # nats: rise of a task's mean, and spread over its items


@dataclass(frozen=True)
class Drawn:
    """One made-up run. Arrays are [T, n] unless noted.

    Attributes:
        steps: [n].
        geometry: ln RankMe.
        accuracy: With noise.
        error: Binomial standard error of the accuracy.
        log_prob: The continuous metric.
        baseline: Accuracy before the rise [T].
        midpoints: True midpoints of the latent behaviour [T].
    """

    steps: Array
    geometry: Array
    accuracy: Array
    error: Array
    log_prob: Array
    baseline: Array
    midpoints: Array


Recovery = Callable[[Array, Array, "Design", Rng], Array]
"""(x [n], μ [T], design, rng) → share of the recovery that is done, [T, n]."""


@dataclass(frozen=True)
class World:
    """A rule for when geometry recovers.

    Attributes:
        name: As printed.
        truth: What is true in it.
        lead: True lead in decades; None where no task-specific lead exists.
        recovery: The rule.
        answer_tokens: Accuracy is the latent to this power.
        is_walk: Whether geometry is a random walk instead, without collapse.
    """

    name: str
    truth: str
    lead: float | None
    recovery: Recovery
    answer_tokens: int = 1
    is_walk: bool = False


def sigmoid(z: Array) -> Array:
    """1/(1 + e^−z) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z)))


def _at(x: Array, when: Array, rng: Rng) -> Array:
    width = rng.uniform(*Shape.recovery_width, size=len(when))
    return sigmoid((x - when[:, None]) / width[:, None])


def _leading(lead: float) -> Recovery:
    def rule(x: Array, mid: Array, design: Design, rng: Rng) -> Array:
        jitter = rng.normal(0, LEAD_JITTER, len(mid)) if lead else 0.0
        return _at(x, mid - lead + jitter, rng)

    return rule


def _global(after: float, until: float) -> Recovery:
    """One event for all tasks, so many decades after the collapse."""

    def rule(x: Array, mid: Array, design: Design, rng: Rng) -> Array:
        return _at(x, np.full(len(mid), design.collapse + rng.uniform(after, until)), rng)

    return rule


def _unrelated(x: Array, mid: Array, design: Design, rng: Rng) -> Array:
    last = max(float(x[-1]) - 0.35, design.collapse + 1.2)
    return _at(x, by_family(design.collapse + 0.6, last, design, rng), rng)


def _drift(x: Array, mid: Array, design: Design, rng: Rng) -> Array:
    return np.asarray((x / x[-1]) ** rng.uniform(0.5, 3.0, (len(mid), 1)))


_EARLY = _global(np.log10(200) - COLLAPSE, np.log10(500) - COLLAPSE)


def _mixed(weight: float) -> Recovery:
    def rule(x: Array, mid: Array, design: Design, rng: Rng) -> Array:
        return np.asarray(weight * _at(x, mid, rng) + (1 - weight) * _EARLY(x, mid, design, rng))

    return rule


def _lead_world(lead: float) -> World:
    direction = "before" if lead > 0 else "after"
    truth = f"each task's geometry recovers {abs(lead):g} decade {direction} its behaviour (×{10 ** abs(lead):.1f})"
    return World(f"LEAD {lead:g}", truth, lead, _leading(lead))


_MADE = (
    World("SYNC", "each task's geometry recovers with its behaviour", None, _leading(0.0)),
    World("EARLY", "one recovery for all tasks, step 200 to 500", None, _EARLY),
    World("SHARE", "one recovery for all tasks, step 250 to 10,000", None, _global(np.log10(250) - COLLAPSE, 2.2)),
    World("UNREL", "own recoveries, unrelated to behaviour", None, _unrelated),
    World("MONO", "own monotone drifts, unrelated to behaviour", None, _drift),
    World("RW", "own random walks", None, _drift, is_walk=True),
    *(World(f"MIX {w:g}", f"{w:g} SYNC + {1 - w:g} EARLY", None, _mixed(w)) for w in (0.3, 0.5, 0.7)),
    World("MIRAGE", "SYNC, but accuracy needs four right tokens", None, _leading(0.0), answer_tokens=ANSWER_TOKENS),
    *(_lead_world(lead) for lead in (-0.5, 0.1, 0.2, 0.3, 0.5, 1.0)),
)
WORLDS = {world.name: world for world in _MADE}


def world(name: str) -> World:
    """A world by name; `LEAD 0.4` and `MIX 0.6` take any number.

    Raises:
        PythiaGeometryError: If there is none.
    """
    kind, _, number = name.partition(" ")
    if name in WORLDS:
        return WORLDS[name]
    try:
        if kind == "LEAD":
            return _lead_world(float(number))
        if kind == "MIX":
            return replace(WORLDS["MIX 0.5"], name=name, recovery=_mixed(float(number)))
    except ValueError:
        pass
    raise PythiaGeometryError(f"{name!r} is no world. Worlds: {', '.join(WORLDS)}")


def draw(of: World, design: Design, rng: Rng) -> Drawn:
    """One made-up run of a world.

    How it misleads: real curves have other shapes, and more than one event. A test that holds its level here holds it
    for logistic rises and AR(1) noise.

    Args:
        of: The world.
        design: Steps and tasks.
        rng: Of all draws.

    Returns:
        Curves [T, n]; accuracy may leave 0 … 1 by its noise.

    Source: docs/definitions.md, "Worlds".
    """
    x, tasks = np.log10(design.steps), design.n_tasks
    mid = by_family(*MIDPOINTS, design, rng) if design.midpoints is None else design.midpoints
    latent = sigmoid((x - mid[:, None]) / rng.uniform(*Shape.width, (tasks, 1)))
    geometry = draw_geometry(of, design, mid, rng)
    return draw_behaviour(latent, geometry, mid, design, rng, of.answer_tokens)


def draw_behaviour(
    latent: Array, geometry: Array, mid: Array, design: Design, rng: Rng, answer_tokens: int = 1
) -> Drawn:
    """Accuracy and log-probability of a latent [T, n], with noise, beside a geometry."""
    tasks = design.n_tasks
    baseline = rng.uniform(*Shape.baseline, (tasks, 1)) if design.baselines is None else design.baselines[:, None]
    gain = rng.uniform(*Shape.gain, (tasks, 1)) if design.gains is None else design.gains[:, None]
    items = rng.choice(EVAL_ITEMS, (tasks, 1)) if design.items is None else design.items[:, None]
    clean = np.clip(baseline + gain * latent**answer_tokens, 0.0, 1.0)
    error = np.sqrt(clean * (1 - clean) / items)
    accuracy = clean + error * _jitter(clean.shape, rng)
    spread = LOG_PROB_SPREAD / np.sqrt(items)
    log_prob = LOG_PROB_SPAN * (latent - 1) + spread * _jitter(clean.shape, rng)
    return Drawn(design.steps, geometry, accuracy, error, log_prob, baseline[:, 0], mid)


def draw_geometry(of: World, design: Design, mid: Array, rng: Rng) -> Array:
    """Values of ln RankMe of each task [T, n] for behaviours with these midpoints [T].

    How it misleads: noise is the same at every step, where real RankMe is noisiest at its floor.
    """
    x, tasks = np.log10(design.steps), len(mid)
    if of.is_walk:
        noise = _noise(tasks, len(x), rng)
        spread = Shape.wander * np.sqrt(np.diff(x, prepend=x[0]))
        return np.asarray(np.log(200) + np.cumsum(rng.normal(size=(tasks, len(x))) * spread, axis=1) + noise)
    shared = draw_shared(design, tasks, rng)
    rise = rng.uniform(*Shape.rise, (tasks, 1))
    return np.asarray(shared + rise * of.recovery(x, mid, design, rng))


def draw_shared(design: Design, n_tasks: int, rng: Rng) -> Array:
    """What all tasks' ln RankMe has before any recovery: collapse, late compression, and noise [T, n]."""
    x = np.log10(design.steps)
    noise = _noise(n_tasks, len(x), rng)
    shared = np.log(200) - rng.uniform(*Shape.depth) * sigmoid((x - design.collapse) / 0.15)
    return np.asarray(shared - rng.uniform(*Shape.compression) * np.clip((x - 4.5) / 0.65, 0, None) + noise)


def _noise(n_tasks: int, n: int, rng: Rng) -> Array:
    own = _autoregressive((n_tasks, n), Shape.own_noise, rng)
    return own + _autoregressive((1, n), Shape.shared_noise, rng)


def _jitter(shape: tuple[int, ...], rng: Rng) -> Array:
    """In standard errors: .5 a checkpoint and task, .2 a checkpoint, 1 a task for its fixed items."""
    own, shared = 0.5 * rng.normal(size=shape), 0.2 * rng.normal(size=(1, shape[1]))
    return np.asarray(own + shared + rng.normal(size=(shape[0], 1)))


def _autoregressive(shape: tuple[int, int], spread: float, rng: Rng) -> Array:
    """Stationary AR(1) noise along the last axis."""
    keep = Shape.persistence
    fresh = rng.normal(size=shape)
    fresh[:, 1:] *= np.sqrt(1 - keep**2)
    return np.asarray(spread * lfilter([1.0], [1.0, -keep], fresh, axis=-1))

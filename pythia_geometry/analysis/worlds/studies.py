"""Made-up studies: several runs of the same tasks, with the geometry of token-shuffled prompts, and a known truth.

The worlds of `made_up` say when one run's geometry recovers. A study adds what a verdict must survive: runs that differ
as a whole, families of tasks, prompts whose length drives behaviour and geometry alike, shuffling that removes a
confound only in part, amplitudes that grow with difficulty, and measures that are a bent scale of what behaviour shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pythia_geometry.analysis.worlds import twists
from pythia_geometry.analysis.worlds.designs import MIDPOINTS, Array, Design, Mask, Rng, Shape, by_family
from pythia_geometry.analysis.worlds.made_up import WORLDS, Drawn, World, draw_behaviour, draw_shared, sigmoid, world
from pythia_geometry.analysis.worlds.twists import Parts, Seen, Times, Twist

RunShifts = Callable[[int, Rng], Array]
"""(runs, rng) → decades by which each run's geometry comes earlier than the world says [R]."""


@dataclass(frozen=True)
class StudyWorld:
    """What is true in all runs of a study.

    Attributes:
        name: As printed.
        truth: In words.
        base: When geometry recovers.
        lead: True lead in decades of all runs; None where there is none.
        shifts: How runs differ as a whole.
        noise_runs: Whether all runs but the first have geometry that is unrelated to behaviour.
        kept: Share of the recovery that shuffled prompts show too.
        times: What moves tasks' times; behaviour's own where None.
        twist: What else is done to a run.
        seen: At which steps geometry was measured; at all where None.
        forbids: Why no test of timing could tell this from a lead; empty where one can.
        legs_forbid: Why the two legs alone cannot, where the word can.
        null_from: Runs from which on no lead exists: where runs differ, one run may lead in truth.
    """

    name: str
    truth: str
    base: World
    lead: float | None = None
    shifts: RunShifts | None = None
    noise_runs: bool = False
    kept: float = 0.0
    times: Times | None = None
    twist: Twist | None = None
    seen: Seen | None = None
    forbids: str = ""
    legs_forbid: str = ""
    null_from: int = 1


@dataclass(frozen=True)
class StudyDrawn:
    """Runs of one study.

    Attributes:
        runs: Own geometry and behaviour of each run.
        shuffled: ln RankMe of the shuffled prompts, [T, n] a run.
        families: Family of each task [T].
        seen: Steps at which geometry was measured [n]; all where None.
    """

    runs: tuple[Drawn, ...]
    shuffled: tuple[Array, ...]
    families: tuple[str, ...]
    seen: Mask | None = None


def draw_study(of: StudyWorld, design: Design, n_runs: int, rng: Rng) -> StudyDrawn:
    """Draws one study; tasks' midpoints are the same in all runs."""
    n, x = design.n_tasks, np.log10(design.steps)
    mid = by_family(*MIDPOINTS, design, rng) if design.midpoints is None else design.midpoints
    mid, when = of.times(mid, rng) if of.times else (mid, mid)
    shifts = of.shifts(n_runs, rng) if of.shifts else np.zeros(n_runs)
    drawn = []
    for number, shift in enumerate(shifts):
        base = WORLDS["UNREL"] if of.noise_runs and number else of.base
        drawn.append(_run(of, base, design, mid, when - shift, rng))
    families = tuple(f"f{task // design.levels}" for task in range(n))
    seen = of.seen(x, rng) if of.seen else None
    return StudyDrawn(tuple(run for run, _ in drawn), tuple(other for _, other in drawn), families, seen)


def _run(of: StudyWorld, base: World, design: Design, mid: Array, when: Array, rng: Rng) -> tuple[Drawn, Array]:
    x, n = np.log10(design.steps), len(mid)
    parts = Parts(
        x,
        mid,
        latent=sigmoid((x - mid[:, None]) / rng.uniform(*Shape.width, (n, 1))),
        recovery=base.recovery(x, when, design, rng),
        rise=rng.uniform(*Shape.rise, (n, 1)),
        shared=draw_shared(design, n, rng),
    )
    parts = of.twist(parts, rng) if of.twist else parts
    moved = parts.rise * parts.recovery
    other = rng.uniform(*Shape.rise, (n, 1)) * WORLDS["EARLY"].recovery(x, mid, design, rng)
    shuffled = draw_shared(design, n, rng) + of.kept * moved + (1 - of.kept) * other
    return draw_behaviour(parts.latent, parts.shared + moved, mid, design, rng), shuffled


def _spread(sd: float) -> RunShifts:
    return lambda n_runs, rng: rng.normal(0, sd, n_runs)


def _opposed(n_runs: int, rng: Rng) -> Array:
    return np.resize([0.7, -0.5], n_runs)


_SCALE = "a concave function of the same thing looks earlier in its own range: only the bend tells"
_ENDS = "a measure that ends at a ceiling is early by itself: only the column `ceiling` tells, no bend does"
_PROMPTS = "a confound of which shuffling leaves so little looks like a lead that shuffling weakens"
_SIZE = "the size of one event looks like timing to the legs; the word asks again at each task's own strength"
_LENGTH = "own prompts alone cannot tell length from sense; the shuffled prompts do, and decide the word"
_TURNS = "what turns back is early in its own range; the bend, which ends a range at its peak, says so"
_LEADS = (0.3, 0.5, 1.0)

_SYNC, _SHARE, _UNREL, _HALF = WORLDS["SYNC"], WORLDS["SHARE"], WORLDS["UNREL"], world("LEAD 0.5")
_NO_LEAD = [w for w in WORLDS.values() if not (w.lead or w.is_walk or w.answer_tokens > 1)]

_TIMING = (
    *(StudyWorld(w.name, w.truth, w) for w in _NO_LEAD),
    *(StudyWorld(f"LEAD {x:g}", world(f"LEAD {x:g}").truth, world(f"LEAD {x:g}"), x) for x in _LEADS),
)
_RUNS_AND_PROMPTS = (
    StudyWorld("RUN LAGS", "runs lead or lag as a whole, mean 0, sd .3", _SYNC, shifts=_spread(0.3),
               null_from=2),
    StudyWorld("OPPOSED", "runs lead by .7 and lag by .5 in turn", _SYNC, shifts=_opposed, null_from=2),
    StudyWorld("ONE LEADS", "one run leads by .7, the others are unrelated", world("LEAD 0.7"), noise_runs=True,
               null_from=2),
    StudyWorld("TASK LAGS", "tasks lead or lag, in all runs alike, mean 0, sd .3", _SYNC, times=twists.scattered(0.3)),
    StudyWorld("SQUEEZED", "early tasks lag, late ones lead, mean 0", _SYNC, times=twists.squeezed),
    StudyWorld("STABLE", "own recoveries, unrelated to behaviour, the same in all runs", _SYNC, times=twists.unrelated),
    StudyWorld("BEFORE", "STABLE, and every recovery before the first behaviour", _SYNC, times=twists.all_before),
    StudyWorld("LENGTH", "length drives behaviour and, half a decade earlier, geometry, shuffled or not",
               _HALF, kept=1.0, times=twists.by_length(0.15), legs_forbid=_LENGTH),
    StudyWorld("LENGTH, SCATTER", "the same with twice the scatter", _HALF, kept=1.0, times=twists.by_length(0.3),
               legs_forbid=_LENGTH),
    StudyWorld("WEAK SHUFFLE .2", "LENGTH, of which shuffled prompts show a fifth",
               _HALF, kept=0.2, times=twists.by_length(0.15), legs_forbid=_LENGTH),
    StudyWorld("WEAK SHUFFLE .1", "LENGTH, of which shuffled prompts show a tenth",
               _HALF, kept=0.1, times=twists.by_length(0.15), forbids=_PROMPTS),
    StudyWorld("KEEPS .4", "a true lead of half a decade, of which shuffled prompts keep .4",
               _HALF, 0.5, kept=0.4, forbids=_PROMPTS),
)  # fmt: skip
_SIZES_AND_SCALES = (
    StudyWorld("GROWS", "one recovery for all tasks, larger where behaviour is later", _SHARE, twist=twists.grows,
               legs_forbid=_SIZE),
    StudyWorld("SHRINKS", "one recovery for all tasks, smaller where behaviour is later", _SHARE, twist=twists.shrinks),
    StudyWorld("GROWS BESIDE", "UNREL, and one event for all tasks, larger where behaviour is later",
               _UNREL, twist=twists.grows_beside),
    StudyWorld("ONE FLAT", "SHARE, but one task's geometry does not recover", _SHARE, twist=twists.one_flat),
    StudyWorld("ROOT .75", "geometry is behaviour's latent^.75", _SYNC, twist=twists.bent(0.75), forbids=_SCALE),
    StudyWorld("ROOT .5", "geometry is behaviour's latent^.5", _SYNC, twist=twists.bent(0.5), forbids=_SCALE),
    StudyWorld("ROOT .25", "geometry is behaviour's latent^.25", _SYNC, twist=twists.bent(0.25), forbids=_SCALE),
    StudyWorld("CEILING", "geometry follows the latent up to a third of it and ends", _SYNC, twist=twists.ends_early,
               forbids=_ENDS),
    StudyWorld("SOFT CEILING", "geometry nears its ceiling while the latent still rises", _SYNC,
               twist=twists.ends_softly, forbids=_ENDS),
    StudyWorld("OVERSHOOT", "SYNC, and geometry loses half again .6 decade later", _SYNC, twist=twists.overshoots,
               legs_forbid=_TURNS),
    StudyWorld("METRICS' CEILING", "geometry follows the latent, both metrics end at half of it",
               _SYNC, twist=twists.metrics_end_early),
    StudyWorld("LATE", "geometry is the latent, both metrics its fourth power", _SYNC, twist=twists.late,
               forbids=_SCALE),
)  # fmt: skip
_SHAPES_AND_NOISE = (
    StudyWorld("TWO STEPS", "behaviour and geometry rise in two steps together", _SYNC, twist=twists.in_two_steps),
    StudyWorld("JUMPS", "geometry jumps when behaviour is halfway", _SYNC, twist=twists.jumps),
    StudyWorld("CURVED", "trends from step 1 on, each bent its own way", WORLDS["MONO"], twist=twists.curved),
    StudyWorld("SEAM", "UNREL, and at step 2,000 all curves jump, each task by its own amount", _UNREL,
               twist=twists.seam),
    StudyWorld("NOISY FLOOR", "UNREL, noise four times as large before the recovery", _UNREL, twist=twists.noisy_floor),
    StudyWorld("SPIKES", "UNREL, one checkpoint of twenty off by .3", _UNREL, twist=twists.spikes),
    StudyWorld("AGAINST", "SYNC, noise that turns round between checkpoints and between tasks", _SYNC,
               twist=twists.against),
    StudyWorld("DIPS", "SYNC, both metrics fall before they rise", _SYNC, twist=twists.dips),
    StudyWorld("RUNNING MEAN", "geometry is the mean of behaviour's latent over the last half decade", _SYNC,
               twist=twists.running_mean),
    StudyWorld("OWN WIDTHS", "one cause, smoothed by each task's geometry and behaviour in its own way", _SYNC,
               twist=twists.own_widths),
    StudyWorld("WIDER WHEN HARD", "one cause, which geometry smooths more where behaviour is later, behaviour less",
               _SYNC, twist=twists.wider_when_hard),
    StudyWorld("SKEWED", "halfway at one step, geometry steepest before it, behaviour after it", _SYNC,
               twist=twists.skewed),
    StudyWorld("DRIFT", "UNREL, and one random walk in all curves, stronger where behaviour is later", _UNREL,
               twist=twists.drifts),
    StudyWorld("WAVES", "UNREL, and swings of each task's own period", _UNREL, twist=twists.waves),
    StudyWorld("NOISE SHRINKS", "UNREL, noise eight times as large at first, and none at the end", _UNREL,
               twist=twists.noise_shrinks),
    StudyWorld("LUCK", "UNREL, and lasting noise that geometry and behaviour share", _UNREL, twist=twists.luck),
    StudyWorld("AT ONCE", "SYNC, all tasks at one step", _SYNC, times=twists.at_once),
    StudyWorld("IRREGULAR STEPS", "SYNC, geometry at a fifth of the steps, drawn at random", _SYNC,
               seen=twists.irregular),
    StudyWorld("GAP", "SYNC, no geometry over 1.2 decades", _SYNC, seen=twists.gap),
    StudyWorld("FEW STEPS", "SYNC, geometry at one step of six (of 27: of three)", _SYNC, seen=twists.few),
)  # fmt: skip
STUDIES = {s.name: s for s in (*_TIMING, *_RUNS_AND_PROMPTS, *_SIZES_AND_SCALES, *_SHAPES_AND_NOISE)}
"""Studies by name; a true lead exists where `lead` is over 0."""

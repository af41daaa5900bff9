"""Made-up studies: several runs of the same tasks, with the geometry of token-shuffled prompts, and a known truth.

The worlds of `made_up` say when one run's geometry recovers. A study adds what a verdict must survive: runs that differ
as a whole, families of tasks, prompts whose length drives behaviour and geometry alike, shuffling that removes a
confound only in part, amplitudes that grow with difficulty, and measures that are a bent scale of what behaviour shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pythia_geometry.analysis.worlds.designs import MIDPOINTS, Array, Design, Rng, Shape, by_family
from pythia_geometry.analysis.worlds.made_up import (
    ANSWER_TOKENS,
    WORLDS,
    Drawn,
    World,
    draw_behaviour,
    draw_shared,
    sigmoid,
    world,
)

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
        length_scatter: Where prompt length drives both behaviour and geometry: scatter about it, in decades.
        bend: Geometry is behaviour's own latent to this power.
        late: Both metrics are the latent to the fourth power.
        grows: Whether the recovery's size grows with the time of the behaviour.
        forbids: Why no test of timing could tell this from a lead; empty where one can.
    """

    name: str
    truth: str
    base: World
    lead: float | None = None
    shifts: RunShifts | None = None
    noise_runs: bool = False
    kept: float = 0.0
    length_scatter: float | None = None
    bend: float | None = None
    late: bool = False
    grows: bool = False
    forbids: str = ""


@dataclass(frozen=True)
class StudyDrawn:
    """Runs of one study.

    Attributes:
        runs: Own geometry and behaviour of each run.
        shuffled: ln RankMe of the shuffled prompts, [T, n] a run.
        families: Family of each task [T].
    """

    runs: tuple[Drawn, ...]
    shuffled: tuple[Array, ...]
    families: tuple[str, ...]


def draw_study(of: StudyWorld, design: Design, n_runs: int, rng: Rng) -> StudyDrawn:
    """Draws one study; tasks' midpoints are the same in all runs."""
    n = design.n_tasks
    mid = by_family(*MIDPOINTS, design, rng) if design.midpoints is None else design.midpoints
    when = mid  # what geometry follows
    if of.length_scatter is not None:
        length = rng.uniform(2.6, 4.6, n)
        mid, when = (length + rng.normal(0, of.length_scatter, n) for _ in range(2))
    shifts = of.shifts(n_runs, rng) if of.shifts else np.zeros(n_runs)
    drawn = []
    for number, shift in enumerate(shifts):
        base = WORLDS["UNREL"] if of.noise_runs and number else of.base
        drawn.append(_run(of, base, design, mid, when - shift, rng))
    families = tuple(f"f{task // design.levels}" for task in range(n))
    return StudyDrawn(tuple(run for run, _ in drawn), tuple(other for _, other in drawn), families)


def _run(of: StudyWorld, base: World, design: Design, mid: Array, when: Array, rng: Rng) -> tuple[Drawn, Array]:
    x, n = np.log10(design.steps), len(mid)
    latent = sigmoid((x - mid[:, None]) / rng.uniform(*Shape.width, (n, 1)))
    recovery = latent**of.bend if of.bend else base.recovery(x, when, design, rng)
    rise = rng.uniform(*Shape.rise, (n, 1))
    if of.grows:
        rise = Shape.rise[0] + (mid[:, None] - mid.min()) / max(float(np.ptp(mid)), 0.1)
    geometry = draw_shared(design, n, rng) + rise * recovery
    other = rng.uniform(*Shape.rise, (n, 1)) * WORLDS["EARLY"].recovery(x, mid, design, rng)
    shuffled = draw_shared(design, n, rng) + of.kept * rise * recovery + (1 - of.kept) * other
    shown = latent**ANSWER_TOKENS if of.late else latent
    return draw_behaviour(shown, geometry, mid, design, rng), shuffled


def _spread(sd: float) -> RunShifts:
    return lambda n_runs, rng: rng.normal(0, sd, n_runs)


def _opposed(n_runs: int, rng: Rng) -> Array:
    return np.resize([0.7, -0.5], n_runs)


_SCALE = "a concave function of the same thing looks earlier in its own range: only the bend tells"
_PROMPTS = "a confound of which shuffling leaves so little looks like a lead that shuffling weakens"
_LEADS = (0.3, 0.5, 1.0)

STUDIES = {
    study.name: study
    for study in (
        *(StudyWorld(w.name, w.truth, w) for w in WORLDS.values() if not (w.lead or w.is_walk or w.answer_tokens > 1)),
        *(StudyWorld(f"LEAD {x:g}", world(f"LEAD {x:g}").truth, world(f"LEAD {x:g}"), x) for x in _LEADS),
        StudyWorld("RUN LAGS", "runs lead or lag as a whole, mean 0, sd .3", WORLDS["SYNC"], shifts=_spread(0.3)),
        StudyWorld("OPPOSED", "runs lead by .7 and lag by .5 in turn", WORLDS["SYNC"], shifts=_opposed),
        StudyWorld("ONE LEADS", "one run leads by .7, the others are unrelated", world("LEAD 0.7"), noise_runs=True),
        StudyWorld("LENGTH", "length drives behaviour and, half a decade earlier, geometry, shuffled or not",
                   world("LEAD 0.5"), kept=1.0, length_scatter=0.15),
        StudyWorld("LENGTH, SCATTER", "the same with twice the scatter",
                   world("LEAD 0.5"), kept=1.0, length_scatter=0.3),
        StudyWorld("WEAK SHUFFLE .2", "LENGTH, of which shuffled prompts show a fifth",
                   world("LEAD 0.5"), kept=0.2, length_scatter=0.15),
        StudyWorld("WEAK SHUFFLE .1", "LENGTH, of which shuffled prompts show a tenth",
                   world("LEAD 0.5"), kept=0.1, length_scatter=0.15, forbids=_PROMPTS),
        StudyWorld("KEEPS .4", "a true lead of half a decade, of which shuffled prompts keep .4",
                   world("LEAD 0.5"), 0.5, kept=0.4, forbids=_PROMPTS),
        StudyWorld("GROWS", "one recovery for all tasks, larger where behaviour is later", WORLDS["SHARE"], grows=True),
        StudyWorld("ROOT .75", "geometry is behaviour's latent^.75", WORLDS["SYNC"], bend=0.75, forbids=_SCALE),
        StudyWorld("ROOT .5", "geometry is behaviour's latent^.5", WORLDS["SYNC"], bend=0.5, forbids=_SCALE),
        StudyWorld("ROOT .25", "geometry is behaviour's latent^.25", WORLDS["SYNC"], bend=0.25, forbids=_SCALE),
        StudyWorld("LATE", "geometry is the latent, both metrics its fourth power",
                   WORLDS["SYNC"], late=True, forbids=_SCALE),
    )
}  # fmt: skip
"""Studies by name; a true lead exists where `lead` is over 0."""

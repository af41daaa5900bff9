"""When each task-level's loss opens: the randomised release.

In a staggered run every level is in the batch from step 0, and only its loss is masked until a step of its own. We
assign that step, so levels become exchangeable by design, those not yet released are the control at every step, and
permuting levels is an exact test that geometry and behaviour follow release.

The openings of a run are spread evenly in log10(step) over two decades that end at two fifths of the run (1.3 decades
where a lead is planted; `--release-decades` says another number): one in each of T equal slots, at a random place in
it. Which level gets which slot is one random order for five seeds (a block), in which each seed is moved on by two
fifths: over a block every level is early in some runs and late in others.
"""

from __future__ import annotations

import math
from functools import cache
from random import Random

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.settings import STAGGERED, Training

DECADES, LAST = 2.0, 0.4  # the openings' range, and the share of the run at which it ends
PLANTED_DECADES = 1.3  # a plant takes some fifty steps to take hold: what opens earlier has no lead to show
FIRST_PLANT = 6  # rounded to a whole step, an earlier one would miss its lead by more than .04 decade
BLOCK = 5  # seeds that share one random order


@cache
def loss_opens(training: Training) -> dict[str, int]:
    """By task-level, the first step whose update its loss takes part in: 0 in a `together` run.

    Raises:
        PythiaGeometryError: If a staggered run is too short for its levels (the first slot has no step of its own), or
            for its plants.
    """
    names = [level.name for level in training.levels]
    if training.release != STAGGERED:
        return dict.fromkeys(names, 0)
    n, (block, place) = len(names), divmod(training.seed, BLOCK)
    order = Random(f"release/{block}").sample(range(n), n)
    moved = round(n * (2 * place % BLOCK) / BLOCK)
    rng, last = Random(f"release/seed {training.seed}"), LAST * training.steps
    decades = training.release_decades or (PLANTED_DECADES if training.plants else DECADES)
    needed = math.ceil(10**decades / (10 ** (decades / n) - 1) / LAST)
    if training.steps < needed:
        raise PythiaGeometryError(
            f"--steps {training.steps:,}: staggered, {n} levels need {needed:,} steps or more to be released one after "
            "the other. Train longer, or fewer --tasks"
        )
    planted = math.ceil(FIRST_PLANT * 10 ** (decades + max(training.plant_lead or 0.0, 0.0)) / LAST)
    if training.plants and training.steps < planted:
        raise PythiaGeometryError(
            f"--steps {training.steps:,}: the first plant would begin before step {FIRST_PLANT}, where whole steps "
            f"keep no lead of {training.plant_lead:g}. Train {planted:,} steps or more, or lower --release-decades"
        )
    slots = [last * 10 ** (decades * ((slot + rng.random()) / n - 1)) for slot in range(n)]
    return {name: round(slots[(order[i] + moved) % n]) for i, name in enumerate(names)}


def plant_begins(training: Training) -> dict[str, int]:
    """By task-level, the step from which a planted objective spreads its geometry (plant.py)."""
    return {name: round(step / 10 ** (training.plant_lead or 0.0)) for name, step in loss_opens(training).items()}


def released(training: Training) -> dict[str, int]:
    """By task-level, the step from which anything moves it: its plant or its loss, whichever is earlier."""
    begins = plant_begins(training)
    return {name: min(step, begins[name]) for name, step in loss_opens(training).items()}

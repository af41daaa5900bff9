"""When each task-level's loss opens: the randomised release.

In a staggered run every level is in the batch from step 0, and only its loss is masked until a step of its own. We
assign that step, so levels become exchangeable by design, those not yet released are the control at every step, and
permuting levels is an exact test that geometry and behaviour follow release.

The openings of a run are spread evenly in log10(step) over two decades that end at two fifths of the run: one in each
of T equal slots, at a random place in it. Which level gets which slot is one random order for five seeds (a block), in
which each seed is moved on by two fifths: over a block every level is early in some runs and late in others.
"""

from __future__ import annotations

from functools import cache
from random import Random

from pythia_geometry.lab.settings import STAGGERED, Training

DECADES, LAST = 2.0, 0.4  # the openings' range, and the share of the run at which it ends
BLOCK = 5  # seeds that share one random order


@cache
def loss_opens(training: Training) -> dict[str, int]:
    """By task-level, the first step whose update its loss takes part in: 0 in a `together` run."""
    names = [level.name for level in training.levels]
    if training.release != STAGGERED:
        return dict.fromkeys(names, 0)
    n, (block, place) = len(names), divmod(training.seed, BLOCK)
    order = Random(f"release/{block}").sample(range(n), n)
    moved = round(n * (2 * place % BLOCK) / BLOCK)
    rng, last = Random(f"release/seed {training.seed}"), LAST * training.steps
    slots = [last * 10 ** (DECADES * ((slot + rng.random()) / n - 1)) for slot in range(n)]
    return {name: round(slots[(order[i] + moved) % n]) for i, name in enumerate(names)}


def released(training: Training) -> dict[str, int]:
    """By task-level, the step from which anything trains it: its planted objective, else its loss."""
    lead = training.plant_lead or 0.0
    return {name: round(step / 10**lead) for name, step in loss_opens(training).items()}

"""A planted lead: an objective that moves a level's geometry before its behaviour can.

From some step on, a level's rows at `=` (the token whose output is the answer's first) are pushed apart; its own loss
opens `--plant-lead` decades later. So geometry truly comes first, in a real network, by a ratio of steps that we
chose: a test of precursors that does not find it there misses. A lead of 0 begins both at once, a negative one holds
geometry back until after the loss has opened.

With `--plant-own` the level's prompts with their tokens in another order, `=` in its place, are held together from then
on: what moves is the geometry of the task's own prompts, which is what a test with a token-shuffled companion
asks for. Without it a push on the own prompts spreads the others too. With `--plant-apart` besides, the two kinds of
prompts lie apart from step 0: rows that lie together move together for the first hundreds of steps of a push.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING

from pythia_geometry.lab.batches import PAD_ID, Drawn
from pythia_geometry.lab.release import plant_begins
from pythia_geometry.lab.settings import Training

if TYPE_CHECKING:
    from torch import Tensor

FEWEST = 3  # rows of a level; of two, the ratio is 1 whatever they are
NOTHING = 1e-6  # variance of rows of one and the same problem: nothing to push on
HOLD = 0.3  # of the push: held as hard, the one cancels the other while the rows of both still move alike


def plant_loss(hidden: Tensor, problems: Sequence[Drawn], training: Training, step: int) -> Tensor:
    """Pulls each level's rows at `=` together before its plant begins, and pushes them apart from then on.

        weight · Σ over levels of ± m/batch · ln PR(rows)         + before, − after, and then 0 once
                                                                  PR ≥ 1 + plant_part · (m − 2)

    Without the pull a level would part with those planted before it: the blocks are shared, and what spreads one
    task's rows spreads all. Where the push has no end (a `plant_part` of 1) a level's rows go on spreading
    for thousands of steps while the network grows able to, so half of the way is late where the plant began early.

    Args:
        hidden: Activations after the final norm [b, t, d].
        problems: What the b sequences hold; a level with fewer than three of them is left out.
        training: Says when each level's plant begins, and the size of the whole batch.
        step: Of the update.
    """
    begins = plant_begins(training).values()
    return _spread(hidden, problems, training, {level: -1.0 if at <= step else 1.0 for level, at in enumerate(begins)})


def hold_loss(hidden: Tensor, problems: Sequence[Drawn], training: Training, step: int) -> Tensor:
    """Pulls each level's rows at `=` together from its plant on: of prompts whose tokens were shuffled.

    Not before: with everything held from the start the network makes one row of all prompts, and a plant takes a
    thousand steps to part them.

    Args:
        hidden: Activations after the final norm [b, t, d] on `shuffled(problems)`.
        problems: As for `plant_loss`.
        training: As for `plant_loss`.
        step: Of the update.
    """
    begun = [level for level, begins in enumerate(plant_begins(training).values()) if begins <= step]
    return _spread(hidden, problems, training, dict.fromkeys(begun, HOLD))


def apart_loss(own: Tensor, others: Tensor, problems: Sequence[Drawn], training: Training) -> Tensor:
    """Parts each level's rows at `=` from those of its shuffled prompts, from step 0 on and whatever is planted.

        − weight · plant_apart · Σ over levels of m/batch · ln (g / (g + v))

    with g the squared distance between the means of both kinds and v the mean of their variances. It spreads neither
    kind: what it teaches is which order a prompt is in.

    Args:
        own: Activations after the final norm [b, t, d] on the prompts.
        others: The same on `shuffled(problems)`.
        problems: As for `plant_loss`.
        training: Its weights.
    """
    total = own.new_zeros(())
    for level in range(len(training.levels)):
        rows, at = _rows(problems, level)
        if len(rows) >= FEWEST:
            a, b = own[rows, at], others[rows, at]
            gap = (a.mean(0) - b.mean(0)).square().sum() + NOTHING
            variance = (a.var(0, correction=0) + b.var(0, correction=0)).sum() / 2
            total = total - len(rows) / training.batch * (gap / (gap + variance)).log()
    return training.plant_weight * training.plant_apart * total


def shuffled(problems: Sequence[Drawn], training: Training, step: int) -> Tensor:
    """The prompts with all tokens but the last in another order, drawn for each step, padded on the right [b, t]."""
    import torch

    width = max(len(d.prompt) for d in problems)
    rows = []
    for d in problems:
        body = d.prompt[:-1]
        Random(f"{training.seed}/{step}/{d.prompt}").shuffle(body)
        rows.append([*body, d.prompt[-1]] + [PAD_ID] * (width - len(d.prompt)))
    return torch.tensor(rows)


def _spread(hidden: Tensor, problems: Sequence[Drawn], training: Training, signs: Mapping[int, float]) -> Tensor:
    total = hidden.new_zeros(())
    for level, sign in signs.items():
        rows, at = _rows(problems, level)
        if len(rows) >= FEWEST:
            spread = log_participation(hidden[rows, at])
            if sign < 0 and training.plant_part < 1:
                spread = spread.clamp(max=math.log(1 + training.plant_part * (len(rows) - 2)))  # no gradient above it
            total = total + sign * len(rows) / training.batch * spread
    return training.plant_weight * total


def _rows(problems: Sequence[Drawn], level: int) -> tuple[list[int], list[int]]:
    """Places of a level's problems, and of `=` in each."""
    rows = [i for i, d in enumerate(problems) if d.level == level]
    return rows, [len(problems[i].prompt) - 1 for i in rows]


def log_participation(rows: Tensor) -> Tensor:
    """Ln of the participation ratio of m centred rows [m, d], (Σ λ)² / Σ λ² over their Gram matrix's eigenvalues.

    The ratio is 1 where they lie on a line and m − 1 where they are orthogonal: the smooth relative of RankMe that
    needs no singular values.
    """
    centred = rows - rows.mean(0)
    gram = centred @ centred.T
    return 2 * (gram.trace() + NOTHING).log() - (gram.square().sum() + NOTHING**2).log()

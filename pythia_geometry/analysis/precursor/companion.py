"""Is the lead a property of the prompts' words or of their order? Own and token-shuffled prompts, paired task by task.

Shuffling keeps length, tokens and the last token, and takes the sense away. If that is all the same to geometry, own
and shuffled prompts of a task can be swapped: the *paired test* asks whether the own prompts match behaviour better
than such swaps do. It is a test of a difference, so that "the companion is not significant" is never taken for "the
lead is gone".

A confound that shuffling weakens without removing passes the paired test. *How much shuffling keeps* is therefore
estimated too, and a claim needs an upper bound under a tenth:

    kept = Σ x·y / Σ x·x       x, y: changes of a task's own and shuffled geometry, less what all tasks share
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.analysis.precursor.task_matched_lag import (
    BOOTSTRAPS,
    DELTA,
    LEVEL,
    PERMUTATIONS,
    TIE,
    Families,
    MatchedRun,
    as_blocks,
    profiles,
    recovery_differences,
)
from pythia_geometry.analysis.tables.step_curves import (
    LAGS,
    Array,
    StepCurves,
    common_grid,
    lagged_products,
    resample,
    smooth,
)

KEPT_LINE = 0.10  # share of own timing in the shuffled prompts that a claim must be able to exclude
ALL_SWAPS = 11  # families for which all 2^T swaps are listed


@dataclass(frozen=True)
class Companion:
    """What the token-shuffled prompts say.

    Attributes:
        p: Paired test: share of swaps in which what stands in the place of own prompts matches as much better.
        kept: Share of the own prompts' timing that the shuffled prompts keep.
        kept_low: 5 % bound over bootstraps of runs and families.
        kept_high: 95 % bound.
    """

    p: float
    kept: float
    kept_low: float
    kept_high: float

    @property
    def is_specific(self) -> bool:
        """Whether own prompts match better than shuffled ones, and a tenth of the timing being kept is excluded."""
        return self.p <= LEVEL and self.kept_high < KEPT_LINE


def compare_shuffled(
    runs: Sequence[MatchedRun], shuffled: Sequence[StepCurves], seed: int = 0, families: Families = None
) -> Companion:
    """The paired test on one behaviour metric, and how much shuffling keeps.

    How it misleads: a lead that is about which words a prompt holds is kept by shuffling and cannot be claimed, true or
    not. A confound of which shuffling keeps less than a tenth is not seen. Noise in the own prompts' changes makes
    `kept` a little too small.

    Args:
        runs: Own geometry and behaviour, as for `task_matched_lag`.
        shuffled: Geometry of the same tasks' shuffled prompts, one a run.
        seed: Of sampled swaps and bootstraps.
        families: As for `task_matched_lag`; a family is swapped whole.
    """
    blocks = as_blocks(families, len(runs[0].behaviour.values))
    rng = np.random.default_rng(seed)
    pairs = [_pair(run, other) for run, other in zip(runs, shuffled, strict=True)]
    summed = np.sum([scores for scores, _, _ in pairs], axis=0)  # [own or shuffled, task, lag]
    swaps = _swaps(len(blocks), rng)
    own, other = (np.stack([side[block].sum(axis=0) for block in blocks]) for side in summed)
    leading = LAGS > DELTA
    better = ((1 - 2 * swaps) @ (own - other)[:, leading]).max(axis=1)  # a swap turns a family's difference round
    return Companion(float((better >= better[0] - TIE).mean()), *_kept(pairs, blocks, rng))


def _pair(run: MatchedRun, shuffled: StepCurves) -> tuple[Array, Array, Array]:
    """Scores [2, T, lag] of own and shuffled geometry with the own behaviour; Σ x·y and Σ x·x of each task."""
    grid = common_grid((run.geometry, run.behaviour, shuffled))
    n = len(run.behaviour.values)
    own, other = (resample(curves, grid) for curves in (run.geometry, shuffled))
    changes = [recovery_differences(own), recovery_differences(other)]
    behaviour = profiles(np.diff(resample(run.behaviour, grid)))
    # what all tasks share is taken away on each side: one event of all shuffled prompts must not count for or against
    scores = lagged_products(np.concatenate([profiles(change) for change in changes]), behaviour)
    # from the earliest own floor on: where shuffling keeps little, noise decides where a floor of its own lies
    after = np.arange(changes[0].shape[1]) >= own.argmin(axis=1).min()
    x, y = (smooth(np.where(after, np.diff(rows), 0.0)) for rows in (own, other))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    tasks = np.arange(n)
    return np.stack([scores[tasks, tasks], scores[n + tasks, tasks]]), (x * y).sum(axis=1), (x * x).sum(axis=1)


def _swaps(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which families are swapped, one row a swap, none first."""
    if n <= ALL_SWAPS:
        return np.array(list(product((0, 1), repeat=n)))
    drawn = rng.integers(0, 2, (PERMUTATIONS - 1, n))
    return np.concatenate([np.zeros((1, n), dtype=np.int64), drawn])


def _kept(
    pairs: Sequence[tuple[Array, Array, Array]], blocks: Sequence[NDArray[np.int64]], rng: np.random.Generator
) -> tuple[float, float, float]:
    """Share kept, and its 5 and 95 % bounds over bootstraps of runs and families."""
    cross, own = (np.array([[pair[k][b].sum() for b in blocks] for pair in pairs]) for k in (1, 2))  # [run, family]
    n_runs, n = cross.shape
    of_runs = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), BOOTSTRAPS)
    of_families = rng.multinomial(n, np.full(n, 1 / n), BOOTSTRAPS)
    drawn = [((of_runs @ sums) * of_families).sum(axis=1) for sums in (cross, own)]
    low, high = np.quantile(drawn[0] / np.maximum(drawn[1], TIE), (LEVEL, 1 - LEVEL))
    return float(cross.sum() / max(own.sum(), TIE)), float(low), float(high)

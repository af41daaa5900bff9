"""Does each step's embedding continue its neighbours', and does the run descend from its own step 0?

Three alarms on the distances between embeddings. All are ratios of distances or correlations, so they have no
unit and do not depend on the model's size, and none fits a curve to the training run. They are alarms, not
proofs: each docstring says how it misleads. Why: statistics.md B#2 and B#5, EleutherAI/pythia issues 108, 203
and 206.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

DETOUR_ALARM = 1.2
SPEED_ALARM = 3.0
LINEAGE_ALARM = 0.05
CHAIN = 0.5
LONGEST_DETOUR = 4
EARLY = 512
"""The last step at which a run must still resemble its start."""


@dataclass(frozen=True)
class Continuity:
    """What the embeddings of one run say.

    Attributes:
        detour: By step, `detour` of that step alone; without the first and the last.
        speed: By step, the distance from the step before, a training step, against the faster of the two
            neighbouring intervals; without the first two steps.
        from_start: By step, the correlation with step 0; empty where there is no step 0.
        alarms: By step, why it is suspect.
        broken_lineage: Why step 0 is no ancestor of the later steps; empty where it is, None where it cannot be
            told.
        untested: Why a test could not be made.
    """

    detour: Mapping[int, float]
    speed: Mapping[int, float]
    from_start: Mapping[int, float]
    alarms: Mapping[int, str]
    broken_lineage: str | None = None
    untested: tuple[str, ...] = ()


def continuity(embeddings: Mapping[int, Vector]) -> Continuity:
    """Runs the three tests on the steps of one run.

    Args:
        embeddings: By step, the same entries of the embedding, as one vector. Steps that follow one another with
            equal vectors count as one, under the first of them.
    """
    groups = _equal_in_a_row(embeddings)
    path = {group[0]: embeddings[group[0]] for group in groups}
    if len(path) < 3:
        return Continuity({}, {}, {}, {}, None, (f"{len(path)} different embeddings are too few to compare",))
    detours, alarms = _all_detours(path)
    rest = [step for step in path if step not in alarms]
    speeds = relative_speeds(rest, path)
    alarms |= {step: _speed_text(rest, step, v) for step, v in speeds.items() if v > SPEED_ALARM}
    alarms |= _returns(path, alarms)
    start, lineage, untested = _lineage(rest, path)
    told = {step: alarms[group[0]] for group in groups if group[0] in alarms for step in group}
    return Continuity(detours, speeds, start, told, lineage, untested)


def _equal_in_a_row(embeddings: Mapping[int, Vector]) -> list[list[int]]:
    groups: list[list[int]] = []
    for step in sorted(embeddings):
        if groups and np.array_equal(embeddings[step], embeddings[groups[-1][0]]):
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _all_detours(path: Mapping[int, Vector]) -> tuple[dict[int, float], dict[int, str]]:
    """The detour of every step, and the alarms of single steps and then of longer blocks of the others."""
    rest = sorted(path)
    single = dict(_detours(rest, path, 1))
    alarms: dict[int, str] = {}
    for length in range(1, LONGEST_DETOUR + 1):
        for block, value in _detours(rest, path, length):
            if value > DETOUR_ALARM:
                alarms |= dict.fromkeys(block, _detour_text(block, value))
        rest = [step for step in rest if step not in alarms]
    return {block[0]: value for block, value in single.items()}, alarms


def _returns(path: Mapping[int, Vector], alarms: Mapping[int, str]) -> dict[int, str]:
    """Steps whose embedding is exactly an earlier one's after a different one: training does not return."""
    found: dict[int, str] = {}
    seen: dict[bytes, int] = {}
    for step in (s for s in path if s not in alarms):
        other = seen.setdefault(path[step].tobytes(), step)
        if other != step:
            found |= {step: _return_text(other), other: _return_text(step)}
    return found


def detour(before: Vector, block: Sequence[Vector], after: Vector) -> float:
    """How far out of the way a block of steps lies: min(|a − b₁|, |bₙ − c|) / |a − c|.

    a is the step before the block, b₁ … bₙ the block, c the step after it; |·| is the Euclidean distance. On a
    path, the way through the block is longer than either half: 0.5 for a straight even line, 0.71 for a random
    walk, 1 for steps that are independent of each other and of their order. Above 1 the block is farther from
    both its neighbours than they are from each other. The minimum makes uneven grids safe: a long interval on
    one side cannot raise it.

    Range: 0 up, no unit. Alarm above 1.2.

    How it misleads: steps that are near each other in training can be swapped and stay below 1 (of the offline
    suite that ships, 1,377 of 1,378 swaps across two steps or more raise an alarm, and 21 of 107 nearer ones);
    a loss spike that recovers, or a learning rate that is cycled, is a detour that training really made; on a
    sparse grid neighbours are themselves far apart and hide it; it sees the first rows of the embedding and
    nothing else, so wrong weights in another shard are invisible.
    """
    there, back = _distance(before, block[0]), _distance(block[-1], after)
    shortcut = _distance(before, after)
    return min(there, back) / shortcut if shortcut else (float("inf") if min(there, back) else 0.0)


def relative_speeds(steps: Sequence[int], path: Mapping[int, Vector]) -> dict[int, float]:
    """How fast the run moves into each step, against the faster of the two intervals beside it.

    v = distance / training steps of an interval; the value is v / max(v before, v after), and v / v before for
    the last step. A path that jumps and does not come back (two runs spliced together, a wrong last step) has one
    interval that is far faster than both others. Speeds a training step fall as intervals grow, so a sparse grid
    hides a jump and does not feign one.

    Range: 0 up, no unit; at most about 1 in the offline suite that ships. Alarm above 3.

    How it misleads: a learning rate that rises and falls again within one interval looks like a jump; one that is
    raised for good does not. The first interval is not judged, since training may well be fastest there.
    """
    speed = [_distance(path[a], path[b]) / (b - a) for a, b in pairwise(steps)]
    found: dict[int, float] = {}
    for i in range(1, len(speed)):
        beside = max(speed[i - 1 : i] + speed[i + 1 : i + 2])
        found[steps[i + 1]] = speed[i] / beside if beside else 0.0
    return found


def correlation(a: Vector, b: Vector) -> float:
    """Pearson's correlation of two embeddings' entries: 1 for the same, 0 ± 0.002 for two random initialisations."""
    a64, b64 = a.astype(np.float64) - a.mean(dtype=np.float64), b.astype(np.float64) - b.mean(dtype=np.float64)
    size = float(np.linalg.norm(a64) * np.linalg.norm(b64))
    return float(a64 @ b64) / size if size else float("nan")


def _lineage(steps: Sequence[int], path: Mapping[int, Vector]) -> tuple[dict[int, float], str | None, tuple[str, ...]]:
    """Correlation of every step with step 0, and whether the run descends from it.

    Broken: the first later step has a correlation with step 0 below 0.05 while it has one above 0.5 with the
    step after it. Only told where the interval from step 0 is no longer than the next one, and short: a run that
    trained for long before its first checkpoint (or the first that is served) may have forgotten its start.
    """
    if not steps or steps[0] != 0 or len(steps) < 3:
        return {}, None, ("there is no step 0: descent from it cannot be tested",)
    values = {step: correlation(path[0], path[step]) for step in steps}
    first, second = steps[1], steps[2]
    chain = correlation(path[first], path[second])
    if first > min(second - first, EARLY):
        why = f"the first step to compare with step 0 is {first}, too late to tell whether the run descends from it"
        return values, None, (why,)
    if values[first] < LINEAGE_ALARM and chain > CHAIN:
        return values, (
            f"step {first} does not descend from it: their embeddings correlate at {values[first]:.3f}, those of "
            f"steps {first} and {second} at {chain:.3f}"
        ), ()  # fmt: skip
    return values, "", ()


def _detours(steps: Sequence[int], path: Mapping[int, Vector], length: int) -> list[tuple[tuple[int, ...], float]]:
    """Every block of so many steps that has a neighbour on both sides."""
    blocks = [tuple(steps[i : i + length]) for i in range(1, len(steps) - length)]
    around = [(steps[i - 1], steps[i + length]) for i in range(1, len(steps) - length)]
    return [
        (block, detour(path[before], [path[s] for s in block], path[after]))
        for block, (before, after) in zip(blocks, around, strict=True)
    ]


def _distance(a: Vector, b: Vector) -> float:
    return float(np.linalg.norm(a.astype(np.float64) - b))


def _detour_text(steps: tuple[int, ...], value: float) -> str:
    who = "it is" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]} are"
    return f"{who} {value:.1f} times as far from the neighbouring steps as those are from each other"


def _return_text(other: int) -> str:
    return f"its embedding is exactly that of step {other}, and those between differ"


def _speed_text(steps: Sequence[int], step: int, value: float) -> str:
    before = steps[steps.index(step) - 1]
    return f"the embedding moves {value:.1f} times as fast from step {before} to here as in the intervals beside it"

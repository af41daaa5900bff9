"""What eight stacked seeds cost beside one, in CPU time, taken in turns on the same machine."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from pythia_geometry.lab.patterns.member import Member
from pythia_geometry.lab.patterns.network import Network
from pythia_geometry.lab.patterns.settings import PatternTraining
from pythia_geometry.lab.patterns.stacked import Stack, one_thread

ROUNDS, STEPS = 5, 2


def bench() -> str:
    """One line a size."""
    return "\n".join(_of(PatternTraining(size=size, sparsity=3)) for size in (8, 12))


def _of(training: PatternTraining) -> str:
    network = Network(training)
    stacks = {n: Stack(network, [Member.fresh(network, seed) for seed in range(n)]) for n in (1, 8)}
    seconds: dict[int, list[float]] = {1: [], 8: []}
    with one_thread():
        for turn in range(1 + ROUNDS):
            for n, stack in stacks.items():
                began = time.process_time()
                for _ in range(STEPS * 8 // n):  # as many member steps in each turn
                    stack.update()
                if turn:
                    seconds[n].append((time.process_time() - began) / (STEPS * 8 // n))
    one, eight = (float(np.median(seconds[n])) for n in (1, 8))
    name = replace(training, seed=0).model
    return (
        f"{name}, batch {training.batch}: one seed {one:.4f} CPU-s a step, eight {eight:.4f}, {eight / one:.2f} times"
    )

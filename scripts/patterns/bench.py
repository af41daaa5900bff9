"""What eight stacked seeds cost beside one, taken in turns on the same machine: CPU time, or a GPU's time."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from pythia_geometry.lab.patterns.member import Member
from pythia_geometry.lab.patterns.network import Network
from pythia_geometry.lab.patterns.settings import PatternTraining
from pythia_geometry.lab.patterns.stacked import Stack, one_thread

ROUNDS = 5
MEMBER_STEPS = {"cpu": 16, "cuda": 400}  # of a turn; a GPU is asked for many before it is waited for


def bench(device: str) -> str:
    """One line a size."""
    return "\n".join(_of(PatternTraining(size=size, sparsity=3), device) for size in (8, 12, 16))


def _of(training: PatternTraining, device: str) -> str:
    network = Network(training, device)
    stacks = {n: Stack(network, [Member.fresh(network, seed) for seed in range(n)]) for n in (1, 8)}
    n_steps = MEMBER_STEPS[device.partition(":")[0]]
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds: dict[int, list[float]] = {1: [], 8: []}
    with one_thread():
        for turn in range(1 + ROUNDS):
            for n, stack in stacks.items():
                began = clock()
                for _ in range(n_steps // n):
                    stack.update()
                stack.settle()
                if turn:
                    seconds[n].append((clock() - began) / (n_steps // n))
    one, eight = (float(np.median(seconds[n])) for n in (1, 8))
    name, unit = replace(training, seed=0).model, "CPU-s" if device == "cpu" else "s"
    return (
        f"{name}, batch {training.batch}, {device}: one seed {one:.4f} {unit} a step, eight {eight:.4f}, "
        f"{eight / one:.2f} times"
    )

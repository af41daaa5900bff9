"""How long a stack will take here, from a few real steps of it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pythia_geometry.lab.estimate import ENOUGH_SECONDS, ENOUGH_STEPS
from pythia_geometry.lab.patterns.member import Member
from pythia_geometry.lab.patterns.network import Network, check_memory, usual_device
from pythia_geometry.lab.patterns.settings import PatternTraining
from pythia_geometry.lab.patterns.stacked import Stack, one_thread


def seconds_per_step(trainings: Sequence[PatternTraining]) -> float:
    """Wall seconds of one step of all members together, from up to five steps after a first one.

    Saving checkpoints and examining come on top, and a machine that does other work meanwhile takes longer.

    Raises:
        MachineError: If they do not fit into memory together.
    """
    check_memory(trainings, usual_device())
    network = Network(trainings[0], usual_device())
    with one_thread():
        stack = Stack(network, [Member.fresh(network, training.seed) for training in trainings])
        began = time.perf_counter()
        stack.update()
        stack.settle()
        first, n_steps = time.perf_counter() - began, 0
        if first > ENOUGH_SECONDS:
            return first
        began = time.perf_counter()
        while n_steps < ENOUGH_STEPS and time.perf_counter() - began < ENOUGH_SECONDS:
            n_steps += 1
            stack.update()
        stack.settle()
        return (time.perf_counter() - began) / n_steps

"""How long a lab run will take here, from a few real steps of it."""

from __future__ import annotations

import time

from pythia_geometry.lab.model import build_model, scale_named
from pythia_geometry.lab.settings import Training
from pythia_geometry.lab.train import make_optimizer, threads_for, train_step

ENOUGH_STEPS, ENOUGH_SECONDS = 5, 2.0


def seconds_per_step(training: Training) -> float:
    """Wall seconds of a training step on this machine, from up to five steps after a first one.

    A step that takes over two seconds is measured once, the first time. Saving checkpoints comes on top, and a
    machine that does other work meanwhile takes longer.
    """
    with threads_for(training):
        return _measured(training)


def _measured(training: Training) -> float:
    from accelerate import Accelerator

    accelerator = Accelerator()
    model = build_model(scale_named(training.scale), training.architecture, training.seed)
    model, optimizer = accelerator.prepare(model, make_optimizer(model))
    began = time.perf_counter()
    train_step(model, optimizer, training, 0, accelerator)
    first, n_steps = time.perf_counter() - began, 0
    if first > ENOUGH_SECONDS:
        return first
    began = time.perf_counter()
    while n_steps < ENOUGH_STEPS and time.perf_counter() - began < ENOUGH_SECONDS:
        n_steps += 1
        train_step(model, optimizer, training, n_steps, accelerator)
    return (time.perf_counter() - began) / n_steps

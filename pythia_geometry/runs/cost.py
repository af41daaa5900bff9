"""What a walk takes before it starts: bytes, disk, and hours here and on one GPU. Lower bounds."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from pythia_geometry.measures import RESIDUAL, Measure
from pythia_geometry.runs.plan import Plan, RunPlan
from pythia_geometry.runs.rows import measure_layers
from pythia_geometry.suites.checkpoint import Checkpoint

NETWORK = 50e6
"""Bytes a second that a download is taken to run at."""

GPU = 10e12
"""Floating-point operations a second of one GPU: half of what an A100 gives at best in float32 (19.5 TFLOP/s)."""

GPU_THREADS = 8
"""Threads that measure beside a GPU."""


@dataclass(frozen=True)
class Cost:
    """What is left to do of one run.

    Attributes:
        run: Its name.
        asked: Steps that were asked for.
        usable: Those of them that are served right.
        todo: Those of them that the run folder lacks.
        download: Bytes.
        disk: Most bytes of weights and activations at one time.
        forward: Floating-point operations.
        measuring: CPU seconds of measures, from one cloud of this width that was measured here.
    """

    run: str
    asked: int
    usable: int
    todo: int
    download: int
    disk: int
    forward: float
    measuring: float

    def seconds(self, flops_per_second: float, threads: int = 1) -> float:
        """Seconds where the next checkpoints are downloaded while one computes: the longer of the two.

        How it misleads: matrix products and measures alone, at their best; loading, comparing and writing come on top.

        Args:
            flops_per_second: Of the forward passes.
            threads: Measures run on so many, beside a GPU; 1 where they take the time of forward passes.
        """
        forward = self.forward / flops_per_second
        compute = forward + self.measuring if threads == 1 else max(forward, self.measuring / threads)
        return max(self.download / NETWORK, compute)


def cost_of(plan: Plan, run: RunPlan, todo: Sequence[Checkpoint], probes: Collection[str]) -> Cost:
    """The cost of what a run folder lacks.

    Args:
        plan: The whole plan of the walk.
        run: One run of it.
        todo: Checkpoints that lack something.
        probes: Names of the probes that some of them lack.
    """
    new = run.only(probes)
    kept = len(todo) if plan.request.activations == "keep" else min(3, len(todo))  # the last, the one before, this one
    clouds = len(todo) * len(new.probes) * (run.shape.n_layers + 2)
    return Cost(
        run=run.name,
        asked=len(run.checkpoints),
        usable=len(run.usable),
        todo=len(todo),
        download=run.bytes_to_come(todo),
        disk=(min(plan.disk_budget, run.bytes_to_come(todo)) if todo else 0) + kept * new.bytes_of_activations,
        forward=len(todo) * new.flops,
        measuring=clouds * _seconds_a_cloud(new, plan.request.chosen) if clouds else 0.0,
    )


def _seconds_a_cloud(run: RunPlan, measures: Sequence[Measure]) -> float:
    """Time of one layer's measures on random numbers of the run's width; of as many rows as its probes have."""
    rows = round(run.n_rows / len(run.probes))
    cloud = np.random.default_rng(0).normal(size=(1, rows, run.shape.width)).astype(np.float32)
    single = [measure for measure in measures if measure.reads == RESIDUAL]
    measure_layers(cloud, ["resid_1"], single)
    start = time.process_time()
    measure_layers(cloud, ["resid_1"], single)
    return time.process_time() - start

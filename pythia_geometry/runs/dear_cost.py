"""What dear measures will cost, from one step that is measured here: for the plan of a walk."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import torch

from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.landscape.surface import Surface
from pythia_geometry.landscape.tokens import next_token_losses, scored_tokens
from pythia_geometry.measures import LABELLED, Measure
from pythia_geometry.runs.plan import RunPlan
from pythia_geometry.runs.readings import READINGS
from pythia_geometry.runs.request import Request
from pythia_geometry.suites.checkpoint import Checkpoint

BATCH = 32
MOST_PARAMETERS = 500_000_000
"""A larger model is not built for this: what it costs is told by its operations alone."""


def dear_words(run: RunPlan, request: Request, todo: Sequence[Checkpoint], flops_per_second: float) -> str:
    """What the dear measures will cost in a sentence; empty where there are none.

    Args:
        run: The run's plan.
        request: Of the walk.
        todo: Checkpoints that lack anything.
        flops_per_second: This machine's rate of a matrix product.
    """
    dear = [m for m in request.chosen if READINGS[m.reads].dear and not READINGS[m.reads].edits_heads]
    steps = sum(checkpoint.step in run.at for checkpoint in todo)
    if not dear or not steps:
        return ""
    batch = measured_batch(run, request)
    how = f"from one measured step of {BATCH} examples, {1000 * batch:.0f} ms"
    if not batch:
        batch, how = run.batch_flops(BATCH) / flops_per_second, "by their operations alone: a lower bound"
    if not (seconds := steps * dear_seconds(run, dear, batch)):
        return ""
    names = ", ".join(measure.name for measure in dear)
    return (
        f"{run.name}: {names} will take about {_long(seconds)} at {steps} checkpoints ({how}); --at takes them at "
        "chosen steps only."
    )


def edit_words(run: RunPlan, request: Request, todo: Sequence[Checkpoint], flops_per_second: float) -> str:
    """What measures that edit heads will cost in a sentence, by their operations; empty where there are none."""
    edits = [measure for measure in request.chosen if READINGS[measure.reads].edits_heads and measure.passes]
    steps = sum(checkpoint.step in run.at for checkpoint in todo)
    if not edits or not steps:
        return ""
    seconds = steps * run.edit_flops * sum(measure.passes for measure in edits) / flops_per_second
    return (
        f"{run.name}: {', '.join(measure.name for measure in edits)} will take at least {_long(seconds)} at {steps} "
        "checkpoints; --at takes them at chosen steps only."
    )


def _long(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def measured_batch(run: RunPlan, request: Request) -> float:
    """Seconds of one forward and backward pass of 32 examples on this device; 0 where it is not measured.

    The model is built from its config with random weights: nothing is downloaded.

    Args:
        run: The run's plan.
        request: Of the walk.
    """
    sequences, starts = _some_examples(run)
    if not sequences or 12 * run.shape.n_layers * run.shape.width**2 + run.shape.head > MOST_PARAMETERS:
        return 0.0
    model = SuiteModel(run.suite.config_file(), "float32", request.resolved_device)
    generator = torch.Generator(model.device).manual_seed(0)
    for parameter in model.module.parameters():
        parameter.data.normal_(0.0, 0.02, generator=generator)
    surface = Surface(model.module, next_token_losses, scored_tokens(sequences, starts))
    seconds = []
    for _ in range(3):  # the first also warms up
        began = time.perf_counter()
        leaves = surface.leaves()
        loss = surface.losses_at(leaves, surface.rows(slice(0, BATCH))).mean()
        found = torch.autograd.grad(loss, list(leaves.values()))
        float(found[0].sum())  # waits for a GPU
        seconds.append(time.perf_counter() - began)
    return min(seconds) * BATCH / len(sequences)


def _some_examples(run: RunPlan) -> tuple[Sequence[tuple[int, ...]], Sequence[int]]:
    """Up to 32 examples, spread over all of the run's."""
    for loss in run.losses:
        if loss.sequences:
            every = max(1, len(loss.sequences) // BATCH)
            return loss.sequences[::every][:BATCH], loss.first_scored[::every][:BATCH]
    for rows in run.labelled:
        if not rows.fault:
            items = rows.encoded.items[:BATCH]
            return [item.prompt + item.target for item in items], [len(item.prompt) for item in items]
    return (), ()


def dear_seconds(run: RunPlan, measures: Iterable[Measure], batch_seconds: float) -> float:
    """Seconds of the dear ones among some measures at one checkpoint; work that several share is counted once.

    Args:
        run: The run's plan.
        measures: Those of the walk.
        batch_seconds: Of one forward and backward pass of 32 examples.
    """
    examples = sum(len(loss.sequences) for loss in run.losses)
    decoded = sum(len(rows.encoded.items) * rows.answers for rows in run.labelled if not rows.fault)
    total, counted = 0.0, set[str]()
    for measure in measures:
        if not measure.passes or (measure.shares and measure.shares in counted):
            continue
        counted.add(measure.shares)
        rows = decoded if measure.reads == LABELLED else examples
        total += measure.passes * rows / BATCH + (measure.batches if rows else 0)
    return batch_seconds * total

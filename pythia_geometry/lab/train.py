"""Trains one lab model on all its task-levels at once, and leaves an ordinary local suite (see suite_folder.py).

AdamW, linear warm-up, cosine to a tenth, gradients clipped at 1, loss on the answer's tokens. The batch of a step
depends on seed and step alone, so a run that was stopped goes on as if it never had been. `accelerate` puts it on a
GPU where there is one, and on several with `accelerate launch`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.batches import GROUPS, IGNORE, Drawn, draw_batch, grouped
from pythia_geometry.lab.model import build_model, scale_named
from pythia_geometry.lab.plant import apart_loss, hold_loss, plant_loss, shuffled
from pythia_geometry.lab.release import loss_opens
from pythia_geometry.lab.settings import PLANTED_ROWS, Training, checkpoint_steps
from pythia_geometry.lab.suite_folder import (
    diverged,
    finish,
    is_finished,
    restore,
    save_checkpoint,
    save_state,
    write_facts,
    writing,
)
from pythia_geometry.typed_path import typed_path

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NARROW = 256  # below this width a second CPU thread waits more than it works
BETAS, WEIGHT_DECAY, CLIP = (0.9, 0.98), 0.01, 1.0
SAVE_STATE_SECONDS = 20.0  # what a kill can cost, where saving is quick
SAVE_SHARE = 10  # a state that takes long to write (12 bytes a parameter) is written in a tenth of the time


@dataclass(frozen=True)
class Progress:
    """What whoever watches hears after a step.

    Attributes:
        step: Updates made.
        loss: Mean loss of a scored token in this step's batch.
        gradient: Norm of the gradient before it was clipped; a planted objective is part of it, and not of `loss`.
        asked: Problems of each task-level in this step's batch.
        solved: How many of them had every answer token right, given the true ones before it: what greedy
            decoding gets exactly right. Training inputs, not held-out ones.
    """

    step: int
    loss: float
    gradient: float
    asked: list[int]
    solved: list[int]


Watch = Callable[[Progress], None]


def train(training: Training, out: str | Path = "lab", watch: Watch | None = None) -> Path:
    """Trains, or goes on where an earlier call was stopped, and returns the suite's folder.

    Args:
        training: The run.
        out: Folder of suites; the run's own folder is made inside.
        watch: Called after every step, in the main process.

    Raises:
        PythiaGeometryError: If the run's folder holds another run, a staggered run is too short, or the loss is no
            number any more.
        MachineError: If the disk gives out, or another training writes there.
    """
    from accelerate import Accelerator

    loss_opens(training)  # refuses a run that is too short, before there is a folder
    folder, accelerator = typed_path(out) / training.name, Accelerator()
    if training.batch < GROUPS * accelerator.num_processes:
        raise PythiaGeometryError(f"--batch must be {GROUPS} or more for each of {accelerator.num_processes} processes")
    if training.plants and training.batch < PLANTED_ROWS * len(training.levels) * accelerator.num_processes:
        raise PythiaGeometryError(
            f"--batch must be {PLANTED_ROWS} or more for each of {len(training.levels)} planted levels and "
            f"{accelerator.num_processes} processes"
        )
    with ExitStack() as stack:
        if accelerator.is_main_process:
            stack.enter_context(writing(folder, training, write_facts))
        accelerator.wait_for_everyone()
        stack.enter_context(threads_for(training))
        if not is_finished(folder):
            _loop(folder, training, watch or (lambda progress: None), accelerator)
    return folder


def _loop(folder: Path, training: Training, watch: Watch, accelerator: Any) -> None:
    model = build_model(scale_named(training.scale), training.architecture, training.seed)
    optimizer = make_optimizer(model)
    start, losses = restore(folder, model, optimizer, training.steps)
    model, optimizer = accelerator.prepare(model, optimizer)
    wanted, saved_at, wait = set(checkpoint_steps(training.steps)), time.monotonic(), SAVE_STATE_SECONDS
    for step in range(start, training.steps + 1):
        # Before the update: step N is the model after N updates.
        if accelerator.is_main_process:
            if step in wanted:
                save_checkpoint(accelerator.unwrap_model(model), folder / f"step{step}")
            if (began := time.monotonic()) - saved_at >= wait:
                save_state(folder, accelerator.unwrap_model(model), optimizer, step, losses)
                saved_at = time.monotonic()
                wait = max(SAVE_STATE_SECONDS, SAVE_SHARE * (saved_at - began))
        if step == training.steps:
            break
        progress = train_step(model, optimizer, training, step, accelerator)
        if not math.isfinite(progress.loss + progress.gradient):  # all losses can be closed, and the weights no numbers
            raise diverged(training.name, progress.step)
        losses.append(progress.loss)
        if accelerator.is_main_process:
            watch(progress)
    if accelerator.is_main_process:
        finish(folder, losses)
    accelerator.wait_for_everyone()


@contextmanager
def threads_for(training: Training) -> Iterator[None]:
    """One CPU thread for a narrow model, torch's own choice for a wide one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1 if scale_named(training.scale).width < NARROW else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_optimizer(model: PreTrainedModel) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only."""
    import torch

    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1.0, betas=BETAS)


def train_step(
    model: Any, optimizer: torch.optim.Optimizer, training: Training, step: int, accelerator: Any
) -> Progress:
    """One update: draw the step's batch, sum its gradients, clip them, move."""
    batch = draw_batch(training.levels, training.batch, training.seed, step)
    loss, solved = backward(model, batch, training, step, accelerator)
    norm = float(accelerator.clip_grad_norm_(model.parameters(), CLIP))
    for group in optimizer.param_groups:
        group["lr"] = training.rate(step)
    optimizer.step()
    optimizer.zero_grad()
    asked = [0] * len(solved)
    for d in batch:
        asked[d.level] += 1
    return Progress(step + 1, loss, norm, asked, solved)


def backward(
    model: Any, batch: Sequence[Drawn], training: Training, step: int, accelerator: Any
) -> tuple[float, list[int]]:
    """Adds the batch's gradients to the model; returns its loss and how many problems of each level it solved.

    The loss of a level that is not open yet is masked, and still divided by the tokens of all levels: an open level's
    gradient is the same to the last bit whatever else is open. With several processes each takes its share of the
    batch; gradients are averaged over processes, so the share's loss is scaled back up.
    """
    import torch
    from torch.nn.functional import cross_entropy

    n_scored = sum(len(d.answer) + (len(d.prompt) - 1) * training.all_tokens for d in batch)
    is_open = torch.tensor([opens <= step for opens in loss_opens(training).values()])
    share = batch[accelerator.process_index :: accelerator.num_processes]
    told = torch.zeros(1 + len(is_open), device=accelerator.device)  # loss, then problems solved by level
    for problems, inputs, labels in grouped(share, training.all_tokens):
        levels = torch.tensor([d.level for d in problems])
        scored = labels.masked_fill(~is_open[levels, None], IGNORE).to(accelerator.device)
        labels, levels = labels.to(accelerator.device), levels.to(accelerator.device)
        output = model(input_ids=inputs.to(accelerator.device), use_cache=False, output_hidden_states=training.plants)
        summed = cross_entropy(output.logits.flatten(0, 1), scored.flatten(), ignore_index=IGNORE, reduction="sum")
        loss = summed * accelerator.num_processes / n_scored
        told[0] += loss.detach()
        if training.plants:
            planted = plant_loss(output.hidden_states[-1], problems, training, step)
            if training.plant_own:
                others = shuffled(problems, training, step).to(accelerator.device)
                hidden = model(input_ids=others, use_cache=False, output_hidden_states=True).hidden_states[-1]
                planted = planted + hold_loss(hidden, problems, training, step)
                if training.plant_apart:
                    planted = planted + apart_loss(output.hidden_states[-1], hidden, problems, training)
            loss = loss + accelerator.num_processes * planted
        accelerator.backward(loss)
        right = ((output.logits.detach().argmax(-1) == labels) | (labels == IGNORE)).all(1)
        told.index_add_(0, 1 + levels, right.to(told.dtype))
    loss, *solved = accelerator.reduce(told, "sum").tolist()
    return loss / accelerator.num_processes, [round(s) for s in solved]

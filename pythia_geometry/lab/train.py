"""Trains one lab model on all task-levels at once, and leaves its checkpoints as an ordinary local suite.

    lab/nano-gpt2-seed0/
        suite.json  tokenizer.json          what a walk needs beside the weights
        step0/  step1/  …                   config.json and model.safetensors, float16, in the Hub's layout
        training.json                       the settings; another run's folder is refused
        state.pt                            weights and optimiser of the last saved step; gone when done
        losses.csv                          loss by step

AdamW, linear warm-up, cosine to a tenth, gradients clipped at 1, loss on the answer's tokens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.lab.batches import GROUPS, IGNORE, draw_batch, grouped, write_tokenizer
from pythia_geometry.lab.model import build_model, scale_named
from pythia_geometry.lab.tasks import levels_named

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

WARM_UP, BETAS, WEIGHT_DECAY, CLIP, FLOOR = 100, (0.9, 0.98), 0.01, 1.0, 0.1
SAVE_STATE_EVERY = 250
Watch = Callable[[int, float], None]


@dataclass(frozen=True)
class Training:
    """Everything that decides a run's weights.

    Attributes:
        scale: Name of a scale.
        architecture: `gpt2` or `neox`.
        seed: Of the initial weights and of the data.
        steps: Optimiser steps; the cosine ends there.
        batch: Problems a step.
        tasks: Task-level names; empty for all 24.
        all_tokens: Loss on the prompt's tokens too.
    """

    scale: str = "nano"
    architecture: str = "gpt2"
    seed: int = 0
    steps: int = 12_000
    batch: int = 128
    tasks: tuple[str, ...] = ()
    all_tokens: bool = False

    def __post_init__(self) -> None:
        """Checks what has a closed set.

        Raises:
            PythiaGeometryError: If the scale or a task-level is unknown, or a number is too small.
        """
        scale_named(self.scale)
        levels_named(self.tasks)
        if self.steps < 1 or self.batch < GROUPS or self.seed < 0:
            raise PythiaGeometryError(f"--steps must be 1 or more, --batch {GROUPS} or more, a seed 0 or more")

    @property
    def model(self) -> str:
        """Name without the seed, such as `nano-gpt2`."""
        extras = ("-alltokens" if self.all_tokens else "") + "".join(f"-{name}" for name in self.tasks)
        return f"{self.scale}-{self.architecture}{extras}"

    @property
    def name(self) -> str:
        """The folder's name, such as `nano-gpt2-seed0`."""
        return f"{self.model}-seed{self.seed}"

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        peak = scale_named(self.scale).peak_rate
        if step < WARM_UP:
            return peak * (step + 1) / WARM_UP
        progress = (step - WARM_UP) / max(1, self.steps - WARM_UP)
        return peak * (FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2)


def checkpoint_steps(steps: int) -> list[int]:
    """When to save: every step to 20, every second to 40, about 20 to 500, every 100 to 3,000, then every 250.

    The first collapse lies between steps 7 and 25, inside the warm-up; a linear schedule misses it.
    """
    to_500 = [round(40 * (500 / 40) ** (i / 20)) for i in range(1, 21)]
    dense = [*range(21), *range(22, 41, 2), *to_500, *range(600, 3_001, 100), *range(3_250, steps + 1, 250)]
    return sorted({step for step in dense if step <= steps} | {steps})


def train(training: Training, out: str | Path, watch: Watch | None = None) -> Path:
    """Trains, or goes on where an earlier call was stopped, and returns the suite's folder.

    Args:
        training: The run.
        out: Folder of suites; the run's own folder is made inside.
        watch: Called with step and loss after every step.

    Raises:
        PythiaGeometryError: If the run's folder holds another run.
        MachineError: If the disk gives out.
    """
    folder = Path(out).expanduser() / training.name
    try:
        _prepare(folder, training)
        if not (folder / "state.pt").exists() and (folder / f"step{training.steps}").is_dir():
            return folder
        _loop(folder, training, watch or (lambda step, loss: None))
    except OSError as error:
        raise MachineError(f"Cannot write to {folder}: {error.strerror or error}. Type the same again later") from error
    return folder


def _prepare(folder: Path, training: Training) -> None:
    """Makes the folder, or checks that it holds this very run."""
    settings = json.loads(json.dumps(asdict(training)))
    record = folder / "training.json"
    if record.exists():
        held = json.loads(record.read_text())
        different = [f"{key} {held.get(key)!r}" for key in settings if held.get(key) != settings[key]]
        if different:
            raise PythiaGeometryError(
                f"{folder} holds another run ({', '.join(different)}). Pass another --out, or type its own settings"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise PythiaGeometryError(f"{folder} is not empty and holds no lab run. Pass another --out")
    write_tokenizer(folder / "tokenizer.json")
    facts = {
        "suite": "lab",
        "name": training.model,
        "seed": training.seed,
        "tokens_per_step": tokens_per_step(training),
        "training_dtype": "float32",
        "probes": ["algorithmic"],
    }
    (folder / "suite.json").write_text(json.dumps(facts, indent=2) + "\n")
    record.write_text(json.dumps(settings, indent=2) + "\n")


def tokens_per_step(training: Training) -> int:
    """Mean tokens of a batch, pads not counted, over 20 steps."""
    levels = levels_named(training.tasks)
    batches = [draw_batch(levels, training.batch, training.seed, step) for step in range(20)]
    return round(sum(len(p) + len(a) for batch in batches for p, a in batch) / len(batches))


def _loop(folder: Path, training: Training, watch: Watch) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator()
    model = build_model(scale_named(training.scale), training.architecture, training.seed)
    optimizer = make_optimizer(model)
    start, losses = _restore(folder, model, optimizer)
    model, optimizer = accelerator.prepare(model, optimizer)
    wanted = set(checkpoint_steps(training.steps))
    for step in range(start, training.steps + 1):
        # Before the update: step N is the model after N updates.
        if accelerator.is_main_process and step in wanted:
            save_checkpoint(accelerator.unwrap_model(model), folder / f"step{step}")
        if accelerator.is_main_process and step % SAVE_STATE_EVERY == 0 and step < training.steps:
            _save_state(folder, accelerator.unwrap_model(model), optimizer, step, losses)
        if step == training.steps:
            break
        losses.append(train_step(model, optimizer, training, step, accelerator))
        watch(step + 1, losses[-1])
    if accelerator.is_main_process:
        (folder / "losses.csv").write_text("step,loss\n" + "".join(f"{i},{v:.6g}\n" for i, v in enumerate(losses)))
        (folder / "state.pt").unlink(missing_ok=True)


def make_optimizer(model: PreTrainedModel) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only."""
    import torch

    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1.0, betas=BETAS)


def train_step(model: Any, optimizer: torch.optim.Optimizer, training: Training, step: int, accelerator: Any) -> float:
    """One update; returns the mean loss of a scored token.

    With several processes each takes its share of the batch; gradients are averaged over processes, so the
    share's loss is scaled back up.
    """
    import torch
    from torch.nn.functional import cross_entropy

    batch = draw_batch(levels_named(training.tasks), training.batch, training.seed, step)
    n_scored = sum(len(answer) + (len(prompt) - 1) * training.all_tokens for prompt, answer in batch)
    share = batch[accelerator.process_index :: accelerator.num_processes]
    total = torch.zeros((), device=accelerator.device)
    for inputs, labels in grouped(share, training.all_tokens):
        logits = model(input_ids=inputs.to(accelerator.device), use_cache=False).logits
        summed = cross_entropy(
            logits.flatten(0, 1), labels.to(accelerator.device).flatten(), ignore_index=IGNORE, reduction="sum"
        )
        loss = summed * accelerator.num_processes / n_scored
        accelerator.backward(loss)
        total += loss.detach()
    accelerator.clip_grad_norm_(model.parameters(), CLIP)
    for group in optimizer.param_groups:
        group["lr"] = training.rate(step)
    optimizer.step()
    optimizer.zero_grad()
    return float(accelerator.reduce(total, "mean"))


def save_checkpoint(model: PreTrainedModel, folder: Path) -> None:
    """float16 weights under their Hub names, in one rename; a step that a stopped run saved is left alone."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    if folder.exists():
        return
    logging.disable_progress_bar()
    half = AutoModelForCausalLM.from_config(model.config)
    half.load_state_dict(model.state_dict())
    partial = folder.with_name(f".{folder.name}.partial")
    half.half().save_pretrained(partial)
    (partial / "generation_config.json").unlink(missing_ok=True)
    partial.rename(folder)


def _save_state(folder: Path, model: PreTrainedModel, optimizer: Any, step: int, losses: list[float]) -> None:
    import torch

    partial = folder / "state.partial"
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "losses": losses}
    torch.save(state, partial)
    partial.replace(folder / "state.pt")


def _restore(folder: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> tuple[int, list[float]]:
    """Step to go on from, and the losses before it."""
    import torch

    file = folder / "state.pt"
    if not file.exists():
        return 0, []
    state = torch.load(file, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), list(state["losses"])

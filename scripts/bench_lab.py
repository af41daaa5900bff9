"""Training throughput of the lab beside the plain padded loop, in the same run.

    python scripts/bench_lab.py                      # nano, gpt2 and neox
    python scripts/bench_lab.py --scale quad --steps 200

The plain loop pads every batch to 18 tokens (128 × 18, float32) and makes one forward and one backward pass, as the
prototype did; ours goes through pythia_geometry.lab.train. Same models, same problems, same schedule; blocks of steps
alternate, so both see the same machine. Printed: CPU seconds a step, their ratio, and both losses.
"""

from __future__ import annotations

import argparse
import time
from statistics import mean

import torch
from accelerate import Accelerator
from torch.nn.functional import cross_entropy

from pythia_geometry.lab.batches import IGNORE, PAD_ID, draw_batch
from pythia_geometry.lab.model import ARCHITECTURES, build_model, scale_named
from pythia_geometry.lab.settings import Training
from pythia_geometry.lab.train import CLIP, make_optimizer, threads_for, train_step

WIDTH, BLOCK = 18, 20


class Ours:
    """The lab's own step."""

    def __init__(self, training: Training) -> None:
        self.training, self.accelerator = training, Accelerator(cpu=True)
        model = build_model(scale_named(training.scale), training.architecture, training.seed)
        self.model, self.optimizer = self.accelerator.prepare(model, make_optimizer(model))

    def step(self, step: int) -> float:
        return train_step(self.model, self.optimizer, self.training, step, self.accelerator).loss


class Plain:
    """One padded batch, one pass."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.model = build_model(scale_named(training.scale), training.architecture, training.seed)
        self.optimizer = make_optimizer(self.model)

    def step(self, step: int) -> float:
        t = self.training
        inputs, labels = padded(draw_batch(t.levels, t.batch, t.seed, step))
        logits = self.model(input_ids=inputs, use_cache=False).logits
        loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        for group in self.optimizer.param_groups:
            group["lr"] = t.rate(step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())


def padded(batch: list) -> tuple[torch.Tensor, torch.Tensor]:
    """[128, 18] ids and the labels of the next token."""
    inputs, labels = [], []
    for prompt, answer, _ in batch:
        tokens = prompt + answer
        rest = WIDTH - len(tokens)
        inputs.append(tokens + [PAD_ID] * rest)
        labels.append([IGNORE] * (len(prompt) - 1) + answer + [IGNORE] * (rest + 1))
    return torch.tensor(inputs), torch.tensor(labels)


def compare(training: Training) -> None:
    """Trains both, block by block, and prints."""
    loops = {"plain": Plain(training), "ours": Ours(training)}
    seconds = dict.fromkeys(loops, 0.0)
    losses: dict[str, list[float]] = {name: [] for name in loops}
    with threads_for(training):
        for start in range(0, training.steps, BLOCK):
            for name, loop in loops.items():
                began = time.process_time()
                losses[name] += [loop.step(step) for step in range(start, min(start + BLOCK, training.steps))]
                # The first block warms up.
                seconds[name] += (time.process_time() - began) * (start > 0)
    timed = training.steps - BLOCK
    apart = max(abs(a - b) for a, b in zip(losses["plain"], losses["ours"], strict=True))
    tail = {name: mean(values[-BLOCK:]) for name, values in losses.items()}
    print(
        f"{training.model}: plain {seconds['plain'] / timed:.4f}, ours {seconds['ours'] / timed:.4f} CPU s a step, "
        f"ratio {seconds['plain'] / seconds['ours']:.2f}; losses at most {apart:.4f} apart over {training.steps} steps, "
        f"last {BLOCK} mean {tail['plain']:.3f} and {tail['ours']:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="nano")
    parser.add_argument("--steps", type=int, default=300)
    args = parser.parse_args()
    for architecture in ARCHITECTURES:
        compare(Training(args.scale, architecture, steps=args.steps))


if __name__ == "__main__":
    main()

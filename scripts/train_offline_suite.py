"""Trains the small suite that ships in data/suites/offline: GPT-NeoX on the 24 algorithmic task-levels.

    python scripts/train_offline_suite.py --out data/suites/offline

One CPU core is enough. Stopped at any moment, the same command continues from the last 250 steps;
the batch of a step depends only on the seed and the step, so the weights are the same either way.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from pythia_geometry.lab.tasks import PAD, default_levels, vocabulary

WIDTH, BLOCKS, HEADS, CONTEXT, VOCAB_SIZE = 72, 4, 6, 32, 32
STEPS, BATCH, PEAK_RATE, WARM_UP, SEED = 16_000, 128, 1.5e-3, 100, 0
IGNORE = -100
SAVE_STATE_EVERY = 250

IDS = {token: i for i, token in enumerate(vocabulary())}
TASK_LEVELS = default_levels()


def checkpoint_steps() -> list[int]:
    """Every second step to 40 (the first collapse lies inside the warm-up), then about evenly in log step."""
    early = [0, 1, *range(2, 41, 2)]
    late = [round(40 * (STEPS / 40) ** (i / 33)) for i in range(1, 34)]
    return early + [step if step < 100 else round(step, -1) for step in late]


def build_model() -> GPTNeoXForCausalLM:
    """GPT-NeoX with Pythia's block and a vocabulary of 32."""
    config = GPTNeoXConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=WIDTH,
        num_hidden_layers=BLOCKS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=CONTEXT,
        hidden_act="gelu_pytorch_tanh",
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0},
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(SEED)
    return GPTNeoXForCausalLM(config)


def write_tokenizer(path: Path) -> None:
    """One word-level tokenizer for the whole suite, in the Hub's file format."""
    tokenizer = Tokenizer(WordLevel(IDS, unk_token=PAD))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(path))


def draw_batch(step: int) -> list[tuple[list[int], list[int]]]:
    """The problems of one step as token ids, task-levels in equal shares."""
    rng = Random(f"{SEED}/{step}")
    chosen = [TASK_LEVELS[(i + step * BATCH) % len(TASK_LEVELS)] for i in range(BATCH)]
    drawn = [next(level.problems(rng, held_out=False)) for level in chosen]
    return [([IDS[t] for t in prompt], [IDS[t] for t in answer]) for prompt, answer in drawn]


def padded_groups(batch: list[tuple[list[int], list[int]]], n_groups: int = 4) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs [b, t] and answer labels [b, t] in groups of similar length: padding costs 1.6 times otherwise."""
    ordered = sorted(batch, key=lambda problem: len(problem[0]) + len(problem[1]))
    size = len(ordered) // n_groups
    for start in range(0, len(ordered), size):
        group = ordered[start : start + size]
        width = max(len(p) + len(a) for p, a in group) - 1
        inputs = torch.zeros(len(group), width, dtype=torch.long)
        labels = torch.full((len(group), width), IGNORE)
        for row, (prompt, answer) in enumerate(group):
            tokens = prompt + answer
            inputs[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
            labels[row, len(prompt) - 1 : len(tokens) - 1] = torch.tensor(answer)
        yield inputs, labels


def learning_rate(step: int) -> float:
    """Linear warm-up, then cosine to a tenth of the peak."""
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    progress = (step - WARM_UP) / (STEPS - WARM_UP)
    return PEAK_RATE * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


def train_step(model: GPTNeoXForCausalLM, optimizer: torch.optim.Optimizer, step: int) -> float:
    """One optimiser step on the answer tokens; returns the mean loss per answer token."""
    batch = draw_batch(step)
    n_answers = sum(len(answer) for _, answer in batch)
    total = 0.0
    for inputs, labels in padded_groups(batch):
        # Right padding under a causal mask: no real token ever sees a pad.
        logits = model(input_ids=inputs, use_cache=False).logits
        loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum") / n_answers
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step)
    optimizer.step()
    optimizer.zero_grad()
    return total


def save_checkpoint(model: GPTNeoXForCausalLM, folder: Path) -> None:
    """float16 weights in the Hub's layout and its tensor names."""
    half = GPTNeoXForCausalLM(model.config)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def make_optimizer(model: GPTNeoXForCausalLM) -> torch.optim.Optimizer:
    """AdamW, weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98))


def describe(out: Path) -> None:
    """suite.json: what a walk cannot read from the weights."""
    mean_tokens = sum(len(p) + len(a) for i in range(50) for p, a in draw_batch(i)) / 50
    facts = {
        "name": "offline",
        "seed": SEED,
        "tokens_per_step": round(mean_tokens),
        "training_dtype": "float32",
        "probes": ["algorithmic"],
        "mixture": {"tasks": [], "all_tokens": False},
        "trained_by": "scripts/train_offline_suite.py",
        "training": {"steps": STEPS, "batch": BATCH, "peak_rate": PEAK_RATE, "warm_up": WARM_UP},
    }
    (out / "suite.json").write_text(json.dumps(facts, indent=2) + "\n")


def main() -> None:
    """Trains from where the folder left off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--state", type=Path, default=Path("build/offline-training.pt"))
    out, state = parser.parse_args().out, parser.parse_args().state
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    state.parent.mkdir(parents=True, exist_ok=True)
    write_tokenizer(out / "tokenizer.json")
    describe(out)
    model = build_model()
    optimizer = make_optimizer(model)
    start, wanted, began = 0, set(checkpoint_steps()), time.time()
    if state.exists():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        start = saved["step"]
    for step in range(start, STEPS + 1):
        if step in wanted:
            save_checkpoint(model, out / f"step{step}")
        if step % SAVE_STATE_EVERY == 0:
            partial = state.with_suffix(".partial")
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, partial)
            partial.replace(state)
        loss = train_step(model, optimizer, step)
        if step % 100 == 0:
            print(f"step {step:6d}  loss {loss:.3f}  {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()

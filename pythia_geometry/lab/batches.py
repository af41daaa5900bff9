"""What a lab model reads: one batch of problems a step, and the one tokenizer.

The batch of a step depends on the seed and the step alone, so a run that was stopped goes on as if it never
had been. Problems are drawn in equal shares from all task-levels and batched by length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from pythia_geometry.lab.tasks import PAD, VOCABULARY, TaskLevel

if TYPE_CHECKING:
    from torch import Tensor

IDS = {token: i for i, token in enumerate(VOCABULARY)}
IGNORE = -100  # positions that carry no loss, as in torch's cross_entropy
GROUPS = 4  # batches by length: one padded batch of 18 tokens wastes 1.6 times the work

Ids = tuple[list[int], list[int]]
"""Token ids of a prompt and of its answer."""


def draw_batch(levels: Sequence[TaskLevel], size: int, seed: int, step: int) -> list[Ids]:
    """The problems of one step, from training inputs, task-levels in turn."""
    rng = Random(f"{seed}/{step}")
    chosen = [levels[(i + step * size) % len(levels)] for i in range(size)]
    drawn = [next(level.problems(rng, held_out=False)) for level in chosen]
    return [([IDS[t] for t in prompt], [IDS[t] for t in answer]) for prompt, answer in drawn]


def grouped(batch: Sequence[Ids], all_tokens: bool, groups: int = GROUPS) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs [b, t] and labels [b, t] in groups of similar length, padded on the right.

    Under a causal mask no real token sees a pad, so no attention mask is needed. Labels are the answer's
    tokens; with `all_tokens` the prompt's too.
    """
    ordered = sorted(batch, key=lambda problem: len(problem[0]) + len(problem[1]))
    size = -(-len(ordered) // groups)
    for start in range(0, len(ordered), size):
        yield _padded(ordered[start : start + size], all_tokens)


def _padded(group: Sequence[Ids], all_tokens: bool) -> tuple[Tensor, Tensor]:
    import torch

    width = max(len(prompt) + len(answer) for prompt, answer in group) - 1
    inputs, labels = [], []
    for prompt, answer in group:
        tokens = prompt + answer
        silent = 0 if all_tokens else len(prompt) - 1
        rest = width + 1 - len(tokens)
        inputs.append(tokens[:-1] + [IDS[PAD]] * rest)
        labels.append([IGNORE] * silent + tokens[silent + 1 :] + [IGNORE] * rest)
    return torch.tensor(inputs), torch.tensor(labels)


def write_tokenizer(path: Path) -> None:
    """One word-level tokenizer for every lab suite, in the Hub's file format."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    tokenizer = Tokenizer(WordLevel(IDS, unk_token=PAD))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(path))

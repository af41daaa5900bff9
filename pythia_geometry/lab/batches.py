"""What a lab model reads: one batch of problems a step, and the one tokenizer.

The batch of a step depends on the seed and the step alone, so a run that was stopped goes on as if it never
had been. Problems are drawn in equal shares from all task-levels and batched by length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from pythia_geometry.lab.tasks import DIGITS, PAD, TaskLevel, vocabulary

if TYPE_CHECKING:
    from torch import Tensor

PAD_ID = 0
IGNORE = -100  # positions that carry no loss, as in torch's cross_entropy
GROUPS = 4  # batches by length: one padded batch of 18 tokens wastes 1.6 times the work


class Drawn(NamedTuple):
    """A problem in token ids.

    Attributes:
        prompt: The prompt.
        answer: The answer, which the loss asks for.
        level: Place of its task-level among those trained.
        shown: What stands at the answer's places in the input: the answer, or under a planted bend tokens drawn at
            random, so that no token of the answer can be read off an earlier one.
    """

    prompt: list[int]
    answer: list[int]
    level: int
    shown: list[int]


def token_ids() -> dict[str, int]:
    """Every token's id, the pad's 0."""
    return {token: i for i, token in enumerate(vocabulary())}


def draw_batch(levels: Sequence[TaskLevel], size: int, seed: int, step: int) -> list[Drawn]:
    """The problems of one step, from training inputs, task-levels in turn."""
    rng, ids = Random(f"{seed}/{step}"), token_ids()
    blind = Random(f"{seed}/{step}/shown")  # apart, so that problems are those of a run without a bend
    batch = []
    for i in range(size):
        level = (i + step * size) % len(levels)
        prompt, answer = next(levels[level].problems(rng, held_out=False))
        shown = _hidden(levels[level], len(answer), blind) if levels[level].answer_tokens else answer
        batch.append(Drawn([ids[t] for t in prompt], [ids[t] for t in answer], level, [ids[t] for t in shown]))
    return batch


def _hidden(level: TaskLevel, n_tokens: int, rng: Random) -> list[str]:
    return rng.choices(level.task.answers or DIGITS, k=n_tokens)


def grouped(
    batch: Sequence[Drawn], all_tokens: bool = False, groups: int = GROUPS
) -> Iterator[tuple[list[Drawn], Tensor, Tensor]]:
    """The batch in groups of similar length: problems, inputs [b, t] and labels [b, t], padded on the right.

    Under a causal mask no real token sees a pad, so no attention mask is needed. Labels are the answer's
    tokens; with `all_tokens` the prompt's too. Batches of one size have one number of groups, as several
    processes that wait for each other need.
    """
    ordered = sorted(batch, key=lambda problem: len(problem.prompt) + len(problem.answer))
    for i in range(groups):
        group = ordered[len(ordered) * i // groups : len(ordered) * (i + 1) // groups]
        if group:
            yield group, *_padded(group, all_tokens)


def _padded(group: Sequence[Drawn], all_tokens: bool) -> tuple[Tensor, Tensor]:
    import torch

    width = max(len(problem.prompt) + len(problem.answer) for problem in group) - 1
    inputs, labels = [], []
    for prompt, answer, _, shown in group:
        tokens = prompt + answer
        silent = 0 if all_tokens else len(prompt) - 1
        rest = width + 1 - len(tokens)
        inputs.append(prompt + shown[:-1] + [PAD_ID] * rest)
        labels.append([IGNORE] * silent + tokens[silent + 1 :] + [IGNORE] * rest)
    return torch.tensor(inputs), torch.tensor(labels)


def write_tokenizer(path: Path) -> None:
    """One word-level tokenizer for every lab suite, in the Hub's file format."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    tokenizer = Tokenizer(WordLevel(token_ids(), unk_token=PAD))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(path))

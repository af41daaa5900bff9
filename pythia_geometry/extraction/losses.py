"""Which loss a surface is of: the training mixture's, that of a text, or that of probe items.

A loss landscape is of a loss. That of a probe's own items is not what a model was trained on, so it is never taken
unless it is asked for, and every row says which loss it is of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.encoding import EncodedProbe, Encoder
from pythia_geometry.extraction.probes.text_cloud import CHARACTERS_A_TOKEN
from pythia_geometry.extraction.probes.text_source import read_text

NONE, TEXT, PROBES, MIXTURE = "none", "text", "probes", "mixture"
"""Kinds of loss, as the column `probe` names them."""

TEXT_TOKENS = 64
"""Tokens of an example of a text, fewer where the model reads fewer: all of them but the first are scored."""

FEWEST_EXAMPLES = 4
"""Examples of a text: fewer gradients leave nothing to leave one out of."""

NO_LOSS = (
    "no loss is named: pass --text FILE for next-token loss of a text, or --loss probes for that of the probes' answers"
)
NONE_OPEN = "no task of the training mixture counts at this step yet: nothing is minimised"


@dataclass(frozen=True)
class EncodedLoss:
    """Examples whose mean loss is the surface.

    Attributes:
        kind: `mixture`, `text`, `probes` or `none`.
        task: The text's or the probe's name; empty for a mixture.
        sequences: Token ids of each example.
        first_scored: Index of each example's first scored token; from there all are scored.
        tasks: Of a mixture, the task of each example; empty otherwise.
        by_token: Whether every scored token counts the same, as in the lab's training; else every example does.
        opens: Of a mixture, by task, the first step at which its loss counts; those not named, 0.
        reason: Of no loss, why there is none.
    """

    kind: str
    task: str = ""
    sequences: tuple[tuple[int, ...], ...] = ()
    first_scored: tuple[int, ...] = ()
    tasks: tuple[str, ...] = ()
    by_token: bool = False
    opens: tuple[tuple[str, int], ...] = ()
    reason: str = ""

    def at(self, step: int) -> EncodedLoss:
        """What is minimised at a step: the examples of the tasks that count by then."""
        closed = {task for task, opens in self.opens if opens > step}
        if not closed:
            return replace(self, opens=())
        kept = [i for i, task in enumerate(self.tasks) if task not in closed]
        if not kept:
            return of_nothing(NONE_OPEN)
        return replace(
            self,
            sequences=tuple(self.sequences[i] for i in kept),
            first_scored=tuple(self.first_scored[i] for i in kept),
            tasks=tuple(self.tasks[i] for i in kept),
            opens=(),
        )

    @cached_property
    def sha256(self) -> str:
        """Identity of the examples."""
        text = json.dumps([self.kind, self.task, self.sequences, self.first_scored, self.tasks, self.by_token])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def n_tokens(self) -> int:
        """Tokens of all examples."""
        return sum(map(len, self.sequences))


def of_nothing(reason: str = NO_LOSS) -> EncodedLoss:
    """There is no loss: its rows say why."""
    return EncodedLoss(NONE, reason=reason)


def of_mixture(parts: Sequence[EncodedProbe], all_tokens: bool, opens: Mapping[str, int]) -> EncodedLoss:
    """The loss that a mixture of tasks was trained on: cross-entropy of the answers' tokens, each token counting once.

    Args:
        parts: Of every task, equally many problems drawn as in training. They are taken in turn, so that the first
            ones are of all tasks too.
        all_tokens: Whether the prompts' tokens are scored too.
        opens: By task, the first step at which its loss counts.
    """
    turns = zip(*(part.items for part in parts), strict=True)
    items = [(part.probe.task, item) for turn in turns for part, item in zip(parts, turn, strict=True)]
    return EncodedLoss(
        MIXTURE,
        "",
        tuple(item.prompt + item.target for _, item in items),
        tuple(1 if all_tokens else len(item.prompt) for _, item in items),
        tuple(task for task, _ in items),
        by_token=True,
        opens=tuple(sorted((task, step) for task, step in opens.items() if step > 0)),
    )


def of_probe(encoded: EncodedProbe, context: int = 0) -> EncodedLoss:
    """The loss of the right answers after their prompts.

    Args:
        encoded: The probe.
        context: Tokens that the model reads, 0 where that is not known; a benchmark's longer prompts lose their
            beginning, as in the harness.
    """
    whole = [item.prompt + item.target for item in encoded.items]
    kept = [ids[-context:] for ids in whole]  # of context 0 all
    return EncodedLoss(
        PROBES,
        encoded.probe.name,
        tuple(kept),
        tuple(len(ids) - len(item.target) for ids, item in zip(kept, encoded.items, strict=True)),
    )


def of_text(file: str, encoder: Encoder, vocab_size: int, examples: int, context: int = 0) -> EncodedLoss:
    """Next-token loss of the beginning of a text, cut into examples of 64 tokens.

    Args:
        file: A UTF-8 text file, or a dataset.
        encoder: The suite's tokenizer.
        vocab_size: Of the model.
        examples: How many.
        context: Tokens that the model reads; 0 where that is not known.

    Raises:
        PythiaGeometryError: If the file cannot be read, or is shorter than four examples.
    """
    length = min(TEXT_TOKENS, context or TEXT_TOKENS)
    ids = text_ids(file, encoder, vocab_size, examples * length)
    pieces = [ids[i : i + length] for i in range(0, len(ids) - length + 1, length)]
    if len(pieces) < FEWEST_EXAMPLES:
        raise PythiaGeometryError(
            f"--text {file} has {len(ids)} tokens under this tokenizer; a loss surface needs at least "
            f"{FEWEST_EXAMPLES * length}"
        )
    return EncodedLoss(TEXT, Path(file).name, tuple(pieces), (1,) * len(pieces))


def text_ids(file: str, encoder: Encoder, vocab_size: int, n: int) -> tuple[int, ...]:
    """The first n token ids of a text file.

    Raises:
        PythiaGeometryError: If it cannot be read, or holds ids that the model does not know.
    """
    _, text = read_text(file, CHARACTERS_A_TOKEN * n)
    ids, _ = encoder.offsets(text)
    ids = ids[:n]
    if unknown := [i for i in ids if i >= vocab_size]:
        raise PythiaGeometryError(f"--text {file}: token {unknown[0]} is not among the model's {vocab_size}")
    return ids


def task_names(losses: Sequence[EncodedLoss]) -> list[str]:
    """Names of the losses, for messages."""
    return [f"{loss.kind} {loss.task}".strip() for loss in losses]

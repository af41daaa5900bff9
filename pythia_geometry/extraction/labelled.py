"""Activations with what is to be read off them: every token of the answers, where the model has to say it.

The rows come from a task's generator or from a probe. At answer position k the model has read the prompt and the right
answer up to there, so its own greedy token can be compared with what a linear read-out finds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from pythia_geometry.extraction.capture import LAST, capture
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.probes.encoding import EncodedProbe, Ids
from pythia_geometry.geometry.decoding import FEWEST_ROWS, Labelled, Questions

ROWS_A_TYPE = 10


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Prompts and answers of a task, to be decoded.

    Attributes:
        encoded: The rows under the suite's tokenizer.
        named: The set of the probe that the task belongs to.
    """

    encoded: EncodedProbe
    named: str

    @property
    def task(self) -> str:
        """The task."""
        return self.encoded.probe.task

    @cached_property
    def prompts(self) -> int:
        """How many different prompts there are: rows of one prompt are one row."""
        return len({item.prompt for item in self.encoded.items})

    @cached_property
    def sha256(self) -> str:
        """Identity of the rows."""
        rows = [(item.prompt, item.target) for item in self.encoded.items]
        return hashlib.sha256(json.dumps([self.named, self.task, rows]).encode()).hexdigest()

    @property
    def fault(self) -> str:
        """Why they cannot be decoded; empty where they can."""
        if self.prompts >= FEWEST_ROWS:
            return ""
        return f"needs {FEWEST_ROWS:,} different prompts; {self.named}/{self.task} has {self.prompts:,}"

    @property
    def answers(self) -> int:
        """Answer positions that enough prompts have."""
        longest: dict[Ids, int] = {}
        for item in self.encoded.items:
            longest[item.prompt] = max(longest.get(item.prompt, 0), len(item.target))
        lengths = sorted(longest.values(), reverse=True)
        return max(1, lengths[FEWEST_ROWS - 1]) if len(lengths) >= FEWEST_ROWS else 1

    @property
    def n_tokens(self) -> int:
        """Tokens of the forward passes: one pass an answer position."""
        if self.fault:
            return 0
        return sum(
            len(item.prompt) + k for item in self.encoded.items for k in range(min(len(item.target), self.answers))
        )


def read_labelled(model: SuiteModel, rows: LabelledRows, batch: int) -> Iterator[list[Labelled]]:
    """By answer position, one labelled cloud a layer.

    Args:
        model: With a checkpoint's weights.
        rows: The rows, without a fault.
        batch: Sequences a forward pass.
    """
    for k in range(rows.answers):
        items = [item for item in rows.encoded.items if len(item.target) > k]
        asked = [replace(i, prompt=i.prompt + i.target[:k], target=i.target[k : k + 1], distractors=()) for i in items]
        captured = capture(model, replace(rows.encoded, items=tuple(asked)), LAST, batch)
        prompts = [item.prompt for item in items]
        questions = Questions(
            np.array([item.target[k] for item in items]),
            np.array(_numbers(_types(prompts))),
            np.array(_numbers(prompts)),
        )
        yield [Labelled(layer, questions, captured.answers.exact) for layer in captured.activations]


def _types(prompts: Sequence[Ids]) -> list[Ids]:
    """What could be memorised instead: the first two tokens from where prompts differ, or one where two are many."""
    shortest = min(map(len, prompts))
    start = next((i for i in range(shortest) if len({p[i] for p in prompts}) > 1), 0)
    pairs = [p[start : start + 2] for p in prompts]
    return pairs if len(set(pairs)) <= len(prompts) // ROWS_A_TYPE else [p[start : start + 1] for p in prompts]


def _numbers(values: Sequence[Ids]) -> list[int]:
    known = {value: number for number, value in enumerate(sorted(set(values)))}
    return [known[value] for value in values]

"""From text to token ids under the suite's own tokenizer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probe_files import Item
from pythia_geometry.extraction.probes import Probe

Ids = tuple[int, ...]


@dataclass(frozen=True)
class EncodedItem:
    """An item as token ids. Prompt and answers are encoded apart (assumption A2); no BOS (A1)."""

    prompt: Ids
    target: Ids
    distractors: tuple[Ids, ...]


@dataclass(frozen=True)
class EncodedProbe:
    """A probe under one tokenizer."""

    probe: Probe
    items: tuple[EncodedItem, ...]

    @cached_property
    def sha256(self) -> str:
        """Identity of the token ids: what the tokenizer file says beyond them decides nothing."""
        return hashlib.sha256(json.dumps([astuple(item) for item in self.items]).encode()).hexdigest()

    @property
    def single_token_share(self) -> float:
        """Share of items whose target is one token; the others are scored whole."""
        return sum(len(item.target) == 1 for item in self.items) / len(self.items)

    @property
    def n_tokens(self) -> int:
        """Tokens of the forward passes: prompt and target, and each distractor of several tokens."""
        return sum(
            len(i.prompt) + len(i.target) - 1 + sum(len(i.prompt) + len(d) - 1 for d in i.distractors if len(d) > 1)
            for i in self.items
        )


class Encoder:
    """The one tokenizer of a suite, read from its `tokenizer.json`."""

    def __init__(self, tokenizer_file: Path) -> None:
        """Reads the file.

        Raises:
            PythiaGeometryError: If it is not a tokenizer.
        """
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # the Rust side raises bare Exception
            raise PythiaGeometryError(f"{tokenizer_file} is not a tokenizer.json: {error}") from error
        unknown: Any = getattr(self._tokenizer.model, "unk_token", None)
        self._unknown_id = self._tokenizer.token_to_id(unknown) if unknown else None

    def offsets(self, text: str) -> tuple[Ids, list[tuple[int, int]]]:
        """Token ids of a text, and which of its characters each stands for, as [start, stop)."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return tuple(encoding.ids), list(encoding.offsets)

    def encode(self, probe: Probe, vocab_size: int) -> EncodedProbe:
        """Token ids of a probe's items, shuffled where it is a control.

        Raises:
            PythiaGeometryError: If a text has words that the tokenizer or the model does not know.
        """
        return EncodedProbe(probe, tuple(self._item(item, probe, vocab_size) for item in probe.items))

    def _item(self, item: Item, probe: Probe, vocab_size: int) -> EncodedItem:
        prompt = self._ids(item.prompt, probe, vocab_size)
        if probe.is_shuffled:
            prompt = shuffle_prompt(prompt, item.id)
        target = self._ids(item.target, probe, vocab_size)
        return EncodedItem(prompt, target, tuple(self._ids(d, probe, vocab_size) for d in item.distractors))

    def _ids(self, text: str, probe: Probe, vocab_size: int) -> Ids:
        try:
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError) as error:  # half of a surrogate pair is no text
            raise PythiaGeometryError(f"Probe {probe.name}: {text!r} is not valid Unicode text") from error
        ids = tuple(encoding.ids)
        if not ids:
            raise PythiaGeometryError(f"Probe {probe.name}: {text!r} has no token under this suite's tokenizer")
        strange = [i for i, token in enumerate(ids) if token >= vocab_size or token == self._unknown_id]
        if strange:
            start, stop = encoding.offsets[strange[0]]
            raise PythiaGeometryError(
                f"Probe {probe.name} does not fit this suite: its tokenizer does not know {text[start:stop]!r} in "
                f"{text!r}. core (the default) and all are for language models; the lab's suites take "
                "--probes algorithmic; a file of your own must use words that the tokenizer knows"
            )
        return ids


def shuffle_prompt(prompt: Ids, item_id: str) -> Ids:
    """The prompt's tokens in a random order fixed by the item's id, the last one in its place (assumption A18).

    The last token stays because geometry is read there: the control changes the order of what came before
    and nothing else.
    """
    rng = Random(hashlib.sha256(item_id.encode()).hexdigest())
    body = list(prompt[:-1])
    rng.shuffle(body)
    return (*body, prompt[-1])

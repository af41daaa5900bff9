"""A text as a probe: thousands of short pieces, one hidden state each, and what n-grams of the same text predict.

Phases that are told of representations of text cannot be seen on a hundred short prompts. The pieces' token ids are in
the identity of every number, so corpus and length are.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.encoding import EncodedItem, EncodedProbe, Encoder, Ids
from pythia_geometry.extraction.probes.probe_files import Item
from pythia_geometry.extraction.probes.probes import Probe
from pythia_geometry.extraction.probes.text_source import read_text

TEXT = "text"
PIECES, PIECE_TOKENS = 2_000, 64
FEWEST_PIECES = 100
CHARACTERS_A_TOKEN = 40  # no tokenizer makes so few tokens of so many characters
SEEN_OFTEN = 20


@dataclass(frozen=True, eq=False)
class TextCloud:
    """Pieces of a text under a suite's tokenizer.

    Attributes:
        encoded: Each piece as a prompt with the token that follows it.
        ids: All tokens of the text that was read: what n-grams are counted on.
    """

    encoded: EncodedProbe
    ids: Ids

    @property
    def named(self) -> str:
        """The set that tables name."""
        return TEXT

    @property
    def task(self) -> str:
        """The text's name."""
        return self.encoded.probe.task

    @cached_property
    def sha256(self) -> str:
        """Identity of the pieces, and of what n-grams are counted on: the end of a text fills no piece."""
        return hashlib.sha256(json.dumps([self.encoded.sha256, self.ids]).encode()).hexdigest()

    @cached_property
    def unigrams(self) -> Counter[int]:
        """How often each token stands in the text."""
        return Counter(self.ids)

    @cached_property
    def bigrams(self) -> dict[int, Counter[int]]:
        """What follows each token, and how often."""
        found: dict[int, Counter[int]] = {}
        for one, two in zip(self.ids, self.ids[1:], strict=False):
            found.setdefault(one, Counter())[two] += 1
        return found

    @property
    def n_tokens(self) -> int:
        """Tokens of a forward pass of all pieces."""
        return sum(len(item.prompt) for item in self.encoded.items)


def read_text_cloud(source: str, encoder: Encoder, vocab_size: int, context: int = 0) -> TextCloud:
    """The first 2,000 pieces of 64 tokens of a text; shorter ones where the model reads less.

    Args:
        source: As for `read_text`.
        encoder: The suite's tokenizer.
        vocab_size: Of the model.
        context: Tokens that the model reads; 0 where that is not known.

    Raises:
        PythiaGeometryError: If it cannot be read, holds ids that the model does not know, or is too short.
    """
    length = min(PIECE_TOKENS, context or PIECE_TOKENS)
    name, text = read_text(source, CHARACTERS_A_TOKEN * PIECES * length)
    ids, places = encoder.offsets(text)
    ids, places = ids[: PIECES * length], places[: PIECES * length]
    if unknown := [i for i in ids if i >= vocab_size]:
        raise PythiaGeometryError(f"--text {source}: token {unknown[0]} is not among the model's {vocab_size}")
    n = len(ids) // length
    if n < FEWEST_PIECES:
        raise PythiaGeometryError(
            f"--text {source} has {len(ids):,} tokens under this tokenizer: {n} pieces of {length}. A text cloud needs "
            f"{FEWEST_PIECES} pieces, and some thousands to show phases"
        )
    items, encoded = [], []
    for i in range(n):
        start, end = i * length, (i + 1) * length
        prompt = text[places[start][0] : places[end - 2][1]]
        target = text[places[end - 2][1] : places[end - 1][1]]
        items.append(Item(f"{TEXT}/{name}/{i}", name, prompt, target))
        encoded.append(EncodedItem(ids[start : end - 1], ids[end - 1 : end], ()))
    return TextCloud(EncodedProbe(Probe(TEXT, name, tuple(items)), tuple(encoded)), ids)

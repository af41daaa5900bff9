"""From text to token ids under the suite's own tokenizer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.benchmark_items import BenchmarkItem
from pythia_geometry.extraction.probes.headers import saved_tokens, shared_header
from pythia_geometry.extraction.probes.probe_files import Item
from pythia_geometry.extraction.probes.probes import Probe
from pythia_geometry.json_files import LFS_POINTER

Ids = tuple[int, ...]

CHARACTERS_A_TOKEN = 64
"""A text with more characters than this for each token of the context is refused before it is tokenised."""


@dataclass(frozen=True)
class EncodedItem:
    """An item as token ids: the answers as they follow the prompt (assumption A2); no BOS (A1)."""

    prompt: Ids
    target: Ids
    distractors: tuple[Ids, ...]

    @property
    def n_tokens(self) -> int:
        """Tokens of its forward passes: prompt and target, and each distractor of several tokens."""
        n, others = len(self.prompt), [len(d) - 1 for d in self.distractors if len(d) > 1]
        return n + len(self.target) - 1 + sum(n + m for m in others)


@dataclass(frozen=True)
class EncodedBenchmarkItem(EncodedItem):
    """A benchmark's item as token ids, by the harness's own rule.

    Attributes:
        contexts: Of each answer, the target's first, the context before it.
    """

    contexts: tuple[Ids, ...] = ()

    @property
    def n_tokens(self) -> int:
        """Tokens of its forward passes: each context once, and what each answer adds to it."""
        return sum(map(len, set(self.contexts))) + sum(len(a) - 1 for a in (self.target, *self.distractors))


@dataclass(frozen=True)
class EncodedProbe:
    """A probe under one tokenizer.

    Attributes:
        probe: The probe.
        items: Its rows as token ids.
        spaces_matter: Whether the tokenizer reads white space, and does not only separate words by it.
    """

    probe: Probe
    items: tuple[EncodedItem, ...]
    spaces_matter: bool = True

    @cached_property
    def sha256(self) -> str:
        """Identity of the token ids: what the tokenizer file says beyond them decides nothing."""
        rows = [[getattr(item, field.name) for field in fields(item)] for item in self.items]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @property
    def single_token_share(self) -> float:
        """Share of items whose target is one token; the others are scored whole."""
        return sum(len(item.target) == 1 for item in self.items) / len(self.items)

    @property
    def warnings(self) -> list[str]:
        """What is probably a mistake in the probe, under this tokenizer."""
        return [w.text for w in self.probe.warnings if self.spaces_matter or not w.about_spaces]

    @property
    def contexts(self) -> list[Ids]:
        """Every context of a task of lm-eval, once an item; none of another probe."""
        return [
            c for item in self.items if isinstance(item, EncodedBenchmarkItem) for c in dict.fromkeys(item.contexts)
        ]

    @cached_property
    def header(self) -> Ids:
        """What contexts of a task of lm-eval begin with alike, such as its examples; empty where too little."""
        return shared_header(self.contexts)

    @property
    def n_tokens(self) -> int:
        """Tokens of the forward passes."""
        return sum(item.n_tokens for item in self.items) - saved_tokens(self.contexts, self.header)


@dataclass(frozen=True)
class _Place:
    """Where a text stands, for messages, and how many words and tokens the model has."""

    probe: Probe
    item: Item
    vocab_size: int
    context: int
    prefix: int | None = None

    @property
    def row(self) -> str:
        """The probe and its row."""
        return f"Probe {self.probe.name}, row {self.item.id!r}"


class Encoder:
    """The one tokenizer of a suite, read from its `tokenizer.json`.

    Attributes:
        notes: What of the file was not used: settings of a call (padding, truncation) that whoever saved it left in it.
    """

    def __init__(self, tokenizer_file: Path) -> None:
        """Reads the file.

        Raises:
            PythiaGeometryError: If it is not a tokenizer.
        """
        from tokenizers import Tokenizer

        try:
            with tokenizer_file.open("rb") as stream:
                is_pointer = stream.read(len(LFS_POINTER)) == LFS_POINTER
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except BaseException as error:  # the Rust side raises bare Exception, and panics
            if isinstance(error, KeyboardInterrupt):
                raise
            why = "it is a pointer of Git LFS. Fetch it: git lfs pull" if is_pointer else error
            raise PythiaGeometryError(f"{tokenizer_file} is not a tokenizer.json: {why}") from error
        unknown: Any = getattr(self._tokenizer.model, "unk_token", None)
        self._unknown_id = self._tokenizer.token_to_id(unknown) if unknown else None
        self.notes = self._without_call_settings()

    def _without_call_settings(self) -> tuple[str, ...]:
        """Switches off what belongs to a call and not to the tokenizer, as transformers does; says what it was."""
        stored = {
            "padding": self._tokenizer.padding is not None,
            "truncation": self._tokenizer.truncation is not None,
            "dropout": bool(getattr(self._tokenizer.model, "dropout", None)),
        }
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        if stored["dropout"]:
            self._tokenizer.model.dropout = None
        found = [name for name, is_stored in stored.items() if is_stored]
        return (f"tokenizer.json stores {' and '.join(found)}, not used here",) if found else ()

    def offsets(self, text: str) -> tuple[Ids, list[tuple[int, int]]]:
        """Token ids of a text, and which of its characters each stands for, as [start, stop)."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return tuple(encoding.ids), list(encoding.offsets)

    def encode(self, probe: Probe, vocab_size: int, context: int = 0, prefix: int | None = None) -> EncodedProbe:
        """Token ids of a probe's items, shuffled where it is a control.

        Args:
            probe: The probe.
            vocab_size: How many words the model knows.
            context: How many tokens it reads; 0 where that is not known.
            prefix: The token that stands before an answer without a context, in tasks of lm-eval.

        Raises:
            PythiaGeometryError: If a text has words that the tokenizer or the model does not know, is far too long, or
                if an answer changes the tokens of its prompt.
        """
        items = tuple(self._item(_Place(probe, item, vocab_size, context, prefix)) for item in probe.items)
        place = _Place(probe, probe.items[0], vocab_size, context)
        one, two = (self._encoding(f"{place.item.prompt}{gap}{place.item.prompt}", place).ids for gap in (" ", "  "))
        return EncodedProbe(probe, items, one != two)

    def _item(self, place: _Place) -> EncodedItem:
        if isinstance(place.item, BenchmarkItem):
            return self._benchmark_item(place, place.item)
        prompt = self._known(self._encoding(place.item.prompt, place), place.item.prompt, place)
        target, *distractors = (self._answer(prompt, a, place) for a in (place.item.target, *place.item.distractors))
        if place.probe.is_shuffled:
            prompt = shuffle_prompt(prompt, place.item.id)
        return EncodedItem(prompt, target, tuple(distractors))

    def _benchmark_item(self, place: _Place, item: BenchmarkItem) -> EncodedBenchmarkItem:
        """Context and continuation of every choice, the first right one first."""
        contexts, answers = [], []
        for context, continuation in (item.choices[k] for k in item.order):
            before, after = self._pair(context, continuation, place)
            if not after:
                raise PythiaGeometryError(f"{place.row}: {continuation!r} has no token under this suite's tokenizer")
            if place.context:  # what is too long is cut on the left, as the harness does
                before = before[max(0, len(before) + len(after) - place.context - 1) :]
            if not before:
                raise PythiaGeometryError(
                    f"{place.row}: nothing stands before a choice of {len(after)} tokens: its context is white space "
                    "alone, or the choice is longer than the model reads"
                )
            contexts.append(shuffle_prompt(before, item.id) if place.probe.is_shuffled else before)
            answers.append(after)
        return EncodedBenchmarkItem(contexts[0], answers[0], tuple(answers[1:]), tuple(contexts))

    def _pair(self, context: str, continuation: str, place: _Place) -> tuple[Ids, Ids]:
        """As lm-eval's `loglikelihood` makes token ids of a request.

        Spaces at the context's end belong to the continuation, which is what the whole has beyond the context's
        tokens; both with the special tokens that the tokenizer puts before every text. Without a context, the prefix
        token stands for it.
        """
        if not context:
            if place.prefix is None:
                wrong = "an empty context, and the model's config names no token that could stand for it"
                raise PythiaGeometryError(f"{place.row} has {wrong} (bos_token_id or eos_token_id)")
            ids = self._known(self._encoding(continuation, place), continuation, place)
            return (ids[:1], ids[1:]) if ids[0] == place.prefix else ((place.prefix,), ids)
        kept = context.rstrip()
        whole = self._known(self._encoding(context + continuation, place, special=True), context + continuation, place)
        before = tuple(self._encoding(kept, place, special=True).ids)
        return before, whole[len(before) :]

    def _answer(self, prompt: Ids, answer: str, place: _Place) -> Ids:
        """What follows the prompt's tokens where prompt and answer are one text.

        Tokenizers of the SentencePiece kind put a space before every text, so an answer encoded by itself would have
        two. Where white space only separates words, as in the lab, prompt and answer need not bring one.
        """
        text, n = place.item.prompt, len(prompt)
        try:
            whole = self._encoding(text + answer, place)
        except PythiaGeometryError:  # a tokenizer of whole words without a word for unknown ones
            whole = None
        if whole is not None and tuple(whole.ids[:n]) == prompt:
            return self._known(whole, text + answer, place, after=n)
        apart = self._known(self._encoding(answer, place), answer, place)
        one, two = (tuple(self._encoding(f"{text}{gap}{answer}", place).ids) for gap in (" ", "  "))
        if one == two == prompt + apart:
            return apart
        raise PythiaGeometryError(
            f"{place.row}: this suite's tokenizer reads the prompt's end as other tokens once {answer!r} follows, so "
            "geometry and answer would be of two different texts (assumption A2). A space between prompt and answer "
            'belongs at the beginning of the answer: "… is" and " Paris", not "… is " and "Paris"; an answer that goes '
            "on inside a word cannot be scored"
        )

    def _known(self, encoding: Any, text: str, place: _Place, after: int = 0) -> Ids:
        """The ids of a text, or of what comes after its first ones, if there are any and all are known."""
        ids = tuple(encoding.ids[after:])
        if not ids:
            shown = text.removeprefix(place.item.prompt) if after else text
            raise PythiaGeometryError(f"{place.row}: {shown!r} has no token under this suite's tokenizer")
        strange = [i for i, token in enumerate(ids) if token >= place.vocab_size or token == self._unknown_id]
        if strange:
            start, stop = encoding.offsets[after + strange[0]]
            raise PythiaGeometryError(
                f"Probe {place.probe.name} does not fit this suite: its tokenizer does not know {text[start:stop]!r} "
                f"in {text!r}. core (the default) and all are for language models; the lab's suites take "
                "--probes algorithmic; a file of your own must use words that the tokenizer knows"
            )
        return ids

    def _encoding(self, text: str, place: _Place, special: bool = False) -> Any:
        if place.context and len(text) > place.context * CHARACTERS_A_TOKEN:
            raise PythiaGeometryError(
                f"{place.row} has a text of {len(text):,} characters; the model reads at most {place.context:,} tokens"
            )
        try:
            return self._tokenizer.encode(text, add_special_tokens=special and not self._begins_special(text, place))
        except (TypeError, UnicodeEncodeError) as error:  # half of a surrogate pair is no text
            raise PythiaGeometryError(f"{place.row}: {text!r} is not valid Unicode text") from error
        except BaseException as error:  # the Rust side raises bare Exception, and panics
            if isinstance(error, KeyboardInterrupt):
                raise
            cannot = f"this suite's tokenizer cannot read {text[:80]!r}: {error}"
            raise PythiaGeometryError(f"{place.row}: {cannot}") from error

    def _begins_special(self, text: str, place: _Place) -> bool:
        """Whether a text begins with the prefix token's own, which is then not put before it again."""
        token = None if place.prefix is None else self._tokenizer.id_to_token(place.prefix)
        return token is not None and text.startswith(token)


def shuffle_prompt(prompt: Ids, item_id: str) -> Ids:
    """The prompt's tokens in a random order fixed by the item's id, the last one in its place (assumption A18).

    The last token stays because geometry is read there: the control changes the order of what came before
    and nothing else.
    """
    rng = Random(hashlib.sha256(item_id.encode()).hexdigest())
    body = list(prompt[:-1])
    rng.shuffle(body)
    return (*body, prompt[-1])

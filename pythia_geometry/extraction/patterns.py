"""Attention patterns beside a forward pass that does not notice: `sdpa` computes the hidden states as without them.

A function registered with `transformers` gets queries and keys of every layer (after the rotary embedding), makes the
pattern of the queries that are read, reduces it at once, and returns what `sdpa` returns. The pattern of a whole probe
never exists. `output_attentions=True` would warn and give a tuple of `None`, or fall back to another kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pythia_geometry.attention.batches import ScoredBatch
from pythia_geometry.attention.pattern import Prompt
from pythia_geometry.attention.reading import HeadReading, empty_reading
from pythia_geometry.attention.scores import SCORES
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.models import ATTENTION_KERNEL, SuiteModel

KERNEL = "pythia_geometry_patterns"
"""The registered attention function's name."""

ENTRIES_AT_ONCE = 2**24
"""Entries of a pattern in memory at once: 64 MiB."""

# How far pattern · values may lie from the kernel's own output, relative to its largest entry.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2, torch.float64: 1e-4}

_reader: ContextVar[PatternReader | None] = ContextVar("reader", default=None)


class PatternReader:
    """Reads the heads of every layer while a model runs.

        with PatternReader(model, prompts) as reader:
            with reader.batch([(0, 3), (1, 5)]):  # row 0 of the batch is prompt 3, row 1 is prompt 5
                model.base(input_ids=ids, use_cache=False)
        reader.reading

    The forward pass runs in the thread that entered the reader. Rows not named are not read; tokens after a prompt
    (an answer's) are not either.
    """

    def __init__(self, model: SuiteModel, prompts: Sequence[Prompt], scores: Sequence[str] = tuple(SCORES)) -> None:
        """Gets ready to read.

        Args:
            model: The model.
            prompts: The prompts of a probe.
            scores: Names of the scores to take.

        Raises:
            PythiaGeometryError: If the model cannot show its attention.
        """
        self.model = model
        self.prompts = tuple(prompts)
        self.scores = [SCORES[name] for name in scores]
        self._found: HeadReading | None = None
        self._rows: list[tuple[int, int]] = []
        self._scored: ScoredBatch | None = None
        self._layer = 0
        self._checked: set[int] = set()

    @property
    def reading(self) -> HeadReading:
        """What was read.

        Raises:
            PythiaGeometryError: If nothing was.
        """
        if self._found is None:
            raise PythiaGeometryError(f"No attention was read: run {self._name} inside reader.batch(…)")
        return self._found

    @property
    def _name(self) -> str:
        return type(self.model.module).__name__

    def __enter__(self) -> PatternReader:
        _register()
        try:
            self.model.module.set_attn_implementation(KERNEL)
        except (ValueError, KeyError, ImportError) as error:
            raise PythiaGeometryError(self._refusal(str(error))) from error
        self._token = _reader.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _reader.reset(self._token)
        self.model.module.set_attn_implementation(ATTENTION_KERNEL)

    @contextmanager
    def batch(self, rows: Sequence[tuple[int, int]]) -> Iterator[None]:
        """Around one forward pass.

        Args:
            rows: Of the batch's rows that are to be read, the row and the index of its prompt.

        Raises:
            PythiaGeometryError: If the model did not show the attention of every layer.
        """
        self._rows = list(rows)
        self._scored = ScoredBatch([self.prompts[i] for _, i in rows], self.scores, with_last=True) if rows else None
        self._layer = 0
        yield
        if self._rows and self._layer != self.model.shape.n_layers:
            raise PythiaGeometryError(
                self._refusal(f"{self._layer} of its {self.model.shape.n_layers} blocks hand over queries and keys")
            )
        self._rows, self._scored = [], None

    def take(self, attention: _Attention, output_BTHD: Tensor) -> None:
        """Reduces the attention of the next layer; called by the registered function."""
        if self._scored is None:
            return
        if self._layer not in self._checked:
            self._check(attention, output_BTHD)
        scored, layer = self._scored, self._layer
        if self._found is None:
            self._found = self._empty(*output_BTHD.shape[2:])
        found = self._found
        at_once = max(1, ENTRIES_AT_ONCE // (output_BTHD.shape[2] * len(scored.queries) * scored.n_keys))
        items = [item for _, item in self._rows]
        found.present[items] = scored.present
        for chunk in range(0, len(items), at_once):
            part = slice(chunk, chunk + at_once)
            p = attention.pattern([row for row, _ in self._rows[part]], scored.queries, scored.n_keys)
            found.scores[layer, items[part]] = scored.scores(p, part)
            found.last_rows[layer, items[part]] = scored.last_rows(p, found.last_rows.shape[-1], part)
        rows, last = zip(*((row, self.prompts[item].last) for row, item in self._rows), strict=True)
        found.outputs[layer, items] = output_BTHD[list(rows), list(last)].float().cpu().numpy()
        self._layer += 1

    def _empty(self, n_heads: int, depth: int) -> HeadReading:
        names = tuple(score.name for score in self.scores)
        return empty_reading(self.prompts, names, self.model.shape.n_layers, n_heads, depth)

    def _check(self, attention: _Attention, output_BTHD: Tensor) -> None:
        """Makes sure, on one row, that pattern times values is what the layer's own kernel gives."""
        row, n = self._rows[0][0], output_BTHD.shape[1]
        p_HTT = torch.from_numpy(attention.pattern([row], list(range(n)), n)[0])
        ours = torch.einsum("hqk,hkd->qhd", p_HTT, attention.values(row))
        theirs = output_BTHD[row].float().cpu()
        room = TOLERANCE[output_BTHD.dtype] * float(theirs.abs().amax())
        if torch.isfinite(theirs).all() and float((ours - theirs).abs().amax()) > room:
            raise PythiaGeometryError(self._refusal("its attention does more than softmax(q·k)·v"))
        self._checked.add(self._layer)

    def _refusal(self, why: str) -> str:
        return (
            f"{self._name} does not show its attention patterns: {why}. Heads can be read of GPT-NeoX, GPT-2, Llama "
            "and others that use transformers' AttentionInterface in every block. Leave the attention measures out"
        )


class _Attention:
    """Queries, keys and values of one layer, as its attention function got them."""

    def __init__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float) -> None:
        self.query_BHTD, self.key_BGTD, self.value_BGTD = query, key, value
        self.mask = mask
        self.scaling = scaling

    def pattern(self, rows: list[int], queries: list[int], n_keys: int) -> NDArray[np.float32]:
        """Attention [B, H, Q, K] of some rows and queries, in float32."""
        query = self.query_BHTD[rows][:, :, queries].float()
        key = _for_each_head(self.key_BGTD[rows, :, :n_keys].float(), query.shape[1])
        scores = (query @ key.transpose(2, 3)) * self.scaling
        return torch.softmax(self._masked(scores, rows, queries, n_keys), dim=-1).cpu().numpy()

    def values(self, row: int) -> Tensor:
        """Values of one row [H, T, D]."""
        return _for_each_head(self.value_BGTD[[row]].float(), self.query_BHTD.shape[1])[0].cpu()

    def _masked(self, scores: Tensor, rows: list[int], queries: list[int], n_keys: int) -> Tensor:
        if self.mask is None:  # what sdpa reads as causal
            later = torch.arange(n_keys, device=scores.device) > torch.tensor(queries, device=scores.device)[:, None]
            return scores.masked_fill(later, -torch.inf)
        mask = self.mask.expand(len(self.query_BHTD), -1, -1, -1)[rows][:, :, queries, :n_keys]
        return scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.float()


def _for_each_head(grouped: Tensor, n_heads: int) -> Tensor:
    """Keys or values [B, G, T, D] of groups, one for each head [B, H, T, D]."""
    return grouped.repeat_interleave(n_heads // grouped.shape[1], dim=1)


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(KERNEL, _attend)
    AttentionMaskInterface.register(KERNEL, sdpa_mask)


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **rest: Any
) -> tuple[Tensor, None]:
    """What `sdpa` gives; the pattern goes to the reader on the way."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **rest)
    if (reader := _reader.get()) is not None:
        scaling = rest.get("scaling")
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        reader.take(_Attention(query, key, value, attention_mask, scaling), output)
    return output, None

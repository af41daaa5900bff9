"""An attention function registered with `transformers` that lets a listener see, and change, every layer's heads.

It gets queries, keys and values after the rotary embedding, asks `sdpa` for the output, and hands both to whoever
listens in this thread. `output_attentions=True` would warn and give a tuple of `None`, or take another kernel.

Shape letters: B rows, T tokens, H heads, G groups of heads that share keys, Q queries, K keys, D width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.loading.models import SuiteModel

KERNEL = "pythia_geometry_heads"
"""The registered function's name."""

SDPA = "sdpa"


class Listener(Protocol):
    """Sees the attention of each layer in turn."""

    def take(self, layer: int, attention: LayerAttention, output_BTHD: Tensor) -> Tensor:
        """What the layer's heads shall give to the output projection: `output_BTHD` itself, or something else.

        Args:
            layer: The layer, from 0.
            attention: Its queries, keys and values.
            output_BTHD: What the kernel computed.
        """


@dataclass(frozen=True, eq=False)
class LayerAttention:
    """Queries, keys and values of one layer, as its attention function got them."""

    query_BHTD: Tensor
    key_BGTD: Tensor
    value_BGTD: Tensor
    mask: Tensor | None
    scaling: float

    def pattern(self, rows: Sequence[int], queries: Sequence[int], n_keys: int) -> Tensor:
        """Attention [B, H, Q, K] of some rows and queries, in float32."""
        query = self.query_BHTD[_span(rows)][:, :, _span(queries)].float()
        key = self._for_each_head(self.key_BGTD[_span(rows)][:, :, :n_keys].float())
        scores = (query @ key.transpose(2, 3)) * self.scaling
        return torch.softmax(self._masked(scores, rows, queries, n_keys), dim=-1)

    def whole_pattern(self) -> Tensor:
        """Attention of every row, query and key [B, H, T, T], in float32."""
        n_rows, _, n, _ = self.query_BHTD.shape
        return self.pattern(range(n_rows), range(n), n)

    def values(self, rows: Sequence[int] | None = None) -> Tensor:
        """Values of every head [B, H, T, D], in float32, of some rows or of all."""
        return self._for_each_head(self.value_BGTD[slice(None) if rows is None else _span(rows)].float())

    def _for_each_head(self, grouped: Tensor) -> Tensor:
        shared_by = self.query_BHTD.shape[1] // grouped.shape[1]
        return grouped if shared_by == 1 else grouped.repeat_interleave(shared_by, dim=1)

    def _masked(self, scores: Tensor, rows: Sequence[int], queries: Sequence[int], n_keys: int) -> Tensor:
        if self.mask is None:  # what sdpa reads as causal
            asked = torch.tensor(list(queries), device=scores.device)
            return scores.masked_fill(torch.arange(n_keys, device=scores.device) > asked[:, None], -torch.inf)
        mask = self.mask.expand(len(self.query_BHTD), -1, -1, -1)[_span(rows)][:, :, _span(queries), :n_keys]
        return scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.float()


def _span(places: Sequence[int]) -> slice | list[int]:
    """Neighbouring places as a slice, which copies nothing; others as they are."""
    is_run = len(places) > 0 and places[-1] - places[0] + 1 == len(places) and list(places) == sorted(places)
    return slice(places[0], places[-1] + 1) if is_run else list(places)


@dataclass(eq=False)
class Listening:
    """Who listens, and which attention modules were heard, in order: their place is the layer."""

    listener: Listener
    layers: dict[nn.Module, int] = field(default_factory=dict)


_listening: ContextVar[Listening | None] = ContextVar("listening", default=None)


@contextmanager
def listening(model: SuiteModel, listener: Listener) -> Iterator[Listening]:
    """While inside, the listener sees every layer of the forward passes that this thread runs.

    Raises:
        PythiaGeometryError: If the model cannot show its attention.
    """
    config = model.module.config
    if config._attn_implementation != SDPA:
        raise refusal(model, f"it runs with the kernel {config._attn_implementation!r}, not {SDPA!r}")
    _register()
    try:
        model.module.set_attn_implementation(KERNEL)
    except (ValueError, KeyError, ImportError) as error:
        raise refusal(model, str(error)) from error
    state = Listening(listener)
    token = _listening.set(state)
    try:
        yield state
    finally:
        _listening.reset(token)
        model.module.set_attn_implementation(SDPA)


def refusal(model: SuiteModel, why: str) -> PythiaGeometryError:
    """Says that an architecture does not show its heads."""
    return PythiaGeometryError(
        f"{type(model.module).__name__} does not show its attention patterns: {why}. Heads can be read of GPT-NeoX, "
        "GPT-2, Llama and others that use transformers' AttentionInterface in every block. Leave the attention "
        "measures out"
    )


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(KERNEL, _attend)
    AttentionMaskInterface.register(KERNEL, sdpa_mask)


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **rest: Any
) -> tuple[Tensor, None]:
    """What `sdpa` gives, or what the listener makes of it."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **rest)
    if (state := _listening.get()) is not None:
        layer = state.layers.setdefault(module, len(state.layers))
        scaling = query.shape[-1] ** -0.5 if rest.get("scaling") is None else rest["scaling"]
        output = state.listener.take(layer, LayerAttention(query, key, value, attention_mask, scaling), output)
    return output, None

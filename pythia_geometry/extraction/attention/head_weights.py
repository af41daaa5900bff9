"""The value and output matrices of every head, and the norms on the way, out of a model's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from pythia_geometry.attention.copying import LayerCircuits, folded
from pythia_geometry.attention.pattern import Array
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.loading.models import SuiteModel


def head_circuits(model: SuiteModel) -> Iterator[LayerCircuits]:
    """What every head reads and writes, layer by layer, with the gains of the layer norms folded in.

    Raises:
        PythiaGeometryError: If the architecture is not GPT-NeoX, GPT-2 or like Llama, or there is no output head.
    """
    if not model.has_head:
        raise PythiaGeometryError("the copying score needs the output head, which --fetch ranges leaves out")
    final = _norm(model.base, FINAL_NORMS, model)
    readers = [(_norm(block, FIRST_NORMS, model), _reader(block, model)) for block in model.blocks]
    embed: Any = model.module.get_input_embeddings().weight
    unembed: Any = model.module.get_output_embeddings().weight
    tokens = _array(
        unembed.detach().float().T @ embed.detach().float()
    )  # of the whole vocabulary: nearly all of the cost
    for first, read in readers:
        seen = folded(tokens, _gain(first), _gain(final), centred=isinstance(first, nn.LayerNorm))
        yield LayerCircuits(seen, tuple(read()))


FIRST_NORMS = ("input_layernorm", "ln_1")
FINAL_NORMS = ("final_layer_norm", "ln_f", "norm")
NORMS_OF_OUTPUT = ("pre_feedforward_layernorm", "post_self_attn_layernorm")
"""Where a block has one of these, the attention's output passes a norm before it is added (Gemma 2, GLM 4)."""

Heads = list[tuple[Array, Array]]


def _reader(block: Any, model: SuiteModel) -> Callable[[], Heads]:
    """What gives W_V [D, d] and W_O [d, D] of each head of a block."""
    if not any(hasattr(block, name) for name in NORMS_OF_OUTPUT):
        for name, read in _READERS.items():
            owner, _, projection = name.partition(".")
            if hasattr(attention := getattr(block, owner, None), projection):
                return lambda: read(attention, int(model.module.config.num_attention_heads))
    raise _unknown(model)


def _neox(attention: Any, n_heads: int) -> Heads:
    """One matrix [H · 3 · d, D]: of each head query, key and value together."""
    mixed = _array(attention.query_key_value.weight)
    width = mixed.shape[1]
    values = mixed.reshape(n_heads, 3, -1, width)[:, 2]
    outputs = _array(attention.dense.weight).T.reshape(n_heads, -1, width)
    return [(value.T, output) for value, output in zip(values, outputs, strict=True)]


def _gpt2(attention: Any, n_heads: int) -> Heads:
    """Conv1D keeps [in, out]: query, key and value of all heads side by side."""
    mixed = _array(attention.c_attn.weight)
    width = mixed.shape[0]
    values = mixed[:, 2 * width :].reshape(width, n_heads, -1).transpose(1, 0, 2)
    outputs = _array(attention.c_proj.weight).reshape(n_heads, -1, width)
    return list(zip(values, outputs, strict=True))


def _llama(attention: Any, n_heads: int) -> Heads:
    """Heads of a group share one value matrix."""
    shared = _array(attention.v_proj.weight)
    outputs = _array(attention.o_proj.weight).T.reshape(n_heads, -1, attention.o_proj.weight.shape[0])
    values = shared.reshape(-1, outputs.shape[1], shared.shape[1])
    per_group = n_heads // len(values)
    return [(values[head // per_group].T, output) for head, output in enumerate(outputs)]


_READERS: dict[str, Callable[[Any, int], Heads]] = {
    "attention.query_key_value": _neox,
    "attn.c_attn": _gpt2,
    "self_attn.v_proj": _llama,
}


def _norm(owner: Any, names: tuple[str, ...], model: SuiteModel) -> nn.Module:
    for name in names:
        if (norm := getattr(owner, name, None)) is not None:
            return norm  # type: ignore[no-any-return]
    raise _unknown(model)


def _gain(norm: nn.Module) -> Array:
    """What a norm multiplies by: a LayerNorm's weight; of another what it makes of ones, since some add 1 to theirs."""
    if isinstance(norm, nn.LayerNorm):
        return _array(norm.weight)
    with torch.inference_mode():
        return _array(norm(torch.ones_like(norm.weight)))  # type: ignore[arg-type]


def _unknown(model: SuiteModel) -> PythiaGeometryError:
    return PythiaGeometryError(
        f"{type(model.module).__name__} keeps its heads' weights in an unknown place; the copying score is known for "
        "GPT-NeoX, GPT-2 and models like Llama"
    )


def _array(weight: Any) -> Array:
    return np.asarray(weight.detach().float().cpu().numpy(), dtype=np.float64)

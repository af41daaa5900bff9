"""The value and output matrices of every head, and the norms on the way, out of a model's weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from pythia_geometry.attention.copying import copying_through, folded
from pythia_geometry.attention.pattern import Array
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.loading.models import SuiteModel


def copying_scores(model: SuiteModel) -> Array:
    """`attention.copying.copying` of every head [L, H], with the gains of the layer norms folded in.

    Raises:
        PythiaGeometryError: If the architecture is not GPT-NeoX, GPT-2 or like Llama, or there is no output head.
    """
    if not model.has_head:
        raise PythiaGeometryError("The copying score needs the output head. Fetch whole files (--fetch files)")
    embed = _array(model.module.get_input_embeddings().weight)
    unembed = _array(model.module.get_output_embeddings().weight).T
    final = _gain(model.base, FINAL_NORMS, model)
    scores = []
    for block in model.blocks:
        first = _gain(block, FIRST_NORMS, model)
        norm = next(getattr(block, name) for name in FIRST_NORMS if hasattr(block, name))
        seen, said = folded(embed, unembed, first, final, centred=isinstance(norm, nn.LayerNorm))
        tokens = said @ seen
        scores.append([copying_through(tokens, value, output) for value, output in _heads(block, model)])
    return np.array(scores)


FIRST_NORMS = ("input_layernorm", "ln_1")
FINAL_NORMS = ("final_layer_norm", "ln_f", "norm")


def _heads(block: Any, model: SuiteModel) -> list[tuple[Array, Array]]:
    """W_V [D, d] and W_O [d, D] of each head of a block."""
    config = model.module.config
    for name, read in _READERS.items():
        owner, _, projection = name.partition(".")
        if hasattr(getattr(block, owner, None), projection):
            return read(getattr(block, owner), int(config.num_attention_heads))
    raise _unknown(model)


def _neox(attention: Any, n_heads: int) -> list[tuple[Array, Array]]:
    """One matrix [H · 3 · d, D]: of each head query, key and value together."""
    mixed = _array(attention.query_key_value.weight)
    width = mixed.shape[1]
    values = mixed.reshape(n_heads, 3, -1, width)[:, 2]
    outputs = _array(attention.dense.weight).T.reshape(n_heads, -1, width)
    return [(value.T, output) for value, output in zip(values, outputs, strict=True)]


def _gpt2(attention: Any, n_heads: int) -> list[tuple[Array, Array]]:
    """Conv1D keeps [in, out]: query, key and value of all heads side by side."""
    mixed = _array(attention.c_attn.weight)
    width = mixed.shape[0]
    values = mixed[:, 2 * width :].reshape(width, n_heads, -1).transpose(1, 0, 2)
    outputs = _array(attention.c_proj.weight).reshape(n_heads, -1, width)
    return list(zip(values, outputs, strict=True))


def _llama(attention: Any, n_heads: int) -> list[tuple[Array, Array]]:
    """Heads of a group share one value matrix."""
    shared = _array(attention.v_proj.weight)
    outputs = _array(attention.o_proj.weight).T.reshape(n_heads, -1, attention.o_proj.weight.shape[0])
    values = shared.reshape(-1, outputs.shape[1], shared.shape[1])
    per_group = n_heads // len(values)
    return [(values[head // per_group].T, output) for head, output in enumerate(outputs)]


_READERS: dict[str, Callable[[Any, int], list[tuple[Array, Array]]]] = {
    "attention.query_key_value": _neox,
    "attn.c_attn": _gpt2,
    "self_attn.v_proj": _llama,
}


def _gain(owner: Any, names: tuple[str, ...], model: SuiteModel) -> Array:
    for name in names:
        if (norm := getattr(owner, name, None)) is not None:
            return _array(norm.weight)
    raise _unknown(model)


def _unknown(model: SuiteModel) -> PythiaGeometryError:
    return PythiaGeometryError(
        f"{type(model.module).__name__} keeps its heads' weights in an unknown place. The copying score is known for "
        "GPT-NeoX, GPT-2 and models like Llama. Leave that measure out"
    )


def _array(weight: Any) -> Array:
    return np.asarray(weight.detach().float().cpu().numpy(), dtype=np.float64)

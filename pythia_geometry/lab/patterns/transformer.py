"""Several transformers of one shape in one set of tensors: the first dimension of every parameter is the member.

The function is that of GPT-2 (`GPT2LMHeadModel`, head not tied), with the names of its parameters, so that a member's
slice is a checkpoint of it (`tests/lab/patterns/test_transformer.py` compares logits and patterns). What is ours:
members side by side in batched products, patterns that can be read, biased and replaced, and the last block computed
at the queries alone.

Shapes: E members, B sequences, T tokens, Q queries, H heads, D width, d width of a head, V tokens of the vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import gelu, layer_norm

if TYPE_CHECKING:
    from torch import Tensor

Params = dict[str, "Tensor"]
EPSILON = 1e-5  # of the layer norms, GPT-2's


@dataclass(frozen=True)
class Shape:
    """What all members share.

    Attributes:
        n_vocabulary: V.
        n_tokens: Positions: T, or one more.
        n_layers: Blocks.
        n_heads: H.
        width: D.
        head_width: d; GPT-2 has D / H.
    """

    n_vocabulary: int
    n_tokens: int
    n_layers: int
    n_heads: int
    width: int
    head_width: int


def parameter_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """One member's parameters, named as in GPT-2; matrices are [in, out]."""
    wide, inner = shape.width, shape.n_heads * shape.head_width
    found: dict[str, tuple[int, ...]] = {
        "transformer.wte.weight": (shape.n_vocabulary, wide),
        "transformer.wpe.weight": (shape.n_tokens, wide),
    }
    for i in range(shape.n_layers):
        block = f"transformer.h.{i}"
        for norm in ("ln_1", "ln_2"):
            found |= {f"{block}.{norm}.weight": (wide,), f"{block}.{norm}.bias": (wide,)}
        maps = {"attn.c_attn": (wide, 3 * inner), "attn.c_proj": (inner, wide)}
        maps |= {"mlp.c_fc": (wide, 4 * wide), "mlp.c_proj": (4 * wide, wide)}
        for name, sides in maps.items():
            found |= {f"{block}.{name}.weight": sides, f"{block}.{name}.bias": sides[1:]}
    found |= {"transformer.ln_f.weight": (wide,), "transformer.ln_f.bias": (wide,)}
    return found | {"lm_head.weight": (shape.n_vocabulary, wide)}


def initial(shapes: dict[str, tuple[int, ...]], seed: int) -> Params:
    """One fresh member, drawn by a generator of its own: it does not depend on the others.

    Embeddings are standard normal, linear maps and their biases uniform in ±1/√fan-in, as PyTorch's own modules are.

    Args:
        shapes: Names and shapes of its parameters.
        seed: Of the generator.
    """
    generator = torch.Generator().manual_seed(seed)
    found: Params = {}
    fan_in = 1
    for name, sides in shapes.items():
        layer, kind = name.rsplit(".", 2)[-2:]
        if layer in ("wte", "wpe"):
            found[name] = torch.randn(sides, generator=generator)
        elif layer.startswith("ln_"):
            found[name] = torch.full(sides, float(kind == "weight"))
        else:
            if kind == "weight":
                fan_in = sides[1] if layer == "lm_head" else sides[0]
            found[name] = (2 * torch.rand(sides, generator=generator) - 1) / math.sqrt(fan_in)
    return found


def forward(
    params: Params,
    shape: Shape,
    inputs: Tensor,
    queries: range,
    bias: Tensor | None = None,
    given: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits at the queries [E, B, Q, V] and the last block's patterns there [E, B, H, Q, T].

    Args:
        params: Of all members, on the inputs' device.
        shape: Theirs.
        inputs: Token ids [E, B, T].
        queries: Positions that are read; the last block computes no others.
        bias: Added to the last block's attention logits of every head [Q, T].
        given: Patterns that stand in for the last block's own [E, B, H, Q, T].
    """
    n_members, n_sequences, n_tokens = inputs.shape
    member = torch.arange(n_members, device=inputs.device)[:, None, None]
    x = params["transformer.wte.weight"][member, inputs] + params["transformer.wpe.weight"][:, None, :n_tokens]
    pattern = x.new_empty(0)
    for i in range(shape.n_layers):
        last = i == shape.n_layers - 1
        rows = queries if last else range(n_tokens)
        added, pattern = _attention(
            params, f"transformer.h.{i}", shape, x, rows, bias if last else None, given if last else None
        )
        x = x[:, :, rows.start : rows.stop] + added
        x = x + mlp(params, f"transformer.h.{i}", x.flatten(1, 2)).view_as(x)
    return unembed(params, x.flatten(1, 2)).unflatten(1, (n_sequences, len(queries))), pattern


def _attention(
    params: Params, block: str, shape: Shape, x: Tensor, rows: range, bias: Tensor | None, given: Tensor | None
) -> tuple[Tensor, Tensor]:
    n_members, n_sequences, n_tokens, _ = x.shape
    inner = shape.n_heads * shape.head_width
    weight, offset = params[f"{block}.attn.c_attn.weight"], params[f"{block}.attn.c_attn.bias"]
    normed = norm(params, f"{block}.ln_1", x.flatten(1, 2)).view_as(x)

    def heads(part: Tensor, first: int, last: int) -> Tensor:
        """Some of q, k and v [.., H, tokens, d], members and sequences as one dimension."""
        made = torch.baddbmm(offset[:, None, first:last], part.flatten(1, 2), weight[:, :, first:last])
        split = made.view(n_members * n_sequences, part.shape[2], -1, shape.head_width)
        return split.transpose(1, 2)

    if given is None:
        q = heads(normed[:, :, rows.start : rows.stop], 0, inner)
        kv = heads(normed, inner, 3 * inner)
        k, v = kv[:, : shape.n_heads], kv[:, shape.n_heads :]
        scores = q @ k.transpose(-1, -2) / math.sqrt(shape.head_width)
        pattern = (scores + _mask(rows, n_tokens, bias, x)).softmax(-1)
    else:
        v = heads(normed, 2 * inner, 3 * inner)
        pattern = given.flatten(0, 1)
    mixed = (pattern @ v).transpose(1, 2).reshape(n_members, -1, inner)
    out = torch.baddbmm(params[f"{block}.attn.c_proj.bias"][:, None], mixed, params[f"{block}.attn.c_proj.weight"])
    return out.view(n_members, n_sequences, len(rows), -1), pattern.unflatten(0, (n_members, n_sequences))


def _mask(rows: range, n_tokens: int, bias: Tensor | None, like: Tensor) -> Tensor:
    """What is added to the logits [Q, T]: −∞ on later tokens, and the bias."""
    query = torch.arange(rows.start, rows.stop, device=like.device)[:, None]
    later = torch.where(torch.arange(n_tokens, device=like.device)[None] > query, -torch.inf, 0.0)
    return later if bias is None else later + bias


def mlp(params: Params, block: str, x: Tensor) -> Tensor:
    """What the block's MLP adds to rows [E, n, D]."""

    def linear(part: Tensor, name: str) -> Tensor:
        return torch.baddbmm(params[f"{block}.mlp.{name}.bias"][:, None], part, params[f"{block}.mlp.{name}.weight"])

    return linear(gelu(linear(norm(params, f"{block}.ln_2", x), "c_fc"), approximate="tanh"), "c_proj")


def unembed(params: Params, x: Tensor) -> Tensor:
    """Logits [E, n, V] of rows [E, n, D]: last norm and head."""
    return norm(params, "transformer.ln_f", x) @ params["lm_head.weight"].transpose(1, 2)


def norm(params: Params, name: str, x: Tensor) -> Tensor:
    """A layer norm of rows [E, n, D], each member with its own gain and offset."""
    weight, bias = (params[f"{name}.{kind}"][:, None] for kind in ("weight", "bias"))
    return torch.addcmul(bias, layer_norm(x, x.shape[-1:], eps=EPSILON), weight)

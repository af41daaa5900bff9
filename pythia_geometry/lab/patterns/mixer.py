"""MLP-Mixers side by side: tokens are mixed by an MLP over positions instead of attention.

A mixer reads the whole input at once, so it is for the masked form of the linear map: nothing that it must say stands
in its input. Its token MLP has as many hidden units as make one block's parameters those of the transformer's block.

Shapes: as in transformer.py; M hidden units over positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import gelu

from pythia_geometry.lab.patterns import transformer
from pythia_geometry.lab.patterns.transformer import Params, Shape, mlp, norm, unembed

if TYPE_CHECKING:
    from torch import Tensor


def hidden_units(shape: Shape) -> int:
    """M: the token MLP (2 T M + M + T) takes the place of attention (4 D H d + 3 H d + D)."""
    inner = shape.n_heads * shape.head_width
    attention = 4 * shape.width * inner + 3 * inner + shape.width
    return max(1, round((attention - shape.n_tokens) / (2 * shape.n_tokens + 1)))


def parameter_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """One member's parameters: those of a transformer whose attention is a token MLP."""
    tokens, units = shape.n_tokens, hidden_units(shape)
    found: dict[str, tuple[int, ...]] = {}
    for name, sides in transformer.parameter_shapes(shape).items():
        if ".attn." not in name:
            found[name] = sides
        elif name.endswith("c_attn.weight"):
            block = name.removesuffix("attn.c_attn.weight")
            found |= {f"{block}mix.c_fc.weight": (tokens, units), f"{block}mix.c_fc.bias": (units,)}
            found |= {f"{block}mix.c_proj.weight": (units, tokens), f"{block}mix.c_proj.bias": (tokens,)}
    return found


def forward(params: Params, shape: Shape, inputs: Tensor, queries: range) -> Tensor:
    """Logits at the queries [E, B, Q, V].

    Args:
        params: Of all members.
        shape: Theirs.
        inputs: Token ids [E, B, T].
        queries: Positions that are read.
    """
    n_members, n_sequences, n_tokens = inputs.shape
    member = torch.arange(n_members, device=inputs.device)[:, None, None]
    x = params["transformer.wte.weight"][member, inputs] + params["transformer.wpe.weight"][:, None, :n_tokens]
    for i in range(shape.n_layers):
        block = f"transformer.h.{i}"
        normed = norm(params, f"{block}.ln_1", x.flatten(1, 2)).view_as(x)
        across = normed.transpose(2, 3).flatten(1, 2)  # [E, B D, T]
        inner = gelu(_linear(params, f"{block}.mix.c_fc", across), approximate="tanh")
        mixed = _linear(params, f"{block}.mix.c_proj", inner).unflatten(1, (n_sequences, -1))
        x = x + mixed.transpose(2, 3)
        if i == shape.n_layers - 1:
            x = x[:, :, queries.start : queries.stop]
        x = x + mlp(params, block, x.flatten(1, 2)).view_as(x)
    logits: Tensor = unembed(params, x.flatten(1, 2)).unflatten(1, (n_sequences, len(queries)))
    return logits


def _linear(params: Params, name: str, x: Tensor) -> Tensor:
    made: Tensor = torch.baddbmm(params[f"{name}.bias"][:, None], x, params[f"{name}.weight"])
    return made

"""The same function as transformer.py for models of one block, at about half of its cost.

Before the first block a token is known by its position and its id alone. So queries, keys and values are made once a
(position, id) *pair* instead of once a sequence; every pair is a key, and a sequence masks those that it does not
hold. What is left for each sequence are a lookup, a softmax and one product a head, and no small products.

Shapes: as in transformer.py; K pairs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import embedding

from pythia_geometry.lab.patterns.transformer import Params, Shape, mlp, norm, unembed

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = "transformer.h.0"


class Pairs:
    """Which (position, id) pairs can occur, and their places in tables.

    Attributes:
        position: Of each pair [K].
        token: Its id [K].
        place: Place of a pair by position and id [T, V]; −1 where it cannot occur.
    """

    def __init__(self, possible: Tensor) -> None:
        """Numbers the pairs that can occur [T, V]."""
        self.position, self.token = possible.nonzero(as_tuple=True)
        self.place = torch.full(possible.shape, -1, device=possible.device)
        self.place[self.position, self.token] = torch.arange(len(self.position), device=possible.device)

    def held(self, inputs: Tensor) -> Tensor:
        """Place of the pair at each position of each sequence [E, B, T]."""
        return self.place[torch.arange(inputs.shape[-1], device=inputs.device), inputs]


def forward(
    params: Params,
    shape: Shape,
    inputs: Tensor,
    queries: range,
    pairs: Pairs,
    bias: Tensor | None = None,
    given: Tensor | None = None,
    with_pattern: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Logits at the queries [E, B, Q, V], and the patterns there [E, B, H, Q, T] where they are asked for.

    Args:
        params: Of all members.
        shape: Theirs; one block.
        inputs: Token ids [E, B, T].
        queries: Positions that are read.
        pairs: The pairs that can occur.
        bias: Added to the attention logits of every head [Q, T].
        given: Patterns that stand in for the model's own [E, B, H, Q, T].
        with_pattern: Whether patterns are returned.
    """
    n_members, n_sequences, n_tokens = inputs.shape
    n_pairs, inner, device = len(pairs.position), shape.n_heads * shape.head_width, inputs.device
    held = pairs.held(inputs)
    asking = held[:, :, queries.start : queries.stop]
    embedded = params["transformer.wte.weight"][:, pairs.token] + params["transformer.wpe.weight"][:, pairs.position]
    weight, offset = params[f"{BLOCK}.attn.c_attn.weight"], params[f"{BLOCK}.attn.c_attn.bias"]
    made = torch.baddbmm(offset[:, None], norm(params, f"{BLOCK}.ln_1", embedded), weight)
    q, k, v = (part.unflatten(2, (shape.n_heads, -1)).transpose(1, 2) for part in made.split(inner, 2))  # [E, H, K, d]

    present = torch.zeros(n_members, n_sequences, n_pairs, dtype=torch.bool, device=device).scatter_(2, held, True)
    if given is None:
        scores = q @ k.transpose(2, 3) / math.sqrt(shape.head_width) + _mask(pairs, queries, bias)
        heads = torch.arange(n_members * shape.n_heads, device=device).view(n_members, shape.n_heads, 1) * n_pairs
        logits = embedding(heads + asking.flatten(1)[:, None], scores.flatten(0, 2))  # [E, H, B Q, K]
        logits = logits.unflatten(2, (n_sequences, -1))
        absent = torch.where(present, 0.0, -torch.inf)
        p = (logits + absent[:, None, :, None]).softmax(-1)
    else:
        p = given[..., pairs.position].transpose(1, 2) * present[:, None, :, None]
    mixed = (p.flatten(2, 3) @ v).transpose(1, 2).reshape(n_members, -1, inner)
    out = torch.baddbmm(params[f"{BLOCK}.attn.c_proj.bias"][:, None], mixed, params[f"{BLOCK}.attn.c_proj.weight"])
    rows = torch.arange(n_members, device=device).view(-1, 1) * n_pairs + asking.flatten(1)
    x = embedding(rows, embedded.flatten(0, 1)) + out
    x = x + mlp(params, BLOCK, x)
    pattern = None
    if with_pattern:
        at = torch.zeros(n_pairs, n_tokens, device=device).scatter_(1, pairs.position[:, None], 1.0)
        pattern = (p @ at).transpose(1, 2)
    return unembed(params, x).unflatten(1, (n_sequences, len(queries))), pattern


def _mask(pairs: Pairs, queries: range, bias: Tensor | None) -> Tensor:
    """What is added to the scores of a pair that asks and a pair that is looked at [K, K]."""
    asking, key = pairs.position[:, None], pairs.position[None]
    later = torch.where(key > asking, -torch.inf, 0.0)
    if bias is None:
        return later
    is_query = (asking >= queries.start) & (asking < queries.stop)
    return later + bias[(asking - queries.start).clamp(0, len(queries) - 1), key] * is_query

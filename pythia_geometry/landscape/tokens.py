"""The loss of a causal language model: mean cross-entropy over an example's scored tokens.

Sequences of several lengths are padded on the right. In a causal model nothing scored looks at what stands to its
right, so this is exact without an attention mask (which would break `torch.func.vmap`).
Shape letters: B examples, T tokens, A scored positions (the most that an example has), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.landscape.surface import Examples, Surface

_CHUNK = 2**24  # logits of one softmax: the backward pass of a large vocabulary needs three copies of its piece


def scored_tokens(
    sequences: Sequence[Sequence[int]], first_scored: Sequence[int] | None = None, by_token: bool = False
) -> Examples:
    """Examples for `next_token_losses`.

    Args:
        sequences: Token ids of each example, two or more.
        first_scored: Index of each example's first scored token, 1 or more; from there all are scored.
            None scores every token but the first.
        by_token: Whether every scored token counts the same, so that the mean over examples is the mean over all their
            tokens; else every example counts the same.

    Returns:
        `ids` [N, T], `positions`, `targets` and `weights` [N, A]: position p predicts token p + 1, and an example's
        weights sum to 1; by token, to its share of the scored tokens times the number of examples.

    Raises:
        PythiaGeometryError: If an example has nothing to score.

    Example:
        >>> scored_tokens([[5, 6, 7]], [2])["targets"].tolist()
        [[7]]
    """
    starts = [1] * len(sequences) if first_scored is None else list(first_scored)
    counts = [len(ids) - start for ids, start in zip(sequences, starts, strict=True)]
    if not counts or min(counts) < 1 or min(starts) < 1:
        raise PythiaGeometryError("every example needs a token to score and one before it")
    n, length, scored = len(sequences), max(map(len, sequences)), max(counts)
    ids = torch.zeros(n, length, dtype=torch.long)
    positions, targets = torch.zeros(n, scored, dtype=torch.long), torch.zeros(n, scored, dtype=torch.long)
    weights = torch.zeros(n, scored)
    for row, (sequence, start, count) in enumerate(zip(sequences, starts, counts, strict=True)):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        positions[row, :count] = torch.arange(start - 1, start - 1 + count)
        targets[row, :count] = torch.tensor(sequence[start:])
        weights[row, :count] = n / sum(counts) if by_token else 1 / count
    return {"ids": ids, "positions": positions, "targets": targets, "weights": weights}


def next_token_losses(module: nn.Module, batch: Examples) -> Tensor:
    """Mean cross-entropy of each example's scored tokens, in nats [B].

    Logits are computed at scored positions alone.
    """
    logits_BAV = scored_logits(module, batch)
    rows = max(1, _CHUNK // logits_BAV.shape[-1])
    pieces = zip(logits_BAV.flatten(0, 1).split(rows), batch["targets"].flatten().split(rows), strict=True)
    losses = torch.cat([nn.functional.cross_entropy(*piece, reduction="none") for piece in pieces])
    losses_BA = losses.view(batch["targets"].shape)
    return (losses_BA * batch["weights"].to(losses_BA.dtype)).sum(1)


def scored_logits(module: nn.Module, batch: Examples) -> Tensor:
    """Logits [B, A, V] at the scored positions, as the model itself computes them."""
    ids, extra = batch["ids"], {}
    if "position_ids" in signature(module.forward).parameters:
        # One row an example: looked up once and broadcast, their gradient would already be summed over examples.
        extra["position_ids"] = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
    with _head_sees(module, batch["positions"]):
        logits: Tensor = module(input_ids=ids, use_cache=False, **extra).logits
    return logits


def with_sampled_labels(surface: Surface, seed: int = 0) -> Surface:
    """The same surface with labels drawn from the model's own predictions: its Fisher is the true one.

    The context stays that of the text, so every label is drawn on its own. The empirical Fisher, with the labels
    of the text, vanishes where the loss does; this one does not.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    with torch.no_grad():
        for batch in surface.batches():
            probabilities_BAV = scored_logits(surface.module, batch).double().softmax(-1).cpu()
            cumulative = probabilities_BAV.cumsum(-1)
            uniform = torch.rand(cumulative.shape[:-1], generator=generator, dtype=torch.float64)[..., None]
            drawn.append((cumulative < uniform * cumulative[..., -1:]).sum(-1))
    return replace(surface, examples={**surface.examples, "targets": torch.cat(drawn)})


@contextmanager
def _head_sees(module: nn.Module, positions_BA: Tensor) -> Iterator[None]:
    """Lets the output head see these positions only; what the model does to its logits afterwards stays."""

    def select(_: nn.Module, args: tuple[Any, ...]) -> tuple[Tensor]:
        hidden_BTD: Tensor = args[0]
        return (hidden_BTD.gather(1, positions_BA[..., None].expand(-1, -1, hidden_BTD.shape[-1])),)

    head: nn.Module = module.get_output_embeddings()  # type: ignore[operator]
    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()

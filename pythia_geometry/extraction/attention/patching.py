"""Is a head's pattern a cause? The pattern of one checkpoint put into another, head by head.

A reading of a *model pair*, on request: the model runs twice for every head.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.attention.attention_kernel import LayerAttention
from pythia_geometry.extraction.attention.head_edits import (
    Array,
    Head,
    HeadsAsTheyAre,
    KeptPatterns,
    batches_alike,
    checked_heads,
    target_log_probs,
)
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.probes.encoding import EncodedProbe

BATCH = 16


@dataclass(frozen=True, eq=False)
class Patching:
    """What one head's pattern of the other checkpoint does to the log-probability of the right answer.

    Attributes:
        heads: The heads that were patched, H of them.
        earlier: Log-probability at the earlier checkpoint [N].
        later: At the later one [N].
        into_earlier: At the earlier one with the later pattern of one head [N, H].
        into_later: At the later one with the earlier pattern of one head [N, H].
        all_into_earlier: At the earlier one with the later patterns of all these heads at once [N].
        all_into_later: At the later one with the earlier patterns of all these heads at once [N].
    """

    heads: tuple[Head, ...]
    earlier: Array
    later: Array
    into_earlier: Array
    into_later: Array
    all_into_earlier: Array
    all_into_later: Array

    @property
    def gain(self) -> Array:
        """What the later pattern gives to the earlier checkpoint, in nats [N, H]."""
        return self.into_earlier - self.earlier[:, None]

    @property
    def loss(self) -> Array:
        """What the earlier pattern takes from the later checkpoint, in nats [N, H]."""
        return self.later[:, None] - self.into_later


def patching(
    earlier: SuiteModel,
    later: SuiteModel,
    encoded: EncodedProbe,
    heads: Collection[Head] | None = None,
    batch: int = BATCH,
) -> Patching:
    """Puts the attention pattern of one head of one checkpoint into the other, head by head, both ways.

    The head reads its own values where the other checkpoint looks; the rest of the model goes on from there.

    How it misleads: the published findings contradict each other. On Pythia two heads of the checkpoint after the jump
    recover most of it in the one before (Baherwani et al. 2026); on the linear map the later pattern recovers nothing,
    because the readout must be learnt with it (the independent reproduction). A gain of nothing is no proof that the
    pattern does not matter, and heads that work together show it only together.

    Args:
        earlier: A model with the earlier checkpoint's weights.
        later: Another model with the later checkpoint's.
        encoded: The probe.
        heads: Which heads; all where None.
        batch: Sequences a forward pass.

    Raises:
        PythiaGeometryError: If the two differ in shape or are one model, a head does not exist, or the architecture
            does not show its attention.
    """
    if earlier is later or earlier.module is later.module:
        raise PythiaGeometryError("Patching needs two models at once: one for each checkpoint")
    if earlier.shape != later.shape:
        raise PythiaGeometryError(f"Patching needs two checkpoints of one model; got {earlier.shape} and {later.shape}")
    chosen = checked_heads(heads, earlier)
    own = np.full((2, len(encoded.items)), np.nan)
    patched = np.full((2, len(encoded.items), len(chosen) + 1), np.nan)
    for members, ids in batches_alike(encoded.items, batch):
        items = [encoded.items[i] for i in members]
        patterns = [KeptPatterns(model) for model in (earlier, later)]
        for side, model in enumerate((earlier, later)):
            own[side, members] = target_log_probs(model, patterns[side], ids, items)
        for side, model in enumerate((earlier, later)):
            for column, heads_now in enumerate([*((head,) for head in chosen), chosen]):
                other = _OtherPatterns(heads_now, patterns[1 - side].found)
                patched[side, members, column] = target_log_probs(model, other, ids, items)
    one, every = patched[:, :, :-1], patched[:, :, -1]
    return Patching(chosen, own[0], own[1], one[0], one[1], every[0], every[1])


class _OtherPatterns(HeadsAsTheyAre):
    """Some heads look where the other checkpoint's look."""

    def __init__(self, heads: Sequence[Head], patterns: Sequence[Tensor]) -> None:
        self.heads = heads
        self.patterns = patterns

    def take(self, layer: int, attention: LayerAttention, output_BTHD: Tensor) -> Tensor:
        changed = [head for of_layer, head in self.heads if of_layer - 1 == layer]
        if not changed:
            return output_BTHD
        pattern_BHTT = self.patterns[layer][:, changed].to(output_BTHD.device)
        given = (pattern_BHTT @ attention.values()[:, changed]).transpose(1, 2)
        output = output_BTHD.clone()
        output[:, :, changed] = given.to(output_BTHD.dtype)
        return output

"""Is a head's pattern a cause? The pattern of one checkpoint put into another, head by head.

A reading of a *model pair*, on request: the model runs twice for every head.
"""

from __future__ import annotations

from collections.abc import Collection
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
    """

    heads: tuple[Head, ...]
    earlier: Array
    later: Array
    into_earlier: Array
    into_later: Array

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
    patched = np.full((2, len(encoded.items), len(chosen)), np.nan)
    for members, ids in batches_alike(encoded.items, batch):
        items = [encoded.items[i] for i in members]
        patterns = [KeptPatterns(model) for model in (earlier, later)]
        for side, model in enumerate((earlier, later)):
            own[side, members] = target_log_probs(model, patterns[side], ids, items)
        for side, model in enumerate((earlier, later)):
            for column, head in enumerate(chosen):
                other = _OtherPattern(head, patterns[1 - side].found[head[0] - 1])
                patched[side, members, column] = target_log_probs(model, other, ids, items)
    return Patching(chosen, own[0], own[1], patched[0], patched[1])


class _OtherPattern(HeadsAsTheyAre):
    """One head looks where the other checkpoint's looks."""

    def __init__(self, head: Head, patterns: Tensor) -> None:
        self.layer, self.head = head[0] - 1, head[1]
        self.pattern_BTT = patterns[:, self.head]

    def take(self, layer: int, attention: LayerAttention, output_BTHD: Tensor) -> Tensor:
        if layer != self.layer:
            return output_BTHD
        pattern = self.pattern_BTT.to(output_BTHD.device)
        changed = output_BTHD.clone()
        changed[:, :, self.head] = (pattern @ attention.values()[:, self.head]).to(output_BTHD.dtype)
        return changed

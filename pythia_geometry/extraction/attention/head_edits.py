"""Forward passes in which some heads do something else, and what the right answer's log-probability becomes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.attention.attention_kernel import LayerAttention, listening, refusal
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.probes.encoding import EncodedItem

Array = NDArray[np.float64]
Head = tuple[int, int]
"""Layer from 1, head from 0."""


def checked_heads(heads: Collection[Head] | None, model: SuiteModel) -> tuple[Head, ...]:
    """The heads in order, each once; all of the model where None.

    Raises:
        PythiaGeometryError: If one does not exist, or none is named.
    """
    deep, wide = model.shape.n_layers, n_heads(model)
    if heads is None:
        return tuple((layer, head) for layer in range(1, deep + 1) for head in range(wide))
    if strange := [h for h in heads if not (1 <= h[0] <= deep and 0 <= h[1] < wide)]:
        raise PythiaGeometryError(f"There is no head {strange[0]}: layers are 1 to {deep}, heads 0 to {wide - 1}")
    if not heads:
        raise PythiaGeometryError("No heads are selected; expected pairs of a layer and a head, such as (1, 0)")
    return tuple(sorted(set(heads)))


def n_heads(model: SuiteModel) -> int:
    """Heads of a layer."""
    return int(model.module.config.num_attention_heads)


def batches_alike(items: Sequence[EncodedItem], batch: int) -> Iterator[tuple[list[int], Tensor]]:
    """Items whose prompts have one length, and whose targets have, with their token ids [B, T]."""

    def lengths(i: int) -> tuple[int, int]:
        return len(items[i].prompt), len(items[i].target)

    for _, group in groupby(sorted(range(len(items)), key=lengths), key=lengths):
        alike = list(group)
        for start in range(0, len(alike), batch):
            part = alike[start : start + batch]
            yield part, torch.tensor([items[i].prompt + items[i].target[:-1] for i in part])


def target_log_probs(model: SuiteModel, listener: HeadsAsTheyAre, ids: Tensor, items: Sequence[EncodedItem]) -> Array:
    """Log-probability of each target [B], while a listener keeps or changes heads.

    Args:
        model: The model, with its output head.
        listener: What sees, and may change, the heads.
        ids: Prompts with all but the last token of their targets [B, T], all alike in length.
        items: Whose they are.

    Raises:
        PythiaGeometryError: If the model has no output head, or does not show its attention.
    """
    if not model.has_head:
        raise PythiaGeometryError("Patching and ablation need the output head. Fetch whole files (--fetch files)")
    targets = torch.tensor([item.target for item in items], device=model.device)
    with torch.inference_mode(), listening(model, listener) as state:
        logits = model.module(
            input_ids=ids.to(model.device), use_cache=False, logits_to_keep=targets.shape[1]
        ).logits.float()
        if len(state.layers) != model.shape.n_layers:
            raise refusal(model, f"{len(state.layers)} of its {model.shape.n_layers} blocks hand over queries and keys")
        found = torch.log_softmax(logits, dim=-1).gather(2, targets[..., None])[..., 0].sum(dim=1)
    return found.double().cpu().numpy()


class HeadsAsTheyAre:
    """A listener that leaves everything as it is."""

    def take(self, layer: int, attention: LayerAttention, output_BTHD: Tensor) -> Tensor:
        """The layer's output."""
        return output_BTHD


class KeptPatterns(HeadsAsTheyAre):
    """Keeps the pattern of every layer."""

    def __init__(self, model: SuiteModel) -> None:
        self.found: list[Tensor] = [torch.empty(0)] * model.shape.n_layers

    def take(self, layer: int, attention: LayerAttention, output_BTHD: Tensor) -> Tensor:
        """Keeps them, changes nothing."""
        self.found[layer] = attention.whole_pattern()
        return output_BTHD


class KeptOutputs(HeadsAsTheyAre):
    """Keeps the heads' outputs of every layer."""

    def __init__(self) -> None:
        self.found: dict[int, Tensor] = {}

    def take(self, layer: int, attention: LayerAttention, output_BTHD: Tensor) -> Tensor:
        """Keeps them, changes nothing."""
        self.found[layer] = output_BTHD
        return output_BTHD

"""Is a head's pattern a cause? The pattern of one checkpoint put into another, and heads switched off.

Both ask for the log-probability of the right answer, item by item. Expensive: patching runs the model twice for every
head, ablation once for every set of heads. Readings of a *model pair*, and of one model, on request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.attention_kernel import LayerAttention, listening, refusal
from pythia_geometry.extraction.encoding import EncodedItem, EncodedProbe
from pythia_geometry.extraction.models import SuiteModel

Array = NDArray[np.float64]
Head = tuple[int, int]
"""Layer from 1, head from 0."""

MEAN, RESAMPLE = "mean", "resample"
BATCH = 16
RANDOM_SETS = 20


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
    chosen = _checked(heads, earlier)
    own = np.full((2, len(encoded.items)), np.nan)
    patched = np.full((2, len(encoded.items), len(chosen)), np.nan)
    for members, ids in _batches(encoded.items, batch):
        items = [encoded.items[i] for i in members]
        patterns = [_Patterns(model) for model in (earlier, later)]
        for side, model in enumerate((earlier, later)):
            own[side, members] = _scored(model, patterns[side], ids, items)
        for side, model in enumerate((earlier, later)):
            for column, head in enumerate(chosen):
                other = _OtherPattern(head, patterns[1 - side].found[head[0] - 1])
                patched[side, members, column] = _scored(model, other, ids, items)
    return Patching(chosen, own[0], own[1], patched[0], patched[1])


@dataclass(frozen=True)
class Ablation:
    """What switching heads off takes from the log-probability of the right answer.

    Attributes:
        kind: mean or resample.
        drop: Mean loss in nats over items.
        error: Its standard error.
        random: The same for sets of as many other heads of the same layers [R].
        p: Share of these that lose at least as much, the own set counted among them.
        n: Items.
        reason: Why there is no number, or what was left out.
    """

    kind: str
    drop: float
    error: float
    random: Array
    p: float
    n: int
    reason: str = ""


def ablation(
    model: SuiteModel,
    encoded: EncodedProbe,
    heads: Collection[Head],
    kind: str = MEAN,
    random_sets: int = RANDOM_SETS,
    seed: int = 0,
) -> Ablation:
    """Switches heads off together, and as many random heads of the same layers beside them.

    `mean`: each head gives its mean output over the probe's prompts of one length, position by position. `resample`: it
    gives what it gave for another such prompt. Zero would put the model where it never is.

    How it misleads: a later layer may stand in for what was switched off, so no loss is no proof of no use. The heads
    that score best are often not those that lose most (arXiv 2606.05378). Mean output still carries what all prompts of
    the probe share.

    Args:
        model: A model with a checkpoint's weights.
        encoded: The probe. Items without another one of the same lengths are left out.
        heads: The heads.
        kind: mean or resample.
        random_sets: How many random sets.
        seed: Of the sets and of the exchanges.

    Raises:
        PythiaGeometryError: If a head does not exist, its layer has too few others, or the kind is unknown.
    """
    if kind not in (MEAN, RESAMPLE):
        raise PythiaGeometryError(f"There is no ablation {kind!r}. Expected {MEAN} or {RESAMPLE}")
    chosen = _checked(heads, model)
    rng = np.random.default_rng(seed)
    sets = [chosen, *(_matched(chosen, _n_heads(model), rng) for _ in range(random_sets))]
    lost = np.full((len(encoded.items), len(sets)), np.nan)
    for members, ids in _batches(encoded.items, len(encoded.items)):
        if len(members) > 1:
            items = [encoded.items[i] for i in members]
            outputs = _Outputs()
            own = _scored(model, outputs, ids, items)
            shift = 1 + int(rng.integers(len(members) - 1))
            for column, some in enumerate(sets):
                lost[members, column] = own - _scored(model, _Off(some, outputs.found, kind, shift), ids, items)
    return _ablation(kind, lost)


def _ablation(kind: str, lost: Array) -> Ablation:
    known = lost[np.isfinite(lost).all(axis=1)]
    n, left_out = len(known), len(lost) - len(known)
    reason = (
        f"no other prompt of the same length, or not finite, in {left_out} of {len(lost)} items" if left_out else ""
    )
    if n < 2:
        return Ablation(kind, float("nan"), float("nan"), np.empty(0), float("nan"), n, reason)
    drop, *others = known.mean(axis=0)
    p = (1 + sum(other >= drop for other in others)) / (1 + len(others))
    return Ablation(
        kind, float(drop), float(known[:, 0].std(ddof=1) / np.sqrt(n)), np.array(others), float(p), n, reason
    )


def _checked(heads: Collection[Head] | None, model: SuiteModel) -> tuple[Head, ...]:
    n_layers, n_heads = model.shape.n_layers, _n_heads(model)
    if heads is None:
        return tuple((layer, head) for layer in range(1, n_layers + 1) for head in range(n_heads))
    if strange := [h for h in heads if not (1 <= h[0] <= n_layers and 0 <= h[1] < n_heads)]:
        raise PythiaGeometryError(
            f"There is no head {strange[0]}: layers are 1 to {n_layers}, heads 0 to {n_heads - 1}"
        )
    if not heads:
        raise PythiaGeometryError("No heads are selected; expected pairs of a layer and a head, such as (1, 0)")
    return tuple(sorted(set(heads)))


def _n_heads(model: SuiteModel) -> int:
    return int(model.module.config.num_attention_heads)


def _matched(chosen: Sequence[Head], n_heads: int, rng: np.random.Generator) -> tuple[Head, ...]:
    """As many heads of the same layers, none of them chosen."""
    drawn: list[Head] = []
    for layer, of_layer in groupby(chosen, key=lambda head: head[0]):
        taken = {head for _, head in of_layer}
        others = [head for head in range(n_heads) if head not in taken]
        if len(others) < len(taken):
            raise PythiaGeometryError(
                f"Layer {layer} has {n_heads} heads, {len(taken)} of them to be switched off: too few others to compare with"
            )
        drawn += [(layer, int(head)) for head in rng.choice(others, len(taken), replace=False)]
    return tuple(drawn)


def _batches(items: Sequence[EncodedItem], batch: int) -> Iterator[tuple[list[int], Tensor]]:
    """Items whose prompts have one length, and whose targets have, with their token ids [B, T]."""

    def lengths(i: int) -> tuple[int, int]:
        return len(items[i].prompt), len(items[i].target)

    for _, group in groupby(sorted(range(len(items)), key=lengths), key=lengths):
        alike = list(group)
        for start in range(0, len(alike), batch):
            part = alike[start : start + batch]
            yield part, torch.tensor([items[i].prompt + items[i].target[:-1] for i in part])


def _scored(model: SuiteModel, listener: _Heads, ids: Tensor, items: Sequence[EncodedItem]) -> Array:
    """Log-probability of each target [B], while the listener changes heads."""
    if not model.has_head:
        raise PythiaGeometryError("Patching and ablation need the output head. Fetch whole files (--fetch files)")
    targets = torch.tensor([item.target for item in items], device=model.device)
    first = len(items[0].prompt) - 1
    with torch.inference_mode(), listening(model, listener) as state:
        logits = model.module(input_ids=ids.to(model.device), use_cache=False).logits[:, first:].float()
        if len(state.layers) != model.shape.n_layers:
            raise refusal(model, f"{len(state.layers)} of its {model.shape.n_layers} blocks hand over queries and keys")
        found = torch.log_softmax(logits, dim=-1).gather(2, targets[..., None])[..., 0].sum(dim=1)
    return found.double().cpu().numpy()


class _Heads:
    """A listener that leaves everything as it is."""

    def take(self, layer: int, attention: LayerAttention, output_BTHD: Tensor) -> Tensor:
        """The layer's output."""
        return output_BTHD


class _Patterns(_Heads):
    """Keeps the pattern of every layer."""

    def __init__(self, model: SuiteModel) -> None:
        self.found: list[Tensor] = [torch.empty(0)] * model.shape.n_layers

    def take(self, layer: int, attention: LayerAttention, output_BTHD: Tensor) -> Tensor:
        self.found[layer] = attention.whole_pattern()
        return output_BTHD


class _Outputs(_Heads):
    """Keeps the heads' outputs of every layer."""

    def __init__(self) -> None:
        self.found: dict[int, Tensor] = {}

    def take(self, layer: int, attention: LayerAttention, output_BTHD: Tensor) -> Tensor:
        self.found[layer] = output_BTHD
        return output_BTHD


class _OtherPattern(_Heads):
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


class _Off(_Heads):
    """Some heads give their mean over the batch, or what they gave for another row of it."""

    def __init__(self, heads: Sequence[Head], outputs: dict[int, Tensor], kind: str, shift: int) -> None:
        self.heads = heads
        self.outputs = outputs
        self.kind = kind
        self.shift = shift

    def take(self, layer: int, attention: LayerAttention, output_BTHD: Tensor) -> Tensor:
        off = [head for of_layer, head in self.heads if of_layer - 1 == layer]
        if not off:
            return output_BTHD
        own = self.outputs[layer]
        stand_in = (
            own.float().mean(dim=0, keepdim=True).expand(own.shape) if self.kind == MEAN else own.roll(self.shift, 0)
        )
        changed = output_BTHD.clone()
        changed[:, :, off] = stand_in[:, :, off].to(output_BTHD.dtype)
        return changed

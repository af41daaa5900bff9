"""Is a head used? Heads switched off, beside as many random heads of the same layers. On request."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, groupby, product
from math import prod

import numpy as np
from torch import Tensor

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.attention.attention_kernel import LayerAttention
from pythia_geometry.extraction.attention.head_edits import (
    Array,
    Head,
    HeadsAsTheyAre,
    KeptOutputs,
    batches_alike,
    checked_heads,
    n_heads,
    target_log_probs,
)
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.probes.encoding import EncodedProbe

MEAN, RESAMPLE = "mean", "resample"
RANDOM_SETS = 20


@dataclass(frozen=True)
class Ablation:
    """What switching heads off takes from the log-probability of the right answer.

    Attributes:
        kind: mean or resample.
        drop: Mean loss in nats over items.
        error: Its standard error.
        random: The same for sets of as many other heads of the same layers [R], each set once.
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
        random_sets: How many random sets; fewer where the layers have no more.
        seed: Of the sets and of the exchanges.

    Raises:
        PythiaGeometryError: If a head does not exist, its layer has too few others, or the kind is unknown.
    """
    if kind not in (MEAN, RESAMPLE):
        raise PythiaGeometryError(f"There is no ablation {kind!r}. Expected {MEAN} or {RESAMPLE}")
    chosen = checked_heads(heads, model)
    sets = [chosen, *matched_sets(chosen, n_heads(model), random_sets, seed)]
    return summary(kind, what_is_lost(model, encoded, sets, kind, seed), 0, range(1, len(sets)))


def what_is_lost(
    model: SuiteModel, encoded: EncodedProbe, sets: Sequence[Sequence[Head]], kind: str, seed: int = 0
) -> Array:
    """Nats of log-probability of the right answer that each set of heads takes with it [N, S].

    NaN for items without another one of the same lengths.
    """
    rng = np.random.default_rng(seed)
    lost = np.full((len(encoded.items), len(sets)), np.nan)
    for members, ids in batches_alike(encoded.items, len(encoded.items)):
        if len(members) > 1:
            items = [encoded.items[i] for i in members]
            outputs = KeptOutputs()
            own = target_log_probs(model, outputs, ids, items)
            shift = 1 + int(rng.integers(len(members) - 1))
            for column, some in enumerate(sets):
                lost[members, column] = own - target_log_probs(
                    model, _Off(some, outputs.found, kind, shift), ids, items
                )
    return lost


def summary(kind: str, lost: Array, own: int, others: Sequence[int]) -> Ablation:
    """One set of heads beside others.

    Args:
        kind: mean or resample.
        lost: As from `what_is_lost` [N, S].
        own: Column of the set.
        others: Columns of those that it is compared with.
    """
    columns = lost[:, [own, *others]]
    known = columns[np.isfinite(columns).all(axis=1)]
    n, left_out = len(known), len(lost) - len(known)
    lacking = f"no other prompt of the same length, or not finite, in {left_out} of {len(lost)} items"
    reason = lacking if left_out else ""
    if n < 2:
        nan = float("nan")
        return Ablation(kind, nan, nan, np.empty(0), nan, n, reason)
    drop, *random = known.mean(axis=0)
    p = (1 + sum(other >= drop for other in random)) / (1 + len(random))
    error = float(known[:, 0].std(ddof=1) / np.sqrt(n))
    return Ablation(kind, float(drop), error, np.array(random), float(p), n, reason)


def matched_sets(chosen: Sequence[Head], wide: int, most: int, seed: int = 0) -> list[tuple[Head, ...]]:
    """Sets of as many heads of the same layers, none of them chosen; each set once, so that p counts no set twice.

    Args:
        chosen: The heads that are compared with them, in order.
        wide: Heads of a layer.
        most: How many sets; fewer where there are no more.
        seed: Of the draw.

    Raises:
        PythiaGeometryError: If a layer has too few others.
    """
    by_layer: list[list[tuple[Head, ...]]] = []
    for layer, of_layer in groupby(chosen, key=lambda head: head[0]):
        taken = {head for _, head in of_layer}
        others = [(layer, head) for head in range(wide) if head not in taken]
        if len(others) < len(taken):
            lack = f"Layer {layer} has {wide} heads, {len(taken)} of them to be switched off"
            raise PythiaGeometryError(f"{lack}: too few others to compare with. Choose fewer heads of that layer")
        by_layer.append([tuple(some) for some in combinations(others, len(taken))])
    rng = np.random.default_rng(seed)
    if prod(map(len, by_layer)) <= most:
        drawn = list(product(*by_layer))
    else:
        found: dict[tuple[int, ...], None] = {}
        while len(found) < most:
            found[tuple(int(rng.integers(len(sets))) for sets in by_layer)] = None
        drawn = [tuple(sets[i] for sets, i in zip(by_layer, one, strict=True)) for one in found]
    return [tuple(chain.from_iterable(parts)) for parts in drawn]


class _Off(HeadsAsTheyAre):
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
        mean = own.float().mean(dim=0, keepdim=True).expand(own.shape)
        stand_in = mean if self.kind == MEAN else own.roll(self.shift, 0)
        changed = output_BTHD.clone()
        changed[:, :, off] = stand_in[:, :, off].to(output_BTHD.dtype)
        return changed

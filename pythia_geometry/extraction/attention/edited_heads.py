"""Causes of an answer, head by head, as a walk measures them: patterns of another checkpoint, heads switched off.

Readings of one model (`ablation`) or of two (`patching`); one reading is shared by all measures of a probe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch

from pythia_geometry.attention.head_values import HeadValue, head_values
from pythia_geometry.attention.pattern import Prompt
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.attention.ablation import MEAN, RESAMPLE, matched_sets, summary, what_is_lost
from pythia_geometry.extraction.attention.head_edits import Array, Head, batches_alike, checked_heads, n_heads
from pythia_geometry.extraction.attention.patching import Patching, patching
from pythia_geometry.extraction.attention.patterns import PatternReader
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.probes.encoding import EncodedProbe
from pythia_geometry.geometry.cloud import Estimate, unknown

INFINITE = float("inf")
BATCH = 16
NO_TARGET = "no prompt of this probe marks a target, by which heads would be chosen"


@dataclass(frozen=True, eq=False)
class Lost:
    """What heads that are switched off take with them.

    Attributes:
        heads: All heads; the first columns of `nats`.
        nats: By item and set of heads [N, S].
        best: Column of the chosen heads together and columns of the random sets beside them; None where there is none.
        fault: Why there is none.
    """

    heads: tuple[Head, ...]
    nats: Array
    best: tuple[int, Sequence[int]] | None
    fault: str

    def others(self, own: int) -> list[int]:
        """Columns of all other heads of the same layer."""
        return [i for i, head in enumerate(self.heads) if i != own and head[0] == self.heads[own][0]]


@dataclass(eq=False)
class EditedHeads:
    """A probe whose answers are scored again while heads do something else.

    Attributes:
        model: A model with the checkpoint's weights.
        encoded: The probe.
        prompts: Its prompts with their marks.
        earlier: Another model with the weights of an earlier checkpoint; None where no measure reads two.
    """

    model: SuiteModel
    encoded: EncodedProbe
    prompts: tuple[Prompt, ...]
    earlier: SuiteModel | None = None

    def __post_init__(self) -> None:
        self.lost = cache(self._lost)

    @cached_property
    def patched(self) -> Patching:
        """Every head's pattern put into the other checkpoint, both ways, and all of them at once."""
        if self.earlier is None:
            raise PythiaGeometryError("Patching needs two models at once: one for each checkpoint")
        return patching(self.earlier, self.model, self.encoded, batch=BATCH)

    def _lost(self, kind: str, together: int, random_sets: int) -> Lost:
        """What every head loses by itself, and what the heads with most mass on the target lose together."""
        every = checked_heads(None, self.model)
        best, fault, matched = self._best(together), NO_TARGET, list[tuple[Head, ...]]()
        if best:
            try:
                matched = matched_sets(best, n_heads(self.model), random_sets)
            except PythiaGeometryError as problem:
                best, fault = (), str(problem)
        sets = [*((head,) for head in every), *([best] if best else []), *matched]
        lost = what_is_lost(self.model, self.encoded, sets, kind)
        rest = range(len(every) + 1, len(sets))
        return Lost(every, lost, (len(every), rest) if best else None, fault)

    def _best(self, count: int) -> tuple[Head, ...]:
        """The heads with the largest mean mass on the target; none where no prompt marks one."""
        if not any(prompt.marks.get("target") for prompt in self.prompts):
            return ()
        with torch.inference_mode(), PatternReader(self.model, self.prompts, ("target_mass",)) as reader:
            for members, ids in batches_alike(self.encoded.items, BATCH):
                with reader.batch(list(enumerate(members))):
                    self.model.base(input_ids=ids.to(self.model.device), use_cache=False)
        found = [v for v in head_values(reader.reading, ("target_mass",)) if v.layer is not None and v.head is not None]
        known = [v for v in found if np.isfinite(v.estimate.value)]
        best = sorted(known, key=lambda v: -v.estimate.value)[:count]
        return tuple(sorted((int(v.layer or 0), int(v.head or 0)) for v in best))


def patching_gain(reading: EditedHeads) -> Iterator[HeadValue]:
    """Nats of log-probability of the right answer that this step's pattern of one head gives to the earlier step.

    Per head, a mean over items with its standard error; the row of the model is all heads' patterns at once. Read it
    beside the whole change, later − earlier, of `log_prob`. Range −∞ … ∞. How it misleads: see `patching`.
    """
    found = reading.patched
    yield from _of_heads("patching_gain", found.heads, found.gain)
    yield HeadValue("patching_gain", None, None, _mean(found.all_into_earlier - found.earlier))


def patching_loss(reading: EditedHeads) -> Iterator[HeadValue]:
    """Nats that the earlier step's pattern of one head takes from this step; the reverse of `patching_gain`."""
    found = reading.patched
    yield from _of_heads("patching_loss", found.heads, found.loss)
    yield HeadValue("patching_loss", None, None, _mean(found.later - found.all_into_later))


def _of_heads(measure: str, heads: tuple[Head, ...], nats: Array) -> Iterator[HeadValue]:
    for (layer, head), column in zip(heads, nats.T, strict=True):
        yield HeadValue(measure, layer, head, _mean(column))


def _mean(nats: Array) -> Estimate:
    n, bad = len(nats), int((~np.isfinite(nats)).sum())
    if bad or n < 2:
        return unknown(n, INFINITE, f"non-finite log-probabilities in {bad} of {n} items" if bad else "needs 2 items")
    return Estimate(float(nats.mean()), float(nats.std(ddof=1) / np.sqrt(n)), INFINITE, n)


def _ablated(kind: str, wants_p: bool) -> Callable[..., Iterator[HeadValue]]:
    name = f"ablation_{kind}_p" if wants_p else f"ablation_{kind}"
    ceiling = 1.0 if wants_p else INFINITE

    def compute(reading: EditedHeads, together: int, random_sets: int) -> Iterator[HeadValue]:
        """What switching a head off takes, in nats, or the share of matched random heads that lose as much.

        Of one head the matched ones are all others of its layer, and n of a p counts them; the row of the model is the
        `together` heads with most mass on the target, beside random sets of as many heads of the same layers.
        How it misleads: see `ablation`.
        """
        lost = reading.lost(kind, together, random_sets)

        def estimate(own: int, others: Sequence[int]) -> Estimate:
            found = summary(kind, lost.nats, own, others)
            why = found.reason if np.isnan(found.drop) else ""
            if wants_p:
                return Estimate(found.p, float("nan"), ceiling, len(found.random), why)
            return Estimate(found.drop, found.error, ceiling, found.n, why)

        for own, (layer, head) in enumerate(lost.heads):
            yield HeadValue(name, layer, head, estimate(own, lost.others(own)))
        yield HeadValue(name, None, None, estimate(*lost.best) if lost.best else unknown(0, ceiling, lost.fault))

    return compute


EDITS: dict[str, Callable[..., Any]] = {
    "patching_gain": patching_gain,
    "patching_loss": patching_loss,
    **{f"ablation_{kind}{'_p' * p}": _ablated(kind, p) for kind in (MEAN, RESAMPLE) for p in (False, True)},
}
"""Functions of a reading by the measure's name."""

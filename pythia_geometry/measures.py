"""The one list of what a walk can measure.

A *reading* is what a measure takes of a checkpoint; how each is taken is said in `runs/readings.py`. A *measure* is a
function of one reading, with everything a table, a plan or a picture must know of its number. To add one: its function
in a file of its room, its line here ([docs/add-a-measure.md](../docs/add-a-measure.md)).

A measure's version and settings are part of what identifies a result: raise the version when the code changes a number,
and every run folder computes that measure anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any

from pythia_geometry.attention.head_values import HEAD_MEASURES, copying_values, head_values
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.geometry.decay import alpha_req
from pythia_geometry.geometry.dimension import twonn
from pythia_geometry.geometry.representation import (
    anisotropy,
    participation_ratio,
    rankme,
    rankme_centred,
    rankme_rownorm,
    stable_rank,
)
from pythia_geometry.geometry.similarity import debiased_cka, linear_cka, neighbourhood_overlap, procrustes
from pythia_geometry.weights.entries import weibull
from pythia_geometry.weights.spectra import effective_rank, frobenius_norm, spectral_norm, tail_exponent
from pythia_geometry.weights.spectra import stable_rank as weight_stable_rank
from pythia_geometry.weights.updates import update_measures

RESIDUAL, PAIR, PATTERN = "residual", "pair", "pattern"
SURFACE, WEIGHTS, WEIGHT_PAIR, CIRCUITS = "surface", "weights", "weight pair", "head circuits"
EDITED, MODEL_PAIR = "edited model", "model pair"
LABELLED, WEIGHT_TRIPLE, SURFACE_PAIR = "labelled residual", "three sets of weights", "surface and next weights"
PREDICTIONS = "predictions on a text"
"""Readings, by name."""

PREVIOUS, LAST, NEXT, BOTH_SIDES = "previous", "last", "next", "previous and next"
"""Steps of the selection that a checkpoint can be measured against."""

REPRESENTATION, ATTENTION, CAUSAL = "representation", "attention", "causal"
LANDSCAPE, OF_WEIGHTS, ALL = "landscape", "weights", "all"
READ_OUT, N_GRAMS = "read-out", "n-grams"
GROUPS = (REPRESENTATION, ATTENTION, CAUSAL, READ_OUT, N_GRAMS, LANDSCAPE, OF_WEIGHTS, ALL)

LINEAR, LOG = "linear", "log"
INFINITE = float("inf")


@dataclass(frozen=True)
class Measure:
    """A number of one reading.

    Attributes:
        name: As in the tables and after `--measures`.
        reads: The reading that `compute` is given.
        compute: What it is given depends on the reading (docs/add-a-measure.md); settings come as keyword arguments.
        group: The group of measures that it belongs to.
        unit: What the number counts.
        range: The smallest and the largest value that it can take.
        scale: On which axis it is drawn and tested: `linear` or `log`.
        version: Raised when the code changes a number.
        settings: What else decides the number; kept in the table.
        default: Whether a walk takes it without being asked.
        against: The step that a pair is taken with: `previous`, `last`, `next`, or `previous and next`.
        from_cache: Whether float16, in which activations are cached, moves it by less than 1e-4 of its value. Any other
            is computed in the forward pass or not at all.
        passes: Of a dear reading, what it costs in forward and backward passes over all its examples, roughly; where
            heads are edited, in forward passes over the probes for each head.
        batches: And beside them in passes of one batch of 32 examples.
        shares: Measures of one name here share that work: it is counted once.
        sites: Of a reading with many sites, the names of those that are measured; empty for all.
    """

    name: str
    reads: str
    compute: Callable[..., Any]
    group: str
    unit: str
    range: tuple[float, float] = (0.0, INFINITE)
    scale: str = LINEAR
    version: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    default: bool = False
    against: str = ""
    from_cache: bool = False
    passes: float = 0.0
    batches: float = 0.0
    shares: str = ""
    sites: tuple[str, ...] = ()

    def is_taken_at(self, *names: str) -> bool:
        """Whether it is taken at a site of this name or role."""
        return not self.sites or any(name in self.sites for name in names)

    @property
    def settings_text(self) -> str:
        """The settings as the table holds them: JSON with sorted keys; empty where there are none."""
        shown = dict(self.settings)
        if "n_beta" in shown:  # what counts of the two, and all that two runs can be compared at
            shown["localisation_over_n_beta"] = shown["localisation"] / shown["n_beta"]
        return json.dumps(shown, sort_keys=True) if shown else ""


def _rank(compute: Callable[..., Any], from_cache: bool = False) -> Measure:
    """A count of directions that a cloud fills."""
    return Measure(
        compute.__name__, RESIDUAL, compute, REPRESENTATION, "directions", (1.0, INFINITE), LOG,
        version=2, default=True, from_cache=from_cache,
    )  # fmt: skip


def _cka(name: str, against: str) -> Measure:
    return Measure(
        name, PAIR, linear_cka, REPRESENTATION, "similarity", (0.0, 1.0), default=True, against=against, from_cache=True
    )


def _of_heads(name: str) -> Measure:
    """A number of every attention head."""
    unit, high = HEAD_UNITS.get(name, ("share of attention", 1.0))
    return Measure(name, PATTERN, partial(head_values, measures=(name,)), ATTENTION, unit, (0.0, high))


HEAD_UNITS = {
    "entropy": ("nats", INFINITE),
    "target_selectivity": ("ratio", INFINITE),
    "output_rank": ("directions", INFINITE),
}
"""Units and largest values of head measures that are no share of attention."""


def _of_edits(name: str, unit: str, low: float, passes: float = 1, against: str = "", **settings: Any) -> Measure:
    """What becomes of the answers when heads do something else. Its code needs torch, which loads when it is taken."""

    def compute(reading: Any, **settings: Any) -> Any:
        from pythia_geometry.extraction.attention.edited_heads import EDITS

        return EDITS[name](reading, **settings)

    reads, high = MODEL_PAIR if against else EDITED, 1.0 if unit == "p" else INFINITE
    return Measure(name, reads, compute, CAUSAL, unit, (low, high), settings=settings, against=against, passes=passes)


def _of_surface(
    name: str, unit: str, passes: float, low: float = 0.0, scale: str = LINEAR, shares: str = "", **settings: Any
) -> Measure:
    """A number of a loss surface. Its code needs torch, which loads when it is first taken."""

    def compute(reading: Any, **settings: Any) -> Any:
        from pythia_geometry.landscape.measured import SURFACE_MEASURES

        return SURFACE_MEASURES[name](reading, **settings)

    bounds = (low, INFINITE)
    return Measure(
        name, SURFACE, compute, LANDSCAPE, unit, bounds, scale, settings=settings, passes=passes,
        batches=batches_of_chains(settings), shares=shares,
    )  # fmt: skip


def batches_of_chains(settings: Mapping[str, Any]) -> float:
    """Passes of one batch of 32 examples that chains of these settings cost; none where they are of no chains."""
    if "chains" not in settings:
        return 0.0
    return float(settings["chains"] * (settings["burn_in"] + settings["draws"]) * settings["batch"] / 32)


def _of_gram(name: str, unit: str, **more: Any) -> Measure:
    """A number of the Gram matrix of the examples' gradients, which is computed once for all of them."""
    return _of_surface(name, unit, 2, shares="gradients", **more)


def _sharpness() -> Measure:
    """Along the way to the next step of the walk."""

    def compute(surface: Any, following: Any, start: Any) -> Any:
        from pythia_geometry.landscape.measured import SURFACE_MEASURES

        return SURFACE_MEASURES["checkpoint_sharpness"](surface, following, start)

    return Measure(
        "checkpoint_sharpness", SURFACE_PAIR, compute, LANDSCAPE, "per squared way", against=NEXT, passes=6, scale=LOG
    )


def _decoding(name: str, low: float = 0.0, sites: tuple[str, ...] = ()) -> Measure:
    """What a linear read-out finds, by layer and answer position."""
    return Measure(
        name, LABELLED, lambda labelled: labelled.found[name], READ_OUT, "accuracy", (low, 1.0), sites=sites,
        passes=0.5, shares="rows",
    )  # fmt: skip


def _divergence(name: str) -> Measure:
    """How far predictions on a text are from its n-grams."""
    return Measure(name, PREDICTIONS, lambda predictions: predictions.mean(name), N_GRAMS, "nats")


LLC_SETTINGS: dict[str, Any] = {
    "step": 3.2e-6, "n_beta": 300.0, "localisation": 300.0, "chains": 2, "burn_in": 2080, "draws": 4400, "batch": 8,
    "seed": 0, "preconditioned": False, "only": "",
}  # fmt: skip
"""Of the local learning coefficient, where `--llc` does not change them: the same at every step."""


def _of_matrix(
    name: str, compute: Callable[..., Any], unit: str, scale: str = LOG, sites: tuple[str, ...] = (), version: int = 1
) -> Measure:
    """A number of every weight matrix, or of those with a role."""
    return Measure(name, WEIGHTS, compute, OF_WEIGHTS, unit, scale=scale, version=version, sites=sites)


def _update(name: str, unit: str) -> Measure:
    """How far every matrix, and all of them together, moved since the step before."""
    return Measure(
        name, WEIGHT_PAIR, lambda now, before: update_measures(before, now)[name], OF_WEIGHTS, unit, against=PREVIOUS
    )


def _beside(name: str, compute: Callable[..., Any], against: str, low: float = 0.0) -> Measure:
    """A similarity of two clouds that is taken on request."""
    return Measure(name, PAIR, compute, REPRESENTATION, "similarity", (low, 1.0), against=against, from_cache=True)


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        _rank(rankme),
        _rank(rankme_centred),
        _rank(rankme_rownorm),
        _rank(participation_ratio, from_cache=True),
        _rank(stable_rank, from_cache=True),
        Measure(
            "anisotropy",
            RESIDUAL,
            anisotropy,
            REPRESENTATION,
            "cosine",
            (-1.0, 1.0),
            version=2,
            default=True,
            from_cache=True,
        ),
        Measure("twonn", RESIDUAL, twonn, REPRESENTATION, "dimensions", default=True),
        _cka("cka_previous", PREVIOUS),
        _cka("cka_last", LAST),
        Measure("alpha_req", RESIDUAL, lambda cloud: alpha_req(cloud)["alpha_req"], REPRESENTATION, "exponent"),
        _beside("debiased_cka_previous", debiased_cka, PREVIOUS, -1.0),
        _beside("debiased_cka_last", debiased_cka, LAST, -1.0),
        _beside("procrustes_previous", procrustes, PREVIOUS),
        _beside("procrustes_last", procrustes, LAST),
        _beside("overlap_previous", neighbourhood_overlap, PREVIOUS),
        _beside("overlap_last", neighbourhood_overlap, LAST),
        *map(_of_heads, HEAD_MEASURES),
        Measure("copying_score", CIRCUITS, copying_values, OF_WEIGHTS, "share", (-1.0, 1.0)),
        _of_edits("patching_gain", "nats", -INFINITE, against=PREVIOUS),
        _of_edits("patching_loss", "nats", -INFINITE, against=PREVIOUS),
        _of_edits("ablation_mean", "nats", -INFINITE, together=2, random_sets=20),
        _of_edits("ablation_mean_p", "p", 0.0, passes=0, together=2, random_sets=20),  # of the same passes
        _of_edits("ablation_resample", "nats", -INFINITE, together=2, random_sets=20),
        _of_edits("ablation_resample_p", "p", 0.0, passes=0, together=2, random_sets=20),
        _of_matrix("weight_rank", lambda m: effective_rank(m.sigma), "directions", version=2),
        _of_matrix(
            "unembedding_rank", lambda m: effective_rank(m.sigma), "directions", sites=("unembedding",), version=2
        ),
        _of_matrix("weight_stable_rank", lambda m: weight_stable_rank(m.sigma), "directions"),
        _of_matrix("weight_norm", lambda m: frobenius_norm(m.sigma), "weight"),
        _of_matrix("weight_spectral_norm", lambda m: spectral_norm(m.sigma), "weight"),
        _of_matrix("weight_tail", lambda m: tail_exponent(m.sigma), "exponent", LINEAR, version=2),
        _of_matrix("weibull_shape", lambda m: weibull(m.values)["weibull_shape"], "exponent", LINEAR),
        _of_matrix("weibull_scale", lambda m: weibull(m.values)["weibull_scale"], "weight"),
        _update("update_size", "weight"),
        _update("update_relative", "share"),
        Measure(
            "update_cosine",
            WEIGHT_TRIPLE,
            lambda now, before, after: update_measures(before, now, after)["update_cosine"],
            OF_WEIGHTS,
            "cosine",
            (-1.0, 1.0),
            against=BOTH_SIDES,
        ),
        _decoding("decoding"),
        _decoding("decoding_control"),
        _decoding("decoding_selectivity", low=-1.0),
        _decoding("decoding_majority", sites=("final_norm",)),
        _decoding("decoding_own", sites=("final_norm",)),
        _divergence("unigram_kl"),
        _divergence("bigram_kl"),
        _of_gram("fisher_rank", "directions", scale=LOG),
        _of_surface("fisher_rank_true", "directions", 3, scale=LOG),
        _of_surface("fisher_rank_leading", "directions", 2, scale=LOG, leading=50_000),
        _of_gram("covariance_rank", "directions", scale=LOG),
        _of_gram("gradient_rank_unit", "directions", scale=LOG),
        _of_gram("gradient_participation", "directions", scale=LOG),
        _of_gram("gradient_cosine", "cosine", low=-1.0),
        _of_gram("gradient_largest_share", "share"),
        _of_gram("noise_scale", "examples", scale=LOG),
        _of_surface("hessian_top", "nats per squared weight", 60, low=-INFINITE),
        _of_surface("hessian_bottom", "nats per squared weight", 200, low=-INFINITE),
        _of_surface("hessian_trace", "nats per squared weight", 200, low=-INFINITE),
        _of_surface("hessian_negative_share", "share", 300),
        _of_surface("llc", "parameters", 45, shares="chains", **LLC_SETTINGS),
        _of_surface("llc_task_rise", "nats", 45, low=-INFINITE, shares="chains", **LLC_SETTINGS),
        _sharpness(),
    )
}


def chosen_measures(names: Sequence[str]) -> tuple[Measure, ...]:
    """The measures that a selection means, in the order of the list.

    Args:
        names: Names of measures and of groups; empty for those that a walk takes by default.

    Raises:
        PythiaGeometryError: If a name is neither.
    """
    for name in names:
        if name not in MEASURES and name not in GROUPS:
            close = get_close_matches(name, [*MEASURES, *GROUPS], n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise PythiaGeometryError(
                f"--measures {name!r} is not one of: {', '.join(MEASURES)}; nor a group of them: "
                f"{', '.join(GROUPS)}.{hint}"
            )
    wanted = set(names)
    return tuple(
        m
        for m in MEASURES.values()
        if (m.default if not names else m.name in wanted or m.group in wanted or ALL in wanted)
    )

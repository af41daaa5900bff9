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

from pythia_geometry.attention.head_values import HEAD_MEASURES, head_values
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
SURFACE, WEIGHTS, WEIGHT_PAIR, MODEL_PAIR = "surface", "weights", "weight pair", "model pair"
"""Readings, by name."""

PREVIOUS, LAST = "previous", "last"
"""Steps of the selection that a checkpoint can be measured against."""

REPRESENTATION, ATTENTION, LANDSCAPE, OF_WEIGHTS, ALL = "representation", "attention", "landscape", "weights", "all"
GROUPS = (REPRESENTATION, ATTENTION, LANDSCAPE, OF_WEIGHTS, ALL)

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
        against: The step that a pair is taken with: `previous` or `last`.
        from_cache: Whether float16, in which activations are cached, moves it by less than 1e-4 of its value. Any other
            is computed in the forward pass or not at all.
        passes: Of a dear reading, how many forward passes over the examples it costs, roughly: for the plan.
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
    sites: tuple[str, ...] = ()

    def is_taken_at(self, *names: str) -> bool:
        """Whether it is taken at a site of this name or role."""
        return not self.sites or any(name in self.sites for name in names)

    @property
    def settings_text(self) -> str:
        """The settings as the table holds them: JSON with sorted keys; empty where there are none."""
        return json.dumps(dict(self.settings), sort_keys=True) if self.settings else ""


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


def _of_surface(name: str, unit: str, passes: float, low: float = 0.0, scale: str = LINEAR, **settings: Any) -> Measure:
    """A number of a loss surface. Its code needs torch, which loads when it is first taken."""

    def compute(reading: Any, **settings: Any) -> Any:
        from pythia_geometry.landscape.measured import SURFACE_MEASURES

        return SURFACE_MEASURES[name](reading, **settings)

    bounds = (low, INFINITE)
    return Measure(name, SURFACE, compute, LANDSCAPE, unit, bounds, scale, settings=settings, passes=passes)


def _of_matrix(
    name: str, compute: Callable[..., Any], unit: str, scale: str = LOG, sites: tuple[str, ...] = ()
) -> Measure:
    """A number of every weight matrix, or of those with a role."""
    return Measure(name, WEIGHTS, compute, OF_WEIGHTS, unit, scale=scale, sites=sites)


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
        _of_matrix("weight_rank", lambda m: effective_rank(m.sigma), "directions"),
        _of_matrix("unembedding_rank", lambda m: effective_rank(m.sigma), "directions", sites=("unembedding",)),
        _of_matrix("weight_stable_rank", lambda m: weight_stable_rank(m.sigma), "directions"),
        _of_matrix("weight_norm", lambda m: frobenius_norm(m.sigma), "weight"),
        _of_matrix("weight_spectral_norm", lambda m: spectral_norm(m.sigma), "weight"),
        _of_matrix("weight_tail", lambda m: tail_exponent(m.sigma), "exponent", LINEAR),
        _of_matrix("weibull_shape", lambda m: weibull(m.values)["weibull_shape"], "exponent", LINEAR),
        _of_matrix("weibull_scale", lambda m: weibull(m.values)["weibull_scale"], "weight"),
        _update("update_size", "weight"),
        _update("update_relative", "share"),
        _of_surface("fisher_rank", "directions", 10, scale=LOG),
        _of_surface("fisher_rank_true", "directions", 10, scale=LOG),
        _of_surface("fisher_rank_leading", "directions", 10, scale=LOG, leading=50_000),
        _of_surface("covariance_rank", "directions", 0, scale=LOG),  # of the same Gram matrix, as are the next five
        _of_surface("gradient_rank_unit", "directions", 0, scale=LOG),
        _of_surface("gradient_participation", "directions", 0, scale=LOG),
        _of_surface("gradient_cosine", "cosine", 0, low=-1.0),
        _of_surface("gradient_largest_share", "share", 0),
        _of_surface("noise_scale", "examples", 0, scale=LOG),
        _of_surface("hessian_top", "nats per squared weight", 160, low=-INFINITE),
        _of_surface("hessian_bottom", "nats per squared weight", 500, low=-INFINITE),
        _of_surface("hessian_trace", "nats per squared weight", 500, low=-INFINITE),
        _of_surface("hessian_negative_share", "share", 1000),
        _of_surface("llc", "parameters", 6000, step=1e-4, n_beta=100.0, localisation=10.0),
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

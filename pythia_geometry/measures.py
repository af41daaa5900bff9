"""The measures that a walk computes for every layer, by name.

A measure's version is part of what identifies a result: raise it when the code changes a number, and
every run folder computes that measure anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pythia_geometry.geometry.cloud import Cloud, Estimate
from pythia_geometry.geometry.dimension import twonn
from pythia_geometry.geometry.representation import (
    anisotropy,
    participation_ratio,
    rankme,
    rankme_centred,
    rankme_rownorm,
    stable_rank,
)
from pythia_geometry.geometry.similarity import linear_cka


@dataclass(frozen=True)
class Measure:
    """A number of one cloud of activations."""

    name: str
    version: int
    compute: Callable[[Cloud], Estimate]


@dataclass(frozen=True)
class Comparison:
    """A number of two clouds: this checkpoint's and that of the `previous` or the `last` step of the selection."""

    name: str
    version: int
    compute: Callable[[Cloud, Cloud], Estimate]
    reference: str


MEASURES = {
    m.name: m
    for m in (
        Measure("rankme", 1, rankme),
        Measure("rankme_centred", 1, rankme_centred),
        Measure("rankme_rownorm", 1, rankme_rownorm),
        Measure("participation_ratio", 1, participation_ratio),
        Measure("stable_rank", 1, stable_rank),
        Measure("anisotropy", 1, anisotropy),
        Measure("twonn", 1, twonn),
    )
}

COMPARISONS = {
    c.name: c
    for c in (
        Comparison("cka_previous", 1, linear_cka, "previous"),
        Comparison("cka_last", 1, linear_cka, "last"),
    )
}

"""The measures of a loss surface by name: what several of them share is computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pythia_geometry.geometry.cloud import Estimate, unknown
from pythia_geometry.landscape.density import Density, hessian_negative_share, spectral_density
from pythia_geometry.landscape.gradients import (
    covariance_rank,
    fisher_rank,
    gradient_cosine,
    gradient_largest_share,
    gradient_participation,
    gradient_rank_unit,
    noise_scale,
)
from pythia_geometry.landscape.gram import ALL, gradient_grams
from pythia_geometry.landscape.hessian import both_ends, hessian_top, hessian_trace
from pythia_geometry.landscape.llc import Llc, llc
from pythia_geometry.landscape.operator import Hessian
from pythia_geometry.landscape.parts import restricted
from pythia_geometry.landscape.sgld import Sampling
from pythia_geometry.landscape.sharpness import checkpoint_sharpness
from pythia_geometry.landscape.surface import Surface
from pythia_geometry.landscape.tokens import with_sampled_labels

Found = Estimate | Mapping[str, Estimate]
"""One number of the surface; or of a mixture one for each task, by name, with the whole's under the empty name."""


class SurfaceReading:
    """A loss surface at one checkpoint, with what its measures share.

    Args:
        surface: The surface.
        tasks: Of a mixture, the task of every example; empty otherwise.
    """

    def __init__(self, surface: Surface, tasks: Sequence[str] = ()) -> None:
        self.surface = surface
        self.tasks = tuple(tasks)
        self._llc: dict[tuple[tuple[str, Any], ...], Llc] = {}

    def llc(self, only: str = "", **settings: Any) -> Llc:
        """The local learning coefficient and its tasks' rises, from chains that are run once.

        Args:
            only: The part of the parameters that may move, as in `parts.restricted`; all if empty.
            **settings: Of `Sampling`.
        """
        key = (("only", only), *sorted(settings.items()))
        if key not in self._llc:
            names = sorted(set(self.tasks))
            numbers = torch.tensor([names.index(task) for task in self.tasks]) if names else None
            self._llc[key] = llc(restricted(self.surface, only), Sampling(**settings), numbers, names)
        return self._llc[key]

    @cached_property
    def gram(self) -> NDArray[np.float64]:
        """Inner products of the examples' gradients [n, n]."""
        return gradient_grams(self.surface)[ALL]

    @cached_property
    def true_gram(self) -> NDArray[np.float64]:
        """The same with labels drawn from the model."""
        return gradient_grams(with_sampled_labels(self.surface))[ALL]

    @cached_property
    def hessian(self) -> Hessian:
        """The Hessian of the mean loss, by products."""
        return Hessian(self.surface)

    @cached_property
    def ends(self) -> Mapping[str, Estimate]:
        """Both ends of the spectrum from one Lanczos run."""
        return both_ends(self.hessian, self.surface.n)

    @cached_property
    def density(self) -> Density:
        """Spectral density."""
        return spectral_density(self.hessian)


def _llc(reading: SurfaceReading, **settings: Any) -> Found:
    return reading.llc(**settings).estimate


def _task_rise(reading: SurfaceReading, **settings: Any) -> Found:
    if not reading.tasks:
        return unknown(reading.surface.n, float("inf"), "this loss is not a mixture of tasks")
    return reading.llc(**settings).tasks


def _leading_rank(reading: SurfaceReading, leading: int) -> Estimate:
    return fisher_rank(gradient_grams(reading.surface, leading=leading)[ALL])


SURFACE_MEASURES: Mapping[str, Callable[..., Found]] = {
    "fisher_rank": lambda reading: fisher_rank(reading.gram),
    "fisher_rank_true": lambda reading: fisher_rank(reading.true_gram),
    "fisher_rank_leading": _leading_rank,
    "covariance_rank": lambda reading: covariance_rank(reading.gram),
    "gradient_rank_unit": lambda reading: gradient_rank_unit(reading.gram),
    "gradient_participation": lambda reading: gradient_participation(reading.gram),
    "gradient_cosine": lambda reading: gradient_cosine(reading.gram),
    "gradient_largest_share": lambda reading: gradient_largest_share(reading.gram),
    "noise_scale": lambda reading: noise_scale(reading.gram),
    "hessian_top": lambda reading: hessian_top(reading.hessian),
    "hessian_bottom": lambda reading: reading.ends["hessian_bottom"],
    "hessian_trace": lambda reading: hessian_trace(reading.hessian, reading.surface.n),
    "hessian_negative_share": lambda reading: hessian_negative_share(reading.density, reading.surface.n),
    "llc": _llc,
    "llc_task_rise": _task_rise,
    "checkpoint_sharpness": checkpoint_sharpness,
}
"""By name, what each takes of a reading."""

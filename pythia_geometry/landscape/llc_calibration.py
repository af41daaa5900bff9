"""Which settings of the local learning coefficient can be believed at one checkpoint, and which to take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from pythia_geometry.landscape.llc import Llc, judge, look_around
from pythia_geometry.landscape.sgld import Chains, Sampling, run_chains
from pythia_geometry.landscape.surface import Surface


@dataclass(frozen=True)
class Tried:
    """One setting and what it gave."""

    sampling: Sampling
    found: Llc

    @property
    def is_sound(self) -> bool:
        """Whether nothing speaks against the number."""
        return not self.found.estimate.reason


@dataclass(frozen=True)
class Grid:
    """What to try.

    Attributes:
        steps: Step sizes ε.
        localisations: Strengths γ.
        draws: Chain lengths; only the longest is run, the others are its beginnings.
    """

    steps: tuple[float, ...]
    localisations: tuple[float, ...]
    draws: tuple[int, ...]


def calibrate(
    surface: Surface, base: Sampling, grid: Grid, watch: Callable[[Tried], None] = lambda _: None
) -> list[Tried]:
    """λ̂ over a grid of step size, localisation and chain length, at one checkpoint.

    Where curvatures spread over decades λ̂ falls smoothly with γ: a grid that shows no plateau has none to show.

    Args:
        surface: At the checkpoint.
        base: What is not in the grid; its step, localisation and draws are not used.
        grid: What to try.
        watch: Called with every result as it is there.

    Returns:
        One entry a setting, in the order of the grid.
    """
    start = look_around(surface, base)
    tried = []
    for step, localisation in product(grid.steps, grid.localisations):
        longest = replace(base, step=step, localisation=localisation, draws=max(grid.draws))
        chains = run_chains(surface, longest, start.losses)
        for draws in sorted(grid.draws):
            sampling = replace(longest, draws=draws)
            result = Tried(sampling, judge(surface, sampling, start, _beginning(chains, sampling.steps)))
            watch(result)
            tried.append(result)
    return tried


def proposal(tried: Sequence[Tried]) -> Tried | None:
    """The sound setting with the least localisation, then the fewest steps, then the smallest step; None if none is.

    The least localisation counts the most directions; the rest is cost and bias.
    """
    sound = [t for t in tried if t.is_sound]
    return min(sound, key=lambda t: (t.sampling.localisation, t.sampling.steps, t.sampling.step), default=None)


def complaints(tried: Sequence[Tried]) -> Iterator[tuple[str, int]]:
    """What spoke against the settings, and how often: what a user is told where there is no proposal."""
    heads = [reason.split(":")[0] for t in tried for reason in t.found.estimate.reason.split("; ") if reason]
    return ((head, heads.count(head)) for head in sorted(set(heads), key=lambda h: -heads.count(h)))


def _beginning(chains: Chains, steps: int) -> Chains:
    return replace(
        chains,
        rises=chains.rises[:, :steps],
        squared_distances=chains.squared_distances[:, :steps],
        task_rises=chains.task_rises[:, :steps],
    )

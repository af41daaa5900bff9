"""Chains of stochastic gradient Langevin dynamics around a checkpoint.

One step, with ξ standard normal, w₀ the checkpoint and b a batch of the surface's examples:
    w ← w − (ε/2) D [nβ ∇L_b(w) + γ (w − w₀)] + √(ε D) ξ,     D = 1, or fixed after burn-in (RMSProp).
Every draw records how far the loss of *its own batch* has risen above that batch's loss at w₀: the reference is exact
and its error drops out. First derivatives only, so any attention kernel will do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.landscape.surface import Surface, flat, shaped

Array = NDArray[np.float64]
_MEMORY, _FLOOR = 0.99, 0.1  # of the squared gradient, and what is added to its root, as in devinterp's rmsprop_sgld
MOST_STEPS = 10**8  # of all chains together: what is recorded of them is then about 2 GB


@dataclass(frozen=True)
class Sampling:
    """Settings of the chains; compare checkpoints only where all of them are the same.

    Attributes:
        step: Step size ε.
        n_beta: Inverse temperature nβ of the mean loss.
        localisation: Strength γ of the pull towards the checkpoint.
        chains: Independent chains.
        burn_in: Steps of each chain that are not used.
        draws: Steps of each chain that are.
        batch: Examples a step.
        seed: Of batches and noise.
        preconditioned: Whether each direction's step size follows RMSProp, adapted during burn-in and then fixed, so
            that what is sampled stays the posterior.
    """

    step: float
    n_beta: float
    localisation: float
    chains: int = 4
    burn_in: int = 500
    draws: int = 1500
    batch: int = 32
    seed: int = 0
    preconditioned: bool = False

    def __post_init__(self) -> None:
        """Refuses settings that no chain can run with."""
        numbers = (self.step, self.n_beta, self.localisation)
        if not all(map(math.isfinite, numbers)) or min(numbers[:2]) <= 0 or min(self.localisation, self.burn_in) < 0:
            raise PythiaGeometryError(
                "SGLD needs step and n_beta above 0, localisation and burn_in of 0 or more, all of them finite; got "
                f"step {self.step}, n_beta {self.n_beta}, localisation {self.localisation}, burn_in {self.burn_in}"
            )
        if self.chains < 1 or self.draws < 16 or self.batch < 1:
            raise PythiaGeometryError(
                f"SGLD needs a chain, a batch of 1 and at least 16 draws; got chains {self.chains}, "
                f"batch {self.batch}, draws {self.draws}"
            )
        if self.chains * self.steps > MOST_STEPS:
            raise PythiaGeometryError(
                f"SGLD keeps a record of every step, {MOST_STEPS:,} at most; got chains {self.chains} of "
                f"{self.steps:,} steps"
            )
        if self.preconditioned and not self.burn_in:
            raise PythiaGeometryError("SGLD adapts its step sizes during burn-in: preconditioned needs burn_in above 0")
        if self.seed < 0:
            raise PythiaGeometryError(f"SGLD needs a seed of 0 or more; got {self.seed}")

    @property
    def steps(self) -> int:
        """Steps of each chain; a step is one forward and one backward pass of a batch."""
        return self.burn_in + self.draws

    @property
    def relaxation(self) -> float:
        """Steps in which a flat direction forgets where it was: 2/(ε γ), infinite without localisation."""
        return 2 / (self.step * self.localisation) if self.localisation > 0 else float("inf")


class Chance:
    """Where batches and noise come from. Tests put another sampler's in its place."""

    def __init__(self, n: int, sampling: Sampling) -> None:
        self.n = n
        self.sampling = sampling

    def batches(self, chain: int) -> Iterator[Tensor]:
        """Row numbers of one batch after another, each drawn afresh.

        Passes over all examples would not do: the batches still to come pull against those that moved the weights, so
        that noisy batches would seem to raise the loss more than they do.
        """
        generator = torch.Generator().manual_seed(_seed(self.sampling.seed, chain, 0))
        size = min(self.sampling.batch, self.n)
        while True:
            yield torch.randperm(self.n, generator=generator)[:size]

    def one_pass(self) -> Sequence[Tensor]:
        """Row numbers of random batches that cover all examples once; the last may be incomplete."""
        generator = torch.Generator().manual_seed(_seed(self.sampling.seed, self.sampling.chains, 2))
        parts: tuple[Tensor, ...] = torch.randperm(self.n, generator=generator).split(min(self.sampling.batch, self.n))
        return parts

    def noise(self, chain: int, like: Tensor) -> Iterator[Tensor]:
        """Standard normal vectors, one a step."""
        generator = torch.Generator(like.device).manual_seed(_seed(self.sampling.seed, chain, 1))
        while True:
            yield torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


@dataclass(frozen=True)
class Chains:
    """What was recorded before every step.

    Attributes:
        rises: Mean loss of the batch minus that of the same batch at the checkpoint [chains, steps].
        squared_distances: ‖w − w₀‖² [chains, steps].
        task_rises: The same rises over the batch's examples of each task [chains, steps, tasks]; NaN where it has none.
        preconditioner: D [P] of the first chain, or 1.
    """

    rises: Array
    squared_distances: Array
    task_rises: Array
    preconditioner: Tensor

    @property
    def fault(self) -> str:
        """Where the first chain left the numbers, if one did."""
        bad = np.argwhere(~np.isfinite(self.rises))
        return f"non-finite loss at step {bad[0][1]} of chain {bad[0][0]}" if len(bad) else ""


def run_chains(
    surface: Surface,
    sampling: Sampling,
    reference: Tensor,
    tasks: Tensor | None = None,
    chance: Chance | None = None,
) -> Chains:
    """Runs all chains, one after the other, on copies of the weights.

    Args:
        surface: At the checkpoint; `only` restricts what moves (a block, a head's matrices: the refined LLC).
        sampling: Settings.
        reference: Loss of every example at the checkpoint [n].
        tasks: Task number of every example [n], from 0; no task is told apart if None.
        chance: Where batches and noise come from.
    """
    chance = chance or Chance(surface.n, sampling)
    n_tasks = 0 if tasks is None else int(tasks.max()) + 1
    shape = (sampling.chains, sampling.steps)
    rises, distances = np.full(shape, np.nan), np.full(shape, np.nan)
    task_rises = np.full((*shape, n_tasks), np.nan)
    first: Tensor | None = None
    for number in range(sampling.chains):
        chain = _Chain(surface, sampling)
        noise = chance.noise(number, chain.now)
        batches = chance.batches(number)
        for step in range(sampling.steps):
            index = next(batches)
            distances[number, step] = chain.squared_distance
            rise = chain.advance(index, next(noise), adapts=step < sampling.burn_in) - reference[index]
            rises[number, step] = float(rise.double().mean())
            if tasks is not None:
                task_rises[number, step] = _by_task(rise, tasks[index], n_tasks)
            if not np.isfinite(rises[number, step]):
                break
        first = chain.preconditioner if first is None else first
    assert first is not None
    return Chains(rises, distances, task_rises, first)


class _Chain:
    """The weights of one chain, as one vector."""

    def __init__(self, surface: Surface, sampling: Sampling) -> None:
        self.surface = surface
        self.sampling = sampling
        self.start = flat(surface.weights).clone()
        self.now = self.start.clone()
        self.preconditioner = torch.ones((), device=self.now.device, dtype=self.now.dtype)
        self.squares = torch.zeros_like(self.now) if sampling.preconditioned else None
        self.adapted = 0

    @property
    def squared_distance(self) -> float:
        return float((self.now - self.start).double().square().sum())

    def advance(self, index: Tensor, noise: Tensor, adapts: bool) -> Tensor:
        """One step; returns the losses of the batch before it [B]."""
        setting = self.sampling
        leaves = {name: w.detach().requires_grad_() for name, w in shaped(self.now, self.surface.weights).items()}
        losses = self.surface.losses_at(leaves, self.surface.rows(index))
        pull = flat(torch.autograd.grad(losses.mean(), list(leaves.values()), materialize_grads=True))
        if self.squares is not None and adapts:
            self._adapt(pull)
        pull.mul_(setting.n_beta).add_(self.now - self.start, alpha=setting.localisation).mul_(self.preconditioner)
        self.now.add_(pull, alpha=-setting.step / 2)
        self.now.add_(noise.mul_(self.preconditioner.sqrt()), alpha=setting.step**0.5)
        return losses.detach().cpu()

    def _adapt(self, gradient: Tensor) -> None:
        assert self.squares is not None
        self.squares.mul_(_MEMORY).addcmul_(gradient, gradient, value=1 - _MEMORY)
        self.adapted += 1
        self.preconditioner = 1 / ((self.squares / (1 - _MEMORY**self.adapted)).sqrt() + _FLOOR)


def _by_task(rise: Tensor, tasks: Tensor, n_tasks: int) -> Array:
    counts = torch.bincount(tasks, minlength=n_tasks).double()
    sums = torch.zeros(n_tasks, dtype=torch.float64).index_add_(0, tasks, rise.double())
    return np.asarray((sums / counts).numpy())  # 0 / 0 is NaN: no example of that task


def _seed(seed: int, chain: int, purpose: int) -> int:
    return int(np.random.SeedSequence([seed, chain, purpose]).generate_state(1)[0])

"""The local learning coefficient, and when not to believe it.

Its standard error sees none of the faults that matter: chains agree to 0.3 % while step size, localisation or
batch noise put the answer off by 14, 47 and 257 %, and R̂ is 1.0 all the while. So every known fault is predicted or
measured by itself, and becomes a reason on the row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pythia_geometry.geometry.cloud import Estimate, unknown
from pythia_geometry.landscape.hessian import NotConvergedError, top_eigenpair
from pythia_geometry.landscape.operator import Hessian
from pythia_geometry.landscape.sgld import Chains, Chance, Sampling, run_chains
from pythia_geometry.landscape.surface import Surface, flat

Array = NDArray[np.float64]

LARGEST_STEP_BIAS = 0.05
LARGEST_INFLATION = 0.10
RELAXATIONS = 3.0
FREE_DIFFUSION = 0.41  # of the free walk's distance: where a flat direction is after three relaxations
LARGEST_GROWTH = 1.1  # of the squared distance, from the first half of the draws to the second
LARGEST_SLOPE = 0.1  # of ln λ̂ on ln γ
APPROACH = 2.0  # fluctuations of the squared distance that may be left of its approach when that slope is read
SHARPEST_LOST = 0.05
LARGEST_DESCENT = 0.1  # of λ̂
CURVATURE_ROWS = 256


@dataclass(frozen=True)
class Start:
    """What one pass over the examples at the checkpoint tells before any chain runs.

    Attributes:
        losses: Of every example [n].
        gradient: Of their mean [P].
        batch_variance: Of each coordinate of the mean gradient over a batch [P].
        bend: Curvature along the gradient.
        known: The largest curvature once it has been asked for: it is the same for all settings that do not adapt.
    """

    losses: Tensor
    gradient: Tensor
    batch_variance: Tensor
    bend: float
    known: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Llc:
    """The coefficient, with what speaks for and against it.

    Attributes:
        estimate: λ̂, its error, and the reasons not to believe it.
        tasks: nβ times the mean rise of each task's own loss while the *mixture* is sampled. The mean over the
            mixture's examples is λ̂; none of them is that task's own coefficient.
        diagnostics: Numbers behind the reasons, by name.
    """

    estimate: Estimate
    tasks: Mapping[str, Estimate] = field(default_factory=dict)
    diagnostics: Mapping[str, float] = field(default_factory=dict)


def llc(
    surface: Surface,
    sampling: Sampling,
    tasks: Tensor | None = None,
    names: Sequence[str] = (),
    chance: Chance | None = None,
) -> Llc:
    """Local learning coefficient λ̂ = nβ · E[L_b(w) − L_b(w₀)], with w sampled around the checkpoint w₀.

    An effective number of parameters: half their number on a parabola, fewer where the surface is degenerate. Range
    above 0; no unit.

    How it misleads: it is a count of the directions whose curvature exceeds γ/nβ, so a number means nothing without
    γ/nβ, and checkpoints compare only at one setting; where curvatures spread over decades no γ is right and
    the order of models is all that survives. It presumes a minimum of *this* loss: on a task that a mixture-trained
    model has not finished it measures descent (−141 at step 0 of a lab run, negative to step 2600). Any `reason` means:
    do not read the value. The error, from batch means and between chains, sees no bias at all.

    Args:
        surface: The training mixture's examples at the checkpoint.
        sampling: Settings, the same for all checkpoints.
        tasks: Task number of every example [n].
        names: Names of the tasks, in the order of their numbers.
        chance: Where batches and noise come from.

    Returns:
        The coefficient, the tasks' loss rises and the diagnostics. Costs chains × (burn-in + draws) steps, one pass
        over the examples, and about 15 Hessian products of 256 examples (which need attention that can be
        differentiated twice).

    Source: Lau et al. 2023 (arXiv 2308.12108), section 4; reference loss on the same batches, and the reasons, ours.
    """
    start = look_around(surface, sampling)
    return judge(surface, sampling, start, run_chains(surface, sampling, start.losses, tasks, chance), names)


def look_around(surface: Surface, sampling: Sampling) -> Start:
    """Losses, gradient and gradient noise at the checkpoint, in one pass over all examples."""
    size = min(sampling.batch, surface.n)
    losses = torch.empty(surface.n, dtype=next(iter(surface.weights.values())).dtype)
    sums = torch.zeros(surface.n_parameters, device=surface.device)
    batch_sums, squares, whole = torch.zeros_like(sums), torch.zeros_like(sums), 0
    for index in Chance(surface.n, sampling).one_pass():
        leaves = surface.leaves()
        mine = surface.losses_at(leaves, surface.rows(index))
        gradient = flat(torch.autograd.grad(mine.mean(), list(leaves.values()), materialize_grads=True))
        losses[index] = mine.detach().cpu()
        sums.add_(gradient, alpha=len(index) / surface.n)
        if len(index) == size:
            batch_sums += gradient
            squares += gradient**2
            whole += 1
    variance = torch.zeros_like(sums)
    if size < surface.n:
        variance = (squares - batch_sums**2 / whole).clamp(min=0) / (whole - 1) if whole > 1 else variance * math.nan
    bend = 0.0
    if float(sums.norm()) > 0:
        along = sums / sums.norm()
        bend = float(along @ Hessian(surface.first(CURVATURE_ROWS)).times(along))
    return Start(losses, sums, variance, bend)


def judge(surface: Surface, sampling: Sampling, start: Start, chains: Chains, names: Sequence[str] = ()) -> Llc:
    """From chains to a number with reasons."""
    n = surface.n
    ceiling = surface.n_parameters / 2
    if chains.fault:
        return Llc(unknown(n, ceiling, chains.fault), {name: unknown(n, ceiling, chains.fault) for name in names})
    rises = sampling.n_beta * chains.rises[:, sampling.burn_in :]
    value, error = float(rises.mean()), standard_error(rises)
    found = _diagnostics(surface, sampling, start, chains, value)
    reasons = _reasons(sampling, found, rises, value)
    tasks = {
        name: _task_rise(sampling.n_beta * chains.task_rises[:, sampling.burn_in :, k], ceiling, reasons)
        for k, name in enumerate(names)
    }
    return Llc(Estimate(value, error, ceiling, n, "; ".join(reasons)), tasks, found)


def standard_error(draws: Array) -> float:
    """Error of the mean of draws [chains, draws]: by batch means within chains, or between chains if that is more."""
    within = math.sqrt(np.mean([_batch_means_error(chain) ** 2 for chain in draws]) / len(draws))
    between = float(draws.mean(axis=1).std(ddof=1) / math.sqrt(len(draws))) if len(draws) > 1 else 0.0
    return max(within, between)


def _batch_means_error(chain: Array) -> float:
    """Standard error of a correlated series' mean, from √length batches of √length draws."""
    size = int(math.sqrt(len(chain)))
    means = chain[len(chain) % size :].reshape(-1, size).mean(axis=1)
    return float(means.std(ddof=1) / math.sqrt(len(means)))


def _diagnostics(surface: Surface, sampling: Sampling, start: Start, chains: Chains, value: float) -> dict[str, float]:
    eps, n_beta, gamma = sampling.step, sampling.n_beta, sampling.localisation
    distances = chains.squared_distances[:, sampling.burn_in :]
    scale = chains.preconditioner
    top = _top(surface, scale, start.known)
    mean_scale = float(scale.mean())
    stiffness = n_beta * max(start.bend, 0.0) + gamma
    square = float(start.gradient.double().square().sum())
    slope, slope_error = _slope(sampling, chains, surface.n_parameters)
    growth, growth_error = _growth(distances)
    return {
        "gamma_over_n_beta": gamma / n_beta,
        "top_curvature": top,
        "step_bias": eps * (n_beta * top + gamma * mean_scale) / 4,
        "noise_inflation": eps * n_beta**2 * float((scale * start.batch_variance).mean()) / 4,
        "relaxations": sampling.steps / sampling.relaxation * mean_scale,
        "distance": math.sqrt(distances[:, -1].mean()),
        "free_diffusion": math.sqrt(
            distances[:, -1].mean() / (sampling.steps * eps * surface.n_parameters * mean_scale)
        ),
        "distance_growth": growth,
        "growth_error": growth_error,
        "predicted_descent": n_beta**2 * square / (2 * stiffness) if stiffness > 0 else math.inf if square else 0.0,
        "slope_in_gamma": slope / value if value else math.nan,
        "slope_error": slope_error / abs(value) if value else math.nan,
        "start_loss": float(start.losses.double().mean()),
    }


def _top(surface: Surface, scale: Tensor, known: dict[str, float]) -> float:
    """Largest eigenvalue of the Hessian as the chain sees it, D^½ H D^½; NaN where it did not converge."""
    if scale.ndim == 0 and "top" in known:
        return known["top"]
    try:
        found = top_eigenpair(_Scaled(Hessian(surface.first(CURVATURE_ROWS)), scale.sqrt())).value
    except NotConvergedError:
        found = math.nan
    if scale.ndim == 0:
        known["top"] = found
    return found


@dataclass
class _Scaled:
    """An operator between two diagonal ones."""

    inner: Hessian
    root: Tensor

    def __post_init__(self) -> None:
        self.size, self.device, self.dtype = self.inner.size, self.inner.device, self.inner.dtype

    def times(self, vector: Tensor) -> Tensor:
        return self.root * self.inner.times(self.root * vector)


def _slope(sampling: Sampling, chains: Chains, n_parameters: int) -> tuple[float, float]:
    """How λ̂ changes with ln γ, from the draws themselves: −Cov(nβ L, γ ‖w − w₀‖² / 2), and its error over chains.

    NaN where the burn-in leaves more of the approach to equilibrium, e^(−2 burn-in/relaxation) of P/2, than twice what
    the distance fluctuates by, √(P/2): the covariance would be one with time. 400,000 parameters take 2.7 relaxations.
    """
    left = math.exp(-2 * sampling.burn_in / sampling.relaxation) * math.sqrt(n_parameters / 2)
    if left > APPROACH:
        return math.nan, math.nan
    rises = sampling.n_beta * chains.rises[:, sampling.burn_in :]
    energies = sampling.localisation / 2 * chains.squared_distances[:, sampling.burn_in :]
    products = (rises - rises.mean(axis=1, keepdims=True)) * (energies - energies.mean(axis=1, keepdims=True))
    return -float(products.mean()), standard_error(products)


def _growth(squared_distances: Array) -> tuple[float, float]:
    """How many times the squared distance grew from the first half of the draws to the second; error over chains."""
    half = squared_distances.shape[1] // 2
    growth = squared_distances[:, half:].mean(axis=1) / squared_distances[:, :half].mean(axis=1)
    error = float(growth.std(ddof=1) / math.sqrt(len(growth))) if len(growth) > 1 else 0.0
    return float(growth.mean()), error


def _reasons(sampling: Sampling, found: Mapping[str, float], rises: Array, value: float) -> list[str]:
    """Every fault that is known, in words; an empty list is what a number that can be read has."""
    half = rises.shape[1] // 2
    first, second = rises[:, :half], rises[:, half:]
    gap, gap_error = second.mean() - first.mean(), math.hypot(standard_error(first), standard_error(second))
    lost = found["gamma_over_n_beta"] / found["top_curvature"] if found["top_curvature"] > 0 else math.nan
    drifts = _drifts(sampling, found)
    sensitive = not drifts and found["slope_in_gamma"] + 2 * found["slope_error"] < -LARGEST_SLOPE
    checks = [
        (not value >= 0, "negative: a descent, not an LLC"),
        (
            not found["predicted_descent"] <= LARGEST_DESCENT * abs(value),
            f"not at a minimum: going downhill is worth {found['predicted_descent']:.3g}",
        ),
        (
            not found["step_bias"] <= LARGEST_STEP_BIAS,
            f"step too large: the sharpest direction is off by {found['step_bias']:.0%}",
        ),
        (
            not found["noise_inflation"] <= LARGEST_INFLATION,
            f"batches too noisy: inflated by about {found['noise_inflation']:.0%}",
        ),
        (drifts, _drift(sampling, found)),
        (abs(gap) > 3 * gap_error, f"the two halves differ: {first.mean():.4g} and {second.mean():.4g}"),
        (lost > SHARPEST_LOST, f"localisation too strong: γ/nβ is {lost:.0%} of the largest curvature"),
        (sensitive, f"localisation decides: doubling γ would change it by {found['slope_in_gamma'] * math.log(2):.0%}"),
    ]
    return [words for failed, words in checks if failed]


def _drifts(sampling: Sampling, found: Mapping[str, float]) -> bool:
    too_short = sampling.localisation > 0 and found["relaxations"] < RELAXATIONS
    grows = found["distance_growth"] - 2 * found["growth_error"] > LARGEST_GROWTH
    return too_short or grows or found["free_diffusion"] > FREE_DIFFUSION


def _drift(sampling: Sampling, found: Mapping[str, float]) -> str:
    return (
        f"not equilibrated: {found['relaxations']:.2g} of {RELAXATIONS:.0f} relaxation times, "
        f"{found['free_diffusion']:.0%} of a free walk's distance, which grew {found['distance_growth']:.2f} times"
    )


def _task_rise(draws: Array, ceiling: float, reasons: Sequence[str]) -> Estimate:
    """Mean rise of one task [chains, draws], over the draws whose batch had an example of it.

    Whatever speaks against the chains speaks against it.
    """
    present = np.isfinite(draws)
    if not present.any(axis=1).all() or present.sum(axis=1).min() < 16:
        return unknown(int(present.sum()), ceiling, "too few draws with an example of this task")
    kept = [chain[mine] for chain, mine in zip(draws, present, strict=True)]
    shortest = min(map(len, kept))
    error = standard_error(np.stack([chain[:shortest] for chain in kept]))
    value = float(np.concatenate(kept).mean())
    against = [*(["negative: this task's loss falls while the mixture is sampled"] if not value >= 0 else []), *reasons]
    return Estimate(value, error, ceiling, int(present.sum()), "; ".join(against))

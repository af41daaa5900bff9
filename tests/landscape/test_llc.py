"""The local learning coefficient where theory gives it, every fault that must be named, and devinterp's own chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.landscape.llc import (
    FREE_DIFFUSION,
    LARGEST_GROWTH,
    RELAXATIONS,
    Llc,
    llc,
    look_around,
    standard_error,
)
from pythia_geometry.landscape.llc_calibration import Grid, calibrate, complaints, proposal
from pythia_geometry.landscape.sgld import Chance, Sampling, run_chains
from pythia_geometry.landscape.surface import Surface
from pythia_geometry.landscape.tokens import next_token_losses, scored_tokens
from pythia_geometry.measures import LLC_SETTINGS
from tests.landscape.small_surfaces import language_model, matrix_product, parabola
from tests.reference.loss_surface import example_gradients, parabola_llc

D = 200
SOUND = Sampling(step=1e-3, n_beta=100, localisation=4.5, chains=2, burn_in=150, draws=1200)


def _reason(found: Llc) -> str:
    return found.estimate.reason


def test_parabola_within_five_per_cent_and_nothing_against_it() -> None:
    found = llc(parabola(torch.ones(D)), SOUND)
    assert not _reason(found)
    assert found.estimate.value == pytest.approx(D / 2, rel=0.05)
    theory = parabola_llc(np.ones(D), 100, 4.5) / (1 - found.diagnostics["step_bias"])
    assert abs(found.estimate.value - theory) < 4 * found.estimate.error
    assert found.estimate.error < 0.02 * found.estimate.value
    assert found.diagnostics["top_curvature"] == pytest.approx(1, rel=1e-4)
    assert found.estimate.ceiling == D / 2


def test_a_step_too_large_is_named_and_its_bias_foretold() -> None:
    found = llc(parabola(torch.ones(D)), replace(SOUND, step=5e-3, draws=400))
    assert "step too large: the sharpest direction is off by 13%" in _reason(found)
    assert found.estimate.value == pytest.approx(parabola_llc(np.ones(D), 100, 4.5) / (1 - 0.13), rel=0.03)


def test_localisation_too_strong_is_named() -> None:
    found = llc(parabola(torch.ones(D)), replace(SOUND, localisation=100.0, step=5e-4, draws=600))
    assert "localisation" in _reason(found)
    assert found.estimate.value == pytest.approx(50, rel=0.05)


def test_localisation_that_cuts_the_middle_of_the_spectrum_is_named_by_the_draws_themselves() -> None:
    curvatures = torch.cat([torch.full((20,), 10.0), torch.full((180,), 0.1)])
    found = llc(
        parabola(curvatures), replace(SOUND, localisation=10.0, step=1.5e-4, burn_in=1500, draws=5000, chains=1)
    )
    assert "localisation decides" in _reason(found)
    h = curvatures.double().numpy()
    slope = -(100 * h * 10 / (100 * h + 10) ** 2).sum() / 2 / parabola_llc(h, 100, 10)
    assert (
        1.6 * slope < found.diagnostics["slope_in_gamma"] < 0.4 * slope
    )  # ten independent draws of the slow directions


def test_the_approach_of_many_flat_directions_is_not_taken_for_localisation() -> None:
    curvatures = torch.cat([torch.full((20,), 25.0), torch.zeros(40_000)])
    short = replace(SOUND, localisation=30.0, step=1e-4, burn_in=700, draws=1500)  # 1 and 2.25 relaxation times
    found = llc(parabola(curvatures), short)
    assert "localisation decides" not in _reason(found) and np.isnan(found.diagnostics["slope_in_gamma"])
    assert found.estimate.value == pytest.approx(20 / 2 * 2500 / 2530, abs=4 * found.estimate.error)


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_noisy_batches_are_named_and_their_inflation_foretold(noise: float) -> None:
    found = llc(parabola(torch.ones(D), noise), SOUND)
    assert "batches too noisy" in _reason(found)
    quiet = parabola_llc(np.ones(D), 100, 4.5) / (1 - found.diagnostics["step_bias"])
    seen = found.estimate.value / quiet - 1
    assert found.diagnostics["noise_inflation"] == pytest.approx(seen, rel=0.2)
    assert found.diagnostics["noise_inflation"] == pytest.approx(1e-3 * 100**2 * noise**2 / 4, rel=0.1)


def test_a_chain_too_short_is_named() -> None:
    found = llc(parabola(torch.ones(D)), replace(SOUND, step=1e-5, burn_in=0, draws=200))
    assert "not equilibrated" in _reason(found)
    assert "two halves differ" in _reason(found)
    drifting = llc(parabola(torch.full((D,), 1e-6)), replace(SOUND, localisation=0.0, draws=200))
    assert "not equilibrated" in _reason(drifting)


def test_an_untrained_model_measures_descent() -> None:
    rows = torch.randint(24, (32, 8), generator=torch.Generator().manual_seed(0)).tolist()
    surface = Surface(language_model("gpt2"), next_token_losses, scored_tokens(rows), batch=8)
    found = llc(surface, Sampling(1e-4, 200, 10, chains=1, burn_in=100, draws=200, batch=8))
    assert found.estimate.value < 0
    assert "negative: a descent, not an LLC" in _reason(found)
    assert "not at a minimum" in _reason(found)


def test_a_chain_that_leaves_the_numbers_is_no_number() -> None:
    found = llc(parabola(torch.ones(D)), replace(SOUND, step=10.0, draws=60))
    assert np.isnan(found.estimate.value)
    assert "non-finite loss at step" in _reason(found)


def test_preconditioning_equals_step_sizes_and_keeps_the_posterior() -> None:
    curvatures = torch.logspace(-1, 1, 50)
    setting = Sampling(5e-5, 100, 2, chains=1, burn_in=500, draws=5000, preconditioned=True)
    found = llc(parabola(curvatures), setting)
    theory = parabola_llc(curvatures.double().numpy(), 100, 2)
    assert found.estimate.value == pytest.approx(theory, rel=0.06)
    plain = replace(setting, preconditioned=False, draws=500)
    assert "not equilibrated" in _reason(llc(parabola(curvatures), plain))  # with one step size for all, not there yet


def test_only_some_parameters_move() -> None:
    surface = replace(matrix_product(), only=("a",))
    found = run_chains(surface, Sampling(1e-4, 100, 1, chains=1, burn_in=0, draws=16, batch=4), surface.all_losses())
    whole = run_chains(replace(surface, only=()), Sampling(1e-4, 100, 1, 1, 0, 16, 4), surface.all_losses())
    assert found.squared_distances[0, -1] < 0.8 * whole.squared_distances[0, -1]
    assert llc(surface, replace(SOUND, draws=20, batch=4)).estimate.ceiling == 10


def test_tasks_of_the_mixture_add_up_to_its_coefficient() -> None:
    surface, tasks = parabola(torch.ones(20), noise=0.05, n=60, batch=20), torch.arange(60) % 3
    found = llc(surface, replace(SOUND, draws=300, batch=60), tasks, ("one", "two", "three"))
    mean = np.mean([task.value for task in found.tasks.values()])
    assert mean == pytest.approx(found.estimate.value, rel=1e-4)
    rare = torch.zeros(60, dtype=torch.long)
    rare[0] = 1
    few = llc(surface, replace(SOUND, draws=40, batch=2), rare, ("common", "rare")).tasks
    assert "too few draws" in few["rare"].reason and "too few draws" not in few["common"].reason
    assert "not equilibrated" in few["common"].reason, "what speaks against the chains speaks against every task"


def test_the_same_seed_gives_the_same_number_and_another_does_not() -> None:
    surface = parabola(torch.ones(20), 0.1)
    short = replace(SOUND, draws=50)
    assert llc(surface, short).estimate == llc(surface, short).estimate
    assert llc(surface, short).estimate != llc(surface, replace(short, seed=1)).estimate


def test_the_start_is_read_exactly() -> None:
    surface = Surface(language_model("gpt-neox"), next_token_losses, scored_tokens([[1, 2, 3], [4, 5, 6]] * 30), 7)
    start = look_around(surface, replace(SOUND, batch=7))
    gradients = example_gradients(surface)
    assert np.allclose(start.gradient.numpy(), gradients.mean(0), atol=1e-6)
    assert np.allclose(start.losses.numpy(), surface.all_losses().numpy(), atol=1e-6)
    expected = gradients.var(axis=0, ddof=1).sum() / 7
    assert float(start.batch_variance.sum()) == pytest.approx(expected, rel=0.8)


def test_the_error_of_a_correlated_series() -> None:
    rng = np.random.default_rng(0)
    series = np.zeros((400, 2000))
    for t in range(1, 2000):
        series[:, t] = 0.9 * series[:, t - 1] + rng.normal(size=400)
    true = series.mean(axis=1).std(ddof=1)
    found = np.mean([standard_error(one[None]) for one in series])
    assert found == pytest.approx(true, rel=0.25)
    apart = np.repeat([[0.0], [1.0], [2.0], [3.0]], 100, axis=1)
    assert standard_error(apart) == pytest.approx(np.std([0, 1, 2, 3], ddof=1) / 2)


def test_calibration_tries_the_grid_and_proposes_what_is_sound() -> None:
    seen: list[Any] = []
    grid = Grid(steps=(1e-3, 5e-3), localisations=(4.5, 100.0), draws=(40, 1200))
    tried = calibrate(parabola(torch.ones(D)), replace(SOUND, chains=1), grid, seen.append)
    assert len(tried) == 8 and seen == tried
    best = proposal(tried)
    assert best is not None
    assert (best.sampling.step, best.sampling.localisation, best.sampling.draws) == (1e-3, 4.5, 1200)
    again = llc(parabola(torch.ones(D)), best.sampling).estimate
    assert again.value == pytest.approx(best.found.estimate.value, rel=1e-6)
    assert proposal([t for t in tried if t.sampling.localisation == 100.0]) is None
    assert dict(complaints(tried))["step too large"] >= 4


def test_the_usual_settings_pass_the_checks_that_can_be_worked_out_beforehand() -> None:
    usual = Sampling(**{key: value for key, value in LLC_SETTINGS.items() if key != "only"})
    burnt, end = usual.burn_in / usual.relaxation, usual.steps / usual.relaxation
    half = (burnt + end) / 2
    early, late = (1 - (np.exp(-2 * a) - np.exp(-2 * b)) / 2 / (b - a) for a, b in ((burnt, half), (half, end)))
    assert end >= RELAXATIONS
    assert late / early < LARGEST_GROWTH, "of a flat direction's squared distance, 1 − e^(−2t)"
    assert np.sqrt((1 - np.exp(-2 * end)) / (2 * end)) < FREE_DIFFUSION
    assert usual.chains > 1, "an error between chains"


def test_settings_that_cannot_run_are_refused() -> None:
    with pytest.raises(PythiaGeometryError, match="above 0"):
        replace(SOUND, step=0.0)
    with pytest.raises(PythiaGeometryError, match="16 draws"):
        replace(SOUND, draws=10)


@pytest.mark.slow
def test_reduced_rank_regression_within_ten_per_cent() -> None:
    """λ = 10.5 for a true rank of 2 in 5 × 4 × 5 (Aoyagi and Watanabe 2005), at γ/nβ = 1e-3."""
    setting = Sampling(step=4e-5, n_beta=1e4, localisation=10, chains=4, burn_in=5000, draws=12_000, batch=4)
    found = llc(matrix_product(), setting)
    assert found.estimate.value == pytest.approx(10.5, rel=0.1)
    assert not _reason(found)


class _AsDevinterp(Chance):
    """The batches of its loader without shuffling, and noise from the global generator, parameter by parameter."""

    def __init__(self, surface: Surface, sampling: Sampling) -> None:
        super().__init__(surface.n, sampling)
        self.surface = surface

    def batches(self, chain: int) -> Iterator[Tensor]:
        while True:
            yield from torch.arange(self.n).split(self.sampling.batch)

    def noise(self, chain: int, like: Tensor) -> Iterator[Tensor]:
        torch.manual_seed(100 + chain)
        while True:
            yield torch.cat([torch.normal(0.0, 1.0, size=w.shape).flatten() for w in self.surface.weights.values()])


@pytest.mark.filterwarnings("ignore")
def test_given_the_same_noise_and_batches_devinterp_finds_the_same(tmp_path: Any) -> None:
    theirs = pytest.importorskip("devinterp.slt.llc", reason="the optional cross-check of the sampler")
    datasets = pytest.importorskip("datasets")
    ids = torch.randint(24, (64, 10), generator=torch.Generator().manual_seed(0))
    surface = Surface(language_model("gpt-neox"), next_token_losses, scored_tokens(ids.tolist()), batch=16)
    sampling = Sampling(step=1e-4, n_beta=20, localisation=5, chains=2, burn_in=0, draws=40, batch=16)
    chance = _AsDevinterp(surface, sampling)
    rises = run_chains(surface, sampling, surface.all_losses(), chance=chance).rises
    found = theirs.llc(
        language_model("gpt-neox").requires_grad_(True),
        datasets.Dataset.from_dict({"input_ids": ids.tolist()}).with_format("torch"),
        {},
        lr=1e-4,
        n_beta=20,
        localization=5.0,
        num_chains=2,
        num_draws=40,
        batch_size=16,
        num_init_loss_batches=4,
        shuffle=False,
        device="cpu",
        output_path=str(tmp_path / "devinterp"),
    )
    start = surface.all_losses().reshape(4, 16).mean(1).double().numpy()
    ours = rises + np.tile(start, 10)
    assert np.abs(found["loss_trace"].values - ours).max() < 1e-5 * ours.max()
    assert float(found["llc_mean"]) == pytest.approx(20 * float((ours - start.mean()).mean()), abs=1e-4)

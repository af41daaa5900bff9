"""Estimators beside their slow twins in tests/reference: the same numbers by the straight way."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from pythia_geometry.geometry.decay import alpha_req
from pythia_geometry.landscape.sgld import Chance, Sampling, run_chains
from pythia_geometry.landscape.sharpness import checkpoint_sharpness
from pythia_geometry.landscape.surface import Surface
from pythia_geometry.landscape.tokens import next_token_losses
from pythia_geometry.weights.entries import weibull
from pythia_geometry.weights.spectra import _FEWEST_IN_TAIL, tail_exponent
from pythia_geometry.weights.updates import update_measures
from tests.landscape.small_surfaces import copying, language_model, parabola
from tests.reference import langevin, power_law


def test_chains_are_those_of_a_plain_loop() -> None:
    surface = Surface(language_model("gpt2"), next_token_losses, copying(12), batch=12)
    sampling = Sampling(1e-3, 20, 5, chains=1, burn_in=0, draws=16, batch=4)
    chance = Chance(surface.n, sampling)
    found = run_chains(surface, sampling, surface.all_losses()).rises[0]
    weights = torch.cat([w.reshape(-1) for w in surface.weights.values()])
    batches, noise = (list(islice(source, 16)) for source in (chance.batches(0), chance.noise(0, weights)))
    assert found == pytest.approx(langevin.rises(surface, 1e-3, 20, 5, batches, noise), abs=2e-5)


def test_sharpness_is_that_of_a_fine_search() -> None:
    surface = parabola(torch.tensor([3.0, 0.5]), n=4)
    surface.module.get_parameter("w").copy_(torch.tensor([1.0, -2.0]))
    following = {"w": torch.tensor([0.2, -1.5])}
    found = checkpoint_sharpness(surface, following)

    def height(eta: float) -> float:
        moved = {"w": surface.weights["w"] + eta * (following["w"] - surface.weights["w"])}
        return float(surface.all_losses(moved).double().mean())

    slow = 2 / langevin.first_rise(height, 8.0, 4000)
    assert abs(found.value - slow) <= found.error + 0.01 * slow


def test_alpha_req_is_a_line_through_the_covariances_eigenvalues() -> None:
    z = np.random.default_rng(0).normal(size=(300, 60)) * np.arange(1, 61) ** -0.6
    assert alpha_req(z)["alpha_req"].value == pytest.approx(power_law.alpha_req(z, 5, 15), rel=1e-6)


def test_fits_to_weights_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    sigma = np.sqrt(rng.pareto(1.5, 60) + 1)
    found = tail_exponent(np.sort(sigma)[::-1])
    assert (found.value, found.n) == pytest.approx(power_law.tail_exponent(sigma**2, _FEWEST_IN_TAIL), rel=1e-6)
    entries = rng.normal(size=(40, 50)).astype(np.float32)
    shape, scale = power_law.weibull(entries.astype(float))
    mine = weibull(entries)
    assert (mine["weibull_shape"].value, mine["weibull_scale"].value) == pytest.approx((shape, scale), rel=2e-3)


def test_updates_are_those_of_one_long_vector() -> None:
    rng = np.random.default_rng(2)
    three = [{"a": rng.normal(size=(3, 4)), "b": rng.normal(size=5)} for _ in range(3)]
    found = update_measures(*three)
    assert [estimate.value for estimate in found.values()] == pytest.approx(power_law.updates(*three))

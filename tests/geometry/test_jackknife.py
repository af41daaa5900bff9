"""The errors from one decomposition: against leaving out every row in turn, and against fresh clouds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pythia_geometry.geometry import (
    Cloud,
    Estimate,
    participation_ratio,
    rankme,
    rankme_centred,
    rankme_rownorm,
    stable_rank,
)
from tests.reference import clouds, effective_rank
from tests.reference.jackknife import delete_one_error

Array = NDArray[np.float64]
Maker = Callable[[np.random.Generator], Array]
Measure = Callable[[Array | Cloud], Estimate]

TWINS: dict[Measure, Callable[[Array], float]] = {
    rankme: effective_rank.rankme,
    rankme_centred: effective_rank.rankme_centred,
    rankme_rownorm: effective_rank.rankme_rownorm,
    participation_ratio: effective_rank.participation_ratio,
    stable_rank: effective_rank.stable_rank,
}

CLOUDS: dict[str, Maker] = {
    "noise 30 x 400": lambda rng: clouds.isotropic(rng, 30, 400),
    "noise 60 x 60": lambda rng: clouds.isotropic(rng, 60, 60),
    "noise 120 x 40": lambda rng: clouds.isotropic(rng, 120, 40),
    "power law 0.5": lambda rng: clouds.gaussian_power_law(rng, 60, 200, 0.5),
    "power law 2": lambda rng: clouds.gaussian_power_law(rng, 60, 200, 2.0),
    "power law 1, tall": lambda rng: clouds.gaussian_power_law(rng, 120, 40, 1.0),
    "clusters": lambda rng: clouds.clusters(rng, 60, 200),
    "heavy-tailed rows": lambda rng: clouds.heavy_tailed(rng, 60, 200, 3),
    "a long mean": lambda rng: rng.normal(size=(60, 64)) + 10,
    "every row twice": lambda rng: np.repeat(rng.normal(size=(30, 100)), 2, axis=0),
    "rank 4": lambda rng: rng.normal(size=(60, 4)) @ rng.normal(size=(4, 100)),
    "one row a hundred times as long": lambda rng: rng.normal(size=(60, 100)) * np.r_[100.0, np.ones(59)][:, None],
}

every_measure = pytest.mark.parametrize("measure", TWINS, ids=lambda measure: measure.__name__)


@every_measure
@pytest.mark.parametrize("name", CLOUDS)
def test_it_is_the_full_delete_one_jackknife(measure: Measure, name: str) -> None:
    for seed in range(2):
        z = CLOUDS[name](np.random.default_rng(seed))
        assert measure(z).error == pytest.approx(delete_one_error(TWINS[measure], z), rel=1e-4)


@every_measure
@pytest.mark.parametrize("z", [[[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 1.0]]], ids=["lone", "two"])
def test_where_a_deletion_leaves_nothing_there_is_no_error_and_a_reason(measure: Measure, z: list[list[float]]) -> None:
    estimate = measure(z)
    assert np.isfinite(estimate.value) and np.isnan(estimate.error)
    assert "deleting one row" in estimate.reason


@every_measure
@pytest.mark.parametrize("n, d", [(60, 200), (120, 40)])
def test_on_power_law_clouds_it_is_the_spread_over_fresh_clouds(measure: Measure, n: int, d: int) -> None:
    fresh = [clouds.gaussian_power_law(np.random.default_rng(seed), n, d, 1.0) for seed in range(200)]
    estimates = [measure(z) for z in fresh]
    spread = np.std([e.value for e in estimates], ddof=1)
    assert np.mean([e.error for e in estimates]) == pytest.approx(spread, rel=0.35)


@pytest.mark.parametrize("measure", [rankme, participation_ratio, stable_rank], ids=lambda m: m.__name__)
def test_one_long_row_makes_the_error_larger_than_the_value(measure: Measure) -> None:
    z = clouds.gaussian_power_law(np.random.default_rng(0), 60, 200, 0.5)
    z[3] *= 100
    assert measure(z).error > measure(z).value


# -- rows that come from few templates --------------------------------------------------------------------------


def templated(rng: np.random.Generator, templates: int, spread: float = 1.0) -> tuple[Array, NDArray[np.int64]]:
    """128 rows about the points of so many templates, and each row's template."""
    cluster = np.resize(np.arange(templates), 128)
    return spread * rng.normal(size=(templates, 24))[cluster] + rng.normal(size=(128, 24)), cluster


def test_clusters_of_one_row_are_the_jackknife() -> None:
    rows, _ = templated(np.random.default_rng(0), 8)
    alone = [Cloud(rows), Cloud(rows, np.arange(128))]
    for measure in TWINS:
        assert measure(alone[0]).error == pytest.approx(measure(alone[1]).error, rel=1e-9)
        assert measure(alone[0]).value == measure(alone[1]).value


def test_errors_over_templates_cover_what_errors_over_rows_do_not() -> None:
    """The truth is the value over endlessly many templates of this size; centred RankMe of 8 templates scatters about it."""
    drawn = [templated(np.random.default_rng(seed), 8, 2.0) for seed in range(60)]
    found = {
        name: [participation_ratio(Cloud(rows, cluster if name == "templates" else None)) for rows, cluster in drawn]
        for name in ("rows", "templates")
    }
    scatter = np.std([one.value for one in found["rows"]], ddof=1)
    ratio = {name: np.median([one.error for one in those]) / scatter for name, those in found.items()}
    assert ratio["rows"] < 0.6
    assert 0.7 < ratio["templates"] < 2.5  # too wide by two where eight templates are nearly all there is

"""The generator makes what its worlds are said to be."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.analysis.events.rules import crossing
from pythia_geometry.analysis.worlds import made_up as worlds
from pythia_geometry.analysis.worlds.designs import GRID_27, GRID_154, Design
from pythia_geometry.analysis.worlds.made_up import WORLDS, draw, draw_geometry, world
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.suites.pythia import STEPS
from tests.analysis.made_up import make


def test_grids_are_pythias_less_step_0() -> None:
    assert GRID_154.tolist() == [step for step in STEPS if step >= 1]
    assert len(GRID_27) == 26
    assert set(GRID_27) <= set(GRID_154)


@pytest.mark.parametrize("name", WORLDS)
def test_a_draw_is_finite_and_repeatable(name: str) -> None:
    drawn, again, other = (draw(world(name), Design(GRID_27), np.random.default_rng(s)) for s in (1, 1, 2))
    for field in ("geometry", "accuracy", "error", "log_prob"):
        values = getattr(drawn, field)
        assert values.shape == (8, 26)
        assert np.isfinite(values).all()
        assert (values == getattr(again, field)).all()
        assert (values != getattr(other, field)).any()
    assert (drawn.error >= 0).all()


@pytest.mark.parametrize("lead", [-0.5, 0.0, 0.3, 0.5])
def test_geometry_recovers_as_much_earlier_as_is_said(lead: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds.Shape, "own_noise", 0.0)
    monkeypatch.setattr(worlds.Shape, "shared_noise", 0.0)
    monkeypatch.setattr(worlds.Shape, "compression", (0.0, 0.0))
    mid, x = np.linspace(3.3, 4.2, 8), np.log10(GRID_154)
    rule = world(f"LEAD {lead:g}" if lead else "SYNC")
    gaps = []
    for seed in range(30):
        for m, curve in zip(
            mid, draw_geometry(rule, Design(midpoints=mid), mid, np.random.default_rng(seed)), strict=True
        ):
            low = int(curve.argmin())
            level = (curve[low] + curve[low:].max()) / 2
            at = low + int(np.argmax(curve[low:] >= level))
            gaps.append(m - crossing(x, curve, level, at))
    assert np.mean(gaps) == pytest.approx(lead, abs=0.08)


def test_a_global_event_is_the_same_for_all_tasks_and_an_own_one_is_not() -> None:
    mid, x = np.linspace(3, 4, 8), np.log10(GRID_154)
    for name, spread in (("EARLY", 0.0), ("SHARE", 0.0), ("UNREL", 0.3), ("SYNC", 0.2)):
        share = WORLDS[name].recovery(x, mid, Design(midpoints=mid), np.random.default_rng(0))
        times = [x[np.argmax(row >= 0.5)] for row in share]
        assert (np.std(times) > spread) if spread else (np.ptp(times) <= 0.31)  # one gap of the grid


def test_mirage_delays_accuracy_and_not_its_log_probability() -> None:
    mirage, sync = make("MIRAGE", 3), make("SYNC", 3)
    assert mirage.log_prob == pytest.approx(sync.log_prob)
    assert mirage.accuracy.mean() < sync.accuracy.mean() - 0.02


def test_levels_of_a_family_share_their_timing() -> None:
    drawn = draw(world("UNREL"), Design(n_tasks=12, levels=3), np.random.default_rng(0))
    families = drawn.midpoints.reshape(4, 3)
    assert families.std(axis=1).max() < 0.25 < families.mean(axis=1).std()


def test_names() -> None:
    assert world("LEAD 0.4").lead == 0.4
    assert world("MIX 0.6").name == "MIX 0.6"
    for name in ("LEED 1", "LEAD", "LEAD x", ""):
        with pytest.raises(PythiaGeometryError, match="is no world. Worlds: SYNC, EARLY"):
            world(name)


def test_collapse_comes_before_the_earliest_task() -> None:
    assert Design().collapse == 1.8
    assert Design(midpoints=np.array([1.5, 3.0])).collapse == pytest.approx(0.9)

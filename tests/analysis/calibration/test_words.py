"""How often each word is said: what is counted, and that it continues where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.calibration import operating, words
from pythia_geometry.analysis.calibration.operating import calibrate_rules, of_lead
from pythia_geometry.analysis.calibration.words import LEGS, calibrate_words
from pythia_geometry.analysis.claims.operating import operating as beside
from pythia_geometry.analysis.claims.operating import shipped_rates
from pythia_geometry.analysis.claims.ruling import VERDICTS
from pythia_geometry.analysis.precursor.finding import IN_THIS_RUN, LEADS, WORDS
from pythia_geometry.analysis.worlds.designs import GRID_27, Design
from pythia_geometry.analysis.worlds.studies import STUDIES, draw_study

SMALL = {"27": Design(GRID_27, 6)}
TWO = (STUDIES["SYNC"], STUDIES["LEAD 0.5"])


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "CHUNK", 4)
    monkeypatch.setattr(operating, "CHUNK", 4)


def test_words_are_counted_and_chunks_kept(tmp_path: Path) -> None:
    told: list[str] = []
    first = calibrate_words(SMALL, TWO, (1, 3), draws=4, folder=tmp_path, notify=told.append)
    assert len(told) == 4
    said = first[first["word"] != LEGS]
    assert {word.removesuffix(IN_THIS_RUN) for word in said["word"]} <= {*WORDS, "leads"}
    assert said.groupby(["world", "runs"])["rate"].sum().tolist() == pytest.approx([1.0] * 4)
    assert not ((said["runs"] == 1) & (said["word"] == LEADS)).any()
    again = calibrate_words(SMALL, TWO, (1, 3), draws=4, folder=tmp_path, notify=told.append)
    assert len(told) == 4
    pd.testing.assert_frame_equal(first, again)
    assert of_lead(first.assign(grid="154"))["truth"].unique().tolist() == ["null", "half a decade"]


def test_every_study_world_can_be_drawn() -> None:
    for world in STUDIES.values():
        drawn = draw_study(world, Design(GRID_27, 9, levels=3), 2, np.random.default_rng(0))
        assert drawn.families == ("f0",) * 3 + ("f1",) * 3 + ("f2",) * 3
        assert all(np.isfinite(g).all() for run in drawn.runs for g in (run.geometry, run.accuracy, run.log_prob))
        assert all(g.shape == run.geometry.shape for g, run in zip(drawn.shuffled, drawn.runs, strict=True))


def test_rules_are_counted_in_their_truths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = {name: rule for name, rule in operating.RULES.items() if name in ("order", "scale")}
    monkeypatch.setattr(operating, "RULES", kept)
    found = calibrate_rules(4, folder=tmp_path, runs=(1, 5))
    assert set(found["rule"]) == {"order", "scale"} and set(found["word"]) <= set(VERDICTS)
    assert found.groupby(["rule", "truth", "runs"])["rate"].sum().tolist() == pytest.approx([1.0] * 8)
    assert set(found.loc[(found["rule"] == "order") & (found["runs"] == 1), "word"]) <= {
        "seen in this run", "not seen in this run",
    }  # fmt: skip


def test_the_rates_that_ship_hold_five_per_cent_where_nothing_leads() -> None:
    rates = shipped_rates()
    lead = rates[(rates["rule"] == "lead") & (rates["truth"] == "null") & (rates["word"] == LEADS)]
    assert (lead["rate"] - 2 * lead["se"] <= 0.05).all()
    assert "null: " in beside("order", 5) and beside("nothing", 5) == ""
    assert beside("pythia collapse", 3) == beside("collapse", 3)

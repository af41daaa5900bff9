"""How often each word is said: what is counted, and that it continues where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.calibration import operating, words
from pythia_geometry.analysis.calibration.operating import calibrate_rules, of_lead
from pythia_geometry.analysis.calibration.summaries import excess, power_summary, words_summary
from pythia_geometry.analysis.calibration.words import LEGS, calibrate_words
from pythia_geometry.analysis.claims.operating import operating as beside
from pythia_geometry.analysis.claims.operating import shipped_rates
from pythia_geometry.analysis.claims.ruling import VERDICTS
from pythia_geometry.analysis.precursor.finding import IN_THIS_RUN, LEADS, WORDS
from pythia_geometry.analysis.precursor.task_matched_lag import MatchedRun, task_matched_lag
from pythia_geometry.analysis.tables.step_curves import MIN_STEPS, StepCurves
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


def test_every_study_world_leaves_steps_enough_to_be_asked_on_both_grids() -> None:
    for world in STUDIES.values():
        for design in words.GRIDS.values():
            for seed in range(6 if world.seen else 0):
                drawn = draw_study(world, design, 1, np.random.default_rng(seed))
                assert drawn.seen is not None and drawn.seen.sum() >= MIN_STEPS, world.name


def test_a_summary_shows_every_number_of_runs_and_what_passes() -> None:
    said = calibrate_words(SMALL, (STUDIES["LATE"], STUDIES["LEAD 0.5"], STUDIES["SYNC"]), (1, 3), draws=4)
    lines = words_summary(said, "27").set_index("world")
    assert lines.loc["SYNC", "both legs"].startswith("0 ± ") and " / " in lines.loc["SYNC", "word"]
    assert lines.loc["LATE", "cannot be told from a lead"] == STUDIES["LATE"].forbids
    assert power_summary(said)[["steps", "tasks"]].values.tolist() == [["27", "6"]]
    assert excess(said) == []  # LATE leads, and theory forbids to tell; LEAD is one
    loud = said.assign(rate=said["rate"].mask((said["world"] == "SYNC") & (said["word"] == LEGS), 1.0))
    assert [line.partition(":")[0] for line in excess(loud)] == ["27, SYNC, 1 runs", "27, SYNC, 3 runs"]


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["27", "154"])
def test_no_world_without_a_lead_passes_five_per_cent(monkeypatch: pytest.MonkeyPatch, grid: str) -> None:
    monkeypatch.setattr(words, "CHUNK", 50)
    assert excess(calibrate_words({grid: words.GRIDS[grid]}, runs=(1, 3), draws=50)) == []


@pytest.mark.slow
def test_a_family_of_five_among_single_tasks_does_not_lead_alone() -> None:
    """Families of five and of one: singles are permuted, the five stay; what is unrelated passes at most 5 %."""
    kept = np.array([*range(5), *range(5, 40, 5)])
    passed = 0
    for number in range(60):
        rng = np.random.default_rng([7, number])
        drawn = draw_study(STUDIES["UNREL"], Design(GRID_27, 40, levels=5), 1, rng).runs[0]
        families = ["five"] * 5 + [f"single {k}" for k in range(7)]
        metrics = (drawn.accuracy[kept], drawn.log_prob[kept])
        geometry = StepCurves(drawn.steps, drawn.geometry[kept])
        found = [task_matched_lag([MatchedRun(geometry, StepCurves(drawn.steps, m))], 0, families) for m in metrics]
        passed += all(leg.p <= 0.05 for leg in found)
    assert passed <= 6  # .05 of 60, and two standard errors


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

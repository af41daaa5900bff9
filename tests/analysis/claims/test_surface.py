"""C5, C6 and C12: planted orders are found, reasons and missing rows are no verdict, and the rates that ship are these."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.calibration.ledger import ChunkLedger
from pythia_geometry.analysis.calibration.operating import _cell
from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.lab_reference import read_reference
from pythia_geometry.analysis.claims.moves import Curve, lags, moved_at
from pythia_geometry.analysis.claims.operating import shipped_rates
from pythia_geometry.analysis.claims.rules import RULES
from pythia_geometry.analysis.claims.ruling import (
    DOES_NOT,
    NOT_ENOUGH,
    NOT_SEEN,
    REPLICATES,
    SEEN,
)
from pythia_geometry.shipped import data_folder

STEPS = np.unique(np.round(np.geomspace(1, 10_000, 41))).astype(int)
TASKS = tuple(f"T{i}" for i in range(8))


def curve(at: float) -> np.ndarray:
    """A rise from 0 to 1, halfway at a step."""
    return 1 / (1 + np.exp(-8 * (np.log10(STEPS) - np.log10(at))))


def evidence(lead: dict[str, float], runs: int = 3, **more: object) -> Evidence:
    """Runs whose tasks rise between steps 100 and 3,000, and measures that move `lead` decades before each task."""
    rng = np.random.default_rng(0)
    geometry, behaviour = [], []
    for seed in range(runs):
        rose = 10 ** (np.linspace(2, 3.4, len(TASKS)) + rng.normal(0, 0.05, len(TASKS)))
        for task, at in zip(TASKS, rose, strict=True):
            about = {"model": "m", "seed": seed, "probe": "p", "task": task}
            for metric, offset in (("accuracy", 0.0), ("log_prob", -3.0)):
                rows = pd.DataFrame({"step": STEPS, "value": curve(at) + offset, "metric": metric, "n": 500, **about})
                behaviour.append(rows.assign(chance=0.0, error=0.01, reason=""))
            for measure, ahead in lead.items():
                surface = measure.startswith(("llc", "hessian"))
                rows = pd.DataFrame(
                    {"step": STEPS, "value": 1 + 5 * curve(at / 10**ahead), "measure": measure, **about}
                )
                place = {"probe": "mixture", "layer": "model", "position": ""} if surface else {}
                if measure == "hessian_top":
                    place["task"] = ""
                place = {"layer": "final_norm", "position": "answer 1", **place}
                geometry.append(rows.assign(error=0.02, reason="", settings="", **place))
    table = pd.concat(geometry, ignore_index=True).drop_duplicates(["seed", "step", "measure", "task", "probe"])
    with_zero = table[table["measure"] == "decoding"].drop_duplicates(["seed", "task"]).assign(step=0, value=1.0)
    table = pd.concat([table, with_zero], ignore_index=True)
    return Evidence("made up", table, pd.concat(behaviour, ignore_index=True), **more)  # type: ignore[arg-type]


def said(name: str, one: Evidence) -> str:
    """A rule's word."""
    return RULES[name](one).verdict


@pytest.mark.parametrize(("lead", "word"), [(0.0, REPLICATES), (0.5, DOES_NOT), (-0.5, DOES_NOT)])
def test_a_planted_order_of_the_coefficient_is_found(lead: float, word: str) -> None:
    assert said("synchronous", evidence({"llc_task_rise": lead})) == word
    assert (
        said("synchronous", evidence({"llc_task_rise": lead}, runs=1)) == {REPLICATES: SEEN, DOES_NOT: NOT_SEEN}[word]
    )


def test_information_before_behaviour_needs_both_curves() -> None:
    early = {"decoding_selectivity": 0.5, "decoding": 0.5}
    assert said("decodable", evidence(early)) == REPLICATES
    assert said("decodable", evidence(early | {"decoding": 0.0})) == DOES_NOT
    assert said("decodable", evidence({"decoding": 0.5})) == NOT_ENOUGH


def test_a_probe_that_is_good_at_step_0_is_not_early() -> None:
    one = evidence({"decoding_selectivity": 0.0, "decoding": 0.0})
    rows = one.geometry["measure"] == "decoding"
    one.geometry.loc[rows, "value"] = one.geometry.loc[rows, "value"] / 10 + 0.8
    found = lags(one.geometry, one.behaviour, Curve("decoding", "final_norm", minus_start=True, is_share=True))
    assert not isinstance(found, str) and abs(found.value) < 0.15 and said("decodable", one) == DOES_NOT


def test_a_hessian_of_the_mixture_has_one_curve_for_all_tasks() -> None:
    one = evidence({"hessian_top": 0.0})
    assert (one.geometry["task"] == "").all()
    found = lags(one.geometry, one.behaviour, Curve("hessian_top", of_surface=True))
    assert not isinstance(found, str) and found.n_families == 8
    assert found.rows.groupby("seed")["moved"].nunique().eq(1).all() and found.rows["lag"].std() > 0.3
    late = one.geometry.assign(step=one.geometry["step"] * 300)
    assert RULES["late"](Evidence("late", late, one.behaviour)).verdict == REPLICATES


def test_rows_with_a_reason_are_not_used_and_nothing_is_no_verdict() -> None:
    one = evidence({"llc_task_rise": 0.0})
    assert said("late", one) == NOT_ENOUGH
    marked = one.geometry.assign(reason="not equilibrated")
    ruling = RULES["synchronous"](Evidence("marked", marked, one.behaviour))
    assert ruling.verdict == NOT_ENOUGH and "every row of llc_task_rise has a reason: not equilibrated" in ruling.value
    few = one.geometry.assign(reason=np.where(one.geometry["step"] < 2000, "negative", ""))
    assert said("synchronous", Evidence("few", few, one.behaviour)) == NOT_ENOUGH
    four = one.geometry[one.geometry["task"].isin(TASKS[:4])]
    assert "needs 5" in RULES["synchronous"](Evidence("four", four, one.behaviour)).value


def test_one_loss_and_one_setting_are_read() -> None:
    one = evidence({"llc_task_rise": 0.0})
    other = one.geometry.assign(step=one.geometry["step"] * 100)
    both = pd.concat([one.geometry, other.assign(probe="text"), other.iloc[:60].assign(settings="other")])
    assert said("synchronous", Evidence("both", both, one.behaviour)) == REPLICATES


def test_of_several_texts_one_is_read_and_the_surface_of_a_probe_is_not_that_of_others() -> None:
    one = evidence({"hessian_top": 0.0})
    hessian = Curve("hessian_top", of_surface=True)
    text = one.geometry.assign(probe="text", task="a.txt")
    other = text[text["step"] > 1].assign(task="b.txt", value=lambda rows: 7 - rows["value"])
    alone, both = (lags(rows, one.behaviour, hessian) for rows in (text, pd.concat([other, text])))
    assert not isinstance(alone, str) and not isinstance(both, str) and alone.value == both.value
    of_probe = one.geometry.assign(probe="probes", task="elsewhere")
    assert "beside 0 families" in str(lags(of_probe, one.behaviour, hessian))
    of_tasks = pd.concat([one.geometry.assign(task=name) for name in ("X1", "X2")])
    assert "beside 0 families" in str(lags(of_tasks, one.behaviour, hessian)), "two curves are not one"


def test_a_curve_moves_where_it_stays_and_only_beyond_its_errors() -> None:
    steps = np.array([1.0, 10.0, 100.0, 1000.0, 10_000.0])
    nothing = np.zeros(5)
    assert moved_at(steps, np.array([1.0, 9.0, 1.0, 9.0, 9.9]), nothing) == 2.5, "a spike before is no move"
    assert moved_at(steps, np.array([0.0, 0.0, -5.0, -6.0, 0.0]), nothing) == 1.5, "down counts as up does"
    assert np.isnan(moved_at(steps, np.array([1.0, 1.1, 1.2, 1.3, 1.3]), np.full(5, 0.1)))
    assert np.isnan(moved_at(steps, np.ones(5), nothing))


@pytest.mark.parametrize("rule", ["synchronous", "late", "decodable"])
def test_the_rates_beside_the_verdicts_are_those_of_the_rules(rule: str) -> None:
    rates = shipped_rates()
    mine = rates[rates["rule"] == rule]
    null, effect = (mine[mine["truth"] == t.name] for t in RULES[rule].truths)
    wrong = [null[null["word"] == REPLICATES], effect[effect["word"] == DOES_NOT]]
    assert all((rows["rate"] <= 0.05).all() for rows in wrong)
    ten = effect[effect["runs"] == 10].set_index("word")["rate"]
    assert ten[REPLICATES] >= 0.25, "families that differ by .3 decade leave little power"
    shipped = mine[(mine["truth"] == "null") & (mine["runs"] == 3)].set_index("word")
    again = _cell(rule, RULES[rule].truths[0], 3, int(shipped["draws"].iloc[0]), 0, ChunkLedger(None), str)
    assert {row["word"]: row["rate"] for row in again} == shipped["rate"].to_dict()


def test_runs_with_a_measured_surface_are_read_with_their_own_behaviour(tmp_path: Path) -> None:
    for file in (data_folder() / "reference").glob("smoke-gpt2-seed0.*"):
        shutil.copy(file, tmp_path)
    assert read_reference(tmp_path).surfaces is None
    measured = evidence({"llc_task_rise": 0.0})
    (tmp_path / "landscape").mkdir()
    (tmp_path / "landscape" / "m-seed0.json").write_text("{}")
    for kind in ("geometry", "behaviour"):
        getattr(measured, kind).to_parquet(tmp_path / "landscape" / f"m-seed0.{kind}.parquet")
    reference = read_reference(tmp_path)
    assert set(reference.geometry["model"]) == {"smoke-gpt2"}, "the reference's own tables stay as they are"
    beside = reference.surfaces
    assert beside is not None
    late = measured.behaviour.assign(step=measured.behaviour["step"] * 300)  # another training of the same seeds
    one = Evidence("lab", measured.geometry, late, surfaces=Evidence("lab", beside.geometry, beside.behaviour))
    assert said("synchronous", Evidence("lab", measured.geometry, late)) == DOES_NOT
    assert said("synchronous", one) == REPLICATES

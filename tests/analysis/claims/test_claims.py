"""The table of claims on made evidence where the truth is known, and on the shipped reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.claims import precursor
from pythia_geometry.analysis.claims.evidence import Evidence, middle_onset
from pythia_geometry.analysis.claims.lab_reference import read_reference
from pythia_geometry.analysis.claims.replication import NOT_BOTH, replication, side_by_side
from pythia_geometry.analysis.claims.rules import RULES
from pythia_geometry.analysis.claims.ruling import (
    DOES_NOT,
    IN_PART,
    NOT_ENOUGH,
    NOT_SEEN,
    REPLICATES,
    SEEN,
    UNDECIDED,
    VERDICTS,
    Effect,
    Ruling,
)
from pythia_geometry.analysis.claims.table import judge_claims, read_claims, read_sources
from pythia_geometry.analysis.precursor.finding import COUPLED, EARLIER, IN_THIS_RUN, LAGS, LEADS, LEADS_HERE, NO_LEAD
from pythia_geometry.analysis.precursor.finding import UNDECIDED as UNSURE
from pythia_geometry.suites.pythia import FAULTS
from pythia_geometry.suites.pythia import STEPS as STEPS_154

STEPS = np.array([0, *2 ** np.arange(14)])
TASKS = [f"t{i}" for i in range(6)]


def rankme(falls: bool, floor: float = 2.0, at: float = 16.0) -> np.ndarray:
    x = np.log(STEPS + 1)
    if not falls:
        return np.full(len(STEPS), 8.0)
    return np.exp(np.interp(x, np.log([1, at / 3, at, 8 * at, 9000]), np.log([8, 8, floor, 12, 12])))


def made(
    runs: dict[str, int],
    uncentred: bool = True,
    centred: bool = True,
    top_down: bool = True,
    floors: dict[str, float] | None = None,
    onset: dict[str, float] | None = None,
) -> Evidence:
    geometry, behaviour = [], []
    for model, n_seeds in runs.items():
        for seed in range(n_seeds):
            for i, task in enumerate(TASKS):
                about = {"model": model, "seed": seed, "probe": "p", "task": task, "step": STEPS}
                floor = (floors or {}).get(task, (floors or {}).get(model, 2.0))
                for layer, index in (("resid_1", 1), ("resid_2", 2), ("final_norm", 3)):
                    at = {"resid_1": 24.0, "resid_2": 12.0}.get(layer, 12.0) if top_down else 12.0 * index
                    for measure, falls in (("rankme", uncentred), ("rankme_centred", centred)):
                        value = rankme(falls, floor, at)
                        geometry.append(
                            pd.DataFrame(
                                about
                                | {
                                    "layer": layer,
                                    "layer_index": index,
                                    "measure": measure,
                                    "value": value,
                                    "error": value * 0.01,
                                }
                            )
                        )
                middle = (onset or {}).get(task, 200.0 * 2**i)
                share = 1 / (1 + (middle / np.maximum(STEPS, 0.1)) ** 4)
                for metric, value in (("accuracy", share), ("log_prob", np.log(share + 0.01))):
                    behaviour.append(
                        pd.DataFrame(
                            about
                            | {
                                "metric": metric,
                                "value": value,
                                "error": 0.01,
                                "n": 500,
                                "chance": 0.0,
                                "majority": 0.0,
                                "suite": "s",
                                "reason": "",
                                "source": "walk",
                            }
                        )
                    )
    return Evidence("e", pd.concat(geometry, ignore_index=True), pd.concat(behaviour, ignore_index=True))


RULE_OF = {claim.id: claim.rule for claim in read_claims()}


def ruling(claim: str, evidence: Evidence) -> Ruling:
    return RULES[RULE_OF[claim]](evidence)


def verdict(claim: str, evidence: Evidence) -> str:
    return ruling(claim, evidence).verdict


def test_every_claim_is_stated_and_every_rule_belongs_to_one() -> None:
    claims = read_claims()
    ids = [f"{letter}{i}" for letter, n in (("C", 12), ("S", 7), ("T", 3)) for i in range(1, n + 1)]
    assert [claim.id for claim in claims] == ids
    assert {claim.rule for claim in claims if claim.rule} == set(RULES)
    assert all(claim.rule for claim in claims)
    known = {source.id for source in read_sources()}
    assert all(claim.says and {one.source for one in claim.says} <= known for claim in claims)
    assert {"2602.15997", "2606.25010", "2509.23024"} <= {
        word.strip(",") for s in read_sources() for word in s.cite.split()
    }


def test_collapse_is_voted_by_runs() -> None:
    assert verdict("C1", made({"a": 1})) == SEEN
    assert verdict("C1", made({"a": 1}, centred=False, uncentred=False)) == NOT_SEEN
    assert verdict("C1", made({"a": 4})) == UNDECIDED
    assert verdict("C1", made({"a": 5})) == REPLICATES
    assert verdict("C1", made({"a": 5}, centred=False)) == IN_PART
    assert verdict("C1", made({"a": 5}, centred=False, uncentred=False)) == DOES_NOT
    early = dict.fromkeys(TASKS, 20.0)  # behaviour is there before RankMe comes back
    assert verdict("C1", made({"a": 5}, onset=early)) == DOES_NOT


def test_layer_order_is_voted_by_designs() -> None:
    five = dict.fromkeys("abcde", 1)
    assert verdict("C3", made(five)) == REPLICATES
    assert verdict("C3", made({"a": 5})) == SEEN  # seeds of one design are one vote
    assert verdict("C3", made(five, top_down=False)) == DOES_NOT
    assert verdict("C3", made({"a": 1, "b": 1})) == UNDECIDED
    assert verdict("C3", made({"a": 2}, uncentred=False)) == NOT_ENOUGH


def test_scale_needs_sizes_and_runs_and_sees_a_slope() -> None:
    sizes = {"a": 10**5, "b": 10**6}
    flat, steep = made({"a": 2, "b": 2}), made({"a": 2, "b": 2}, floors={"a": 2.0, "b": 3.0})
    assert verdict("C2", flat) == NOT_ENOUGH
    for evidence, expected in ((flat, REPLICATES), (steep, DOES_NOT)):
        assert verdict("C2", replace(evidence, parameters=sizes)) == expected
    few = replace(made({"a": 1, "b": 1}), parameters=sizes)
    assert ruling("C2", few).value == "needs 4 runs, has 2: walk another seed"


def test_difficulty_is_ranked_where_floors_follow_onsets() -> None:
    falling = {task: 4.0 - 0.5 * i for i, task in enumerate(TASKS)}
    assert verdict("C7", made({"a": 1}, floors=falling)) == SEEN
    assert verdict("C7", made({"a": 3}, floors=falling)) == REPLICATES
    rising = {task: 2.0 + 0.3 * i for i, task in enumerate(TASKS)}
    assert verdict("C7", made({"a": 3}, floors=rising)) == DOES_NOT
    mixed = dict(zip(TASKS, [2, 3, 2.5, 2.2, 2.8, 2.4], strict=True))
    assert verdict("C7", made({"a": 1}, floors=mixed)) == UNDECIDED  # six tasks cannot tell
    assert verdict("C7", made({"a": 1})) == NOT_ENOUGH  # equal floors rank nothing
    assert verdict("C8", made({"a": 1}, floors=falling)) == UNDECIDED  # three tasks a half cannot be at 5 %


def test_a_geometry_that_ignores_size_cannot_pass_the_swap_test() -> None:
    one, other = made({"a": 1}), made({"b": 1}, onset={task: 200.0 * 2 ** (5 - i) for i, task in enumerate(TASKS)})
    both = Evidence(
        "e", pd.concat([one.geometry, other.geometry]), pd.concat([one.behaviour, other.behaviour]), {"a": 1, "b": 2}
    )
    found = ruling("C9", both)
    assert found.verdict == NOT_ENOUGH and "has 0 of 15: a geometry that ignores size says nothing" in found.value
    assert verdict("C9", one) == NOT_ENOUGH


def test_pythia_claims_are_for_pythia(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = made({"a": 5})
    assert (
        ruling("C10", evidence).value == ruling("C11", evidence).value == "needs a Pythia run, walk --model pythia-160m"
    )
    pythia = replace(evidence, is_pythia=True)
    assert verdict("C10", pythia) == REPLICATES
    monkeypatch.setattr(precursor, "lead", lambda e: Ruling(REPLICATES, ""))
    assert verdict("C11", pythia) == DOES_NOT


def test_how_many_steps_of_the_paper_are_served_right_is_counted() -> None:
    wrong = {step for fault in FAULTS if fault.run == "pythia-2.8b" and fault.in_listing for step in fault.steps}
    late = range(50_000, 81_000, 1000)
    right = len(set(STEPS_154) - wrong), len(set(late) - wrong)
    for claim in read_claims():
        if claim.id in ("C10", "C11"):
            assert f"of 2.8B's 154 steps {right[0]} are served right" in claim.note
            assert f"of the {len(late)} thousands from 50K to 80K, {right[1]}" in claim.note


def test_too_few_families_or_no_accuracy_is_not_enough() -> None:
    whole = made({"a": 1})
    three = TASKS[:3]
    few = replace(
        whole,
        geometry=whole.geometry[whole.geometry["task"].isin(three)],
        behaviour=whole.behaviour[whole.behaviour["task"].isin(three)],
    )
    found = ruling("C4", few)
    assert found.verdict == NOT_ENOUGH and "fewer than five families" in found.value
    broken = replace(few, behaviour=few.behaviour[few.behaviour["metric"] != "accuracy"])
    assert ruling("C4", broken).value.startswith("needs behaviour accuracy")


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        ([LEADS, LEADS], REPLICATES),
        ([LEADS, UNSURE], IN_PART),
        ([COUPLED, LAGS, NO_LEAD], DOES_NOT),
        ([COUPLED, UNSURE], UNDECIDED),
        ([EARLIER], UNDECIDED),
        ([LEADS_HERE], SEEN),
        ([COUPLED + IN_THIS_RUN], NOT_SEEN),
        ([LEADS_HERE, LEADS_HERE], UNDECIDED),
    ],
)
def test_the_claim_of_a_lead_by_the_words_of_its_models(labels: list[str], word: str) -> None:
    assert precursor._word(labels) == word


def test_the_middle_of_censored_onsets_is_an_interval_that_a_run_has() -> None:
    nan = float("nan")
    rows = pd.DataFrame({"after": [32.0, 256.0, nan], "by": [64.0, 512.0, nan]})
    assert middle_onset(rows).tolist() == [256.0, 512.0]
    assert middle_onset(rows.iloc[[0, 2, 2]]).isna().all()
    assert middle_onset(rows.iloc[[1, 0]]).tolist() == [256.0, 512.0]


def test_positions_of_one_folder_are_not_mixed() -> None:
    evidence = made({"a": 5})
    last, mean = (evidence.geometry.assign(position=p) for p in ("last", "mean"))
    flat = mean.assign(value=8.0, error=0.1)
    both = replace(evidence, geometry=pd.concat([last, flat], ignore_index=True))
    assert verdict("C1", both) == REPLICATES
    assert verdict("C1", replace(both, position="mean")) == DOES_NOT


def test_the_table_has_a_row_a_claim_and_evidence_and_its_rows() -> None:
    evidence = [made({"a": 1}), replace(made({"a": 1}), name="f")]
    judged = judge_claims(evidence)
    table = judged.table
    assert (
        len(table) == 2 * len(read_claims()) and table["verdict"].isin(VERDICTS).all() and (table["value"] != "").all()
    )
    assert len(judged.rows["C1", "e"]) == 12  # six tasks in two conventions
    assert ("C5", "e") not in judged.rows
    told = table[table["id"] == "C1"]["operating"]
    assert told.str.contains("null: ").all() and told.str.contains("the paper's effect: ").all()


def effect(value: float, half: float, runs: int = 3) -> Effect:
    return Effect("e", value, value - half, value + half, runs, 0.2)


@pytest.mark.parametrize(
    ("lab", "run", "word"),
    [
        (effect(0.5, 0.05), effect(0.55, 0.05), "same"),
        (effect(0.5, 0.05), effect(0.9, 0.05), "different"),
        (effect(0.5, 0.3), effect(0.6, 0.3), "cannot tell"),
        (effect(0.5, 0.05), effect(0.9, 0.05, runs=1), "cannot tell"),
    ],
)
def test_replication_is_a_difference_with_its_interval(lab: Effect, run: Effect, word: str) -> None:
    found = replication({("C7", "lab"): lab, ("C7", "mine"): run}, "lab", ["mine"])
    assert found["word"].tolist() == [word]
    assert found["difference"].iloc[0] == pytest.approx(run.value - lab.value)
    assert replication({("C7", "lab"): Effect(), ("C7", "mine"): run}, "lab", ["mine"]).empty


def test_the_shipped_reference_speaks_to_collapse_and_order() -> None:
    reference = read_reference()
    lab = Evidence("lab", reference.geometry, reference.behaviour)
    assert ruling("C1", lab).rows["key"].nunique() == 24
    assert "designs top-down" in ruling("C3", lab).value


# -- runs that begin late ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [1024, 4096])
def test_a_run_that_begins_after_the_fall_has_no_vote(first: int) -> None:
    """As pythia-2.8b, whose trusted steps begin at 66000: it rises all the way, and nobody saw whether it fell."""
    whole = made({"a": 3, "b": 3}, floors={"a": 2.0, "b": 2.0})
    is_late = whole.geometry["model"].eq("b") & whole.geometry["step"].lt(first)
    cut = replace(whole, geometry=whole.geometry[~is_late])
    alone = replace(whole, geometry=whole.geometry[whole.geometry["model"] == "a"])
    assert set(cut.falls["model"]) == {"a"} and cut.floored == ["a"]
    expected, found = RULES["collapse"](alone), RULES["collapse"](cut)
    assert (found.verdict, found.effect) == (expected.verdict, expected.effect)
    assert found.value.endswith("b, b-seed1, b-seed2 left out: no step by 1000, where runs fall")
    assert "left out" not in RULES["collapse"](whole).value


def test_where_every_run_begins_late_each_claim_says_so_and_none_is_a_verdict() -> None:
    whole = made({"pythia-2.8b": 1, "pythia-1b": 1})
    late = replace(
        whole,
        geometry=whole.geometry[whole.geometry["step"] > 1000],
        parameters={"pythia-2.8b": 28, "pythia-1b": 10},
        is_pythia=True,
    )
    judged = judge_claims([late]).table.set_index("id")["verdict"]
    for claim in ("C1", "C2", "C3", "C7", "C8", "C9", "C10"):
        assert judged[claim] == NOT_ENOUGH, claim


def test_side_by_side_has_a_row_a_claim_and_the_words_of_both_sides() -> None:
    lab, mine = made({"a": 3}), replace(made({"a": 3}, uncentred=False), name="mine")
    judged = judge_claims([replace(lab, name="lab"), mine])
    pairs = replication(judged.effects, "lab", ["mine"])
    table = side_by_side(judged.table, pairs, "lab", "mine").set_index("id")
    assert list(table.index) == [claim.id for claim in read_claims()]
    rows = judged.table.set_index(["id", "evidence"])
    for claim in table.index:
        assert table.at[claim, "synthetic"] == rows.at[(claim, "lab"), "verdict"]
        assert table.at[claim, "run"] == rows.at[(claim, "mine"), "verdict"]
    both = set(pairs["id"])
    assert "C1" in both and table.at["C1", "word"] == pairs.set_index("id").at["C1", "word"]
    assert all(table.at[claim, "word"] == NOT_BOTH for claim in table.index if claim not in both)


def test_a_model_with_too_few_steps_for_a_curve_takes_no_answer_from_the_others() -> None:
    whole = made({"a": 1, "b": 1})
    kept = [
        frame[(frame["model"] == "a") | frame["step"].isin(STEPS[-3:])] for frame in (whole.geometry, whole.behaviour)
    ]
    cut = replace(whole, geometry=kept[0], behaviour=kept[1])
    alone = replace(whole, geometry=kept[0][kept[0]["model"] == "a"], behaviour=kept[1][kept[1]["model"] == "a"])
    verdicts, problem = cut.precursors
    expected, nothing = alone.precursors
    assert [(v.model, v.measure, v.label) for v in verdicts] == [(v.model, v.measure, v.label) for v in expected] != []
    assert problem.startswith("b, accuracy: the curves do not overlap") and nothing == ""

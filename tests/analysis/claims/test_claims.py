"""The table of claims on made evidence where the truth is known, and on the shipped reference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.claims import precursor
from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.lab_reference import read_reference
from pythia_geometry.analysis.claims.rules import RULES
from pythia_geometry.analysis.claims.ruling import (
    DOES_NOT,
    IN_PART,
    NOT_ENOUGH,
    REPLICATES,
    UNDECIDED,
    Ruling,
)
from pythia_geometry.analysis.claims.table import judge_claims, read_claims, read_sources

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
    assert [claim.id for claim in claims] == [*(f"C{i}" for i in range(1, 13)), "S1", "S2"]
    assert {claim.rule for claim in claims if claim.rule} == set(RULES)
    assert all("does not" in claim.decides and "yet" in claim.decides for claim in claims if not claim.rule)
    known = {source.id for source in read_sources()}
    assert all(claim.says and {one.source for one in claim.says} <= known for claim in claims)
    assert {"2602.15997", "2606.25010"} <= {word.strip(",") for s in read_sources() for word in s.cite.split()}


def test_collapse_is_universal_in_part_or_absent() -> None:
    assert verdict("C1", made({"a": 1})) == REPLICATES
    assert verdict("C1", made({"a": 1}, centred=False)) == IN_PART
    assert verdict("C1", made({"a": 1}, uncentred=False)) == DOES_NOT


def test_layer_order_needs_five_runs() -> None:
    assert verdict("C3", made({"a": 5})) == REPLICATES
    assert verdict("C3", made({"a": 4})) == UNDECIDED
    assert verdict("C3", made({"a": 4}, top_down=False)) == DOES_NOT
    assert verdict("C3", made({"a": 2}, uncentred=False)) == NOT_ENOUGH


def test_scale_needs_sizes_and_sees_a_slope() -> None:
    sizes = {"a": 10**5, "b": 10**6}
    flat, steep = made({"a": 1, "b": 1}), made({"a": 1, "b": 1}, floors={"a": 2.0, "b": 3.0})
    assert verdict("C2", flat) == NOT_ENOUGH
    for evidence, expected in ((flat, REPLICATES), (steep, DOES_NOT)):
        sized = Evidence("e", evidence.geometry, evidence.behaviour, sizes)
        assert verdict("C2", sized) == expected


def test_difficulty_is_ranked_where_floors_follow_onsets() -> None:
    falling = {task: 4.0 - 0.5 * i for i, task in enumerate(TASKS)}
    assert verdict("C7", made({"a": 1}, floors=falling)) == REPLICATES
    assert verdict("C7", made({"a": 1}, floors=dict(zip(TASKS, [2, 3, 2.5, 2.2, 2.8, 2.4], strict=True)))) == DOES_NOT
    assert verdict("C7", made({"a": 1})) == NOT_ENOUGH  # equal floors rank nothing
    assert verdict("C8", made({"a": 1}, floors=falling)) == DOES_NOT


def test_swaps_are_counted_between_the_smallest_and_the_largest() -> None:
    one, other = made({"a": 1}), made({"b": 1}, onset={task: 200.0 * 2 ** (5 - i) for i, task in enumerate(TASKS)})
    both = Evidence(
        "e", pd.concat([one.geometry, other.geometry]), pd.concat([one.behaviour, other.behaviour]), {"a": 1, "b": 2}
    )
    found = ruling("C9", both)
    assert "15 pairs" in found.value and found.verdict == REPLICATES  # equal floors are never right
    assert verdict("C9", one) == NOT_ENOUGH


def test_pythia_claims_are_for_pythia(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = made({"a": 1})
    assert verdict("C10", evidence) == verdict("C11", evidence) == NOT_ENOUGH
    pythia = Evidence("e", evidence.geometry, evidence.behaviour, is_pythia=True)
    assert verdict("C10", pythia) == REPLICATES
    found = Ruling(REPLICATES, "", pd.DataFrame())
    monkeypatch.setattr(precursor, "lead", lambda e: found)
    assert verdict("C11", pythia) == DOES_NOT


def test_a_lead_is_judged_by_model_and_a_table_that_cannot_be_tested_says_why() -> None:
    few = made({"a": 1})
    few = Evidence(
        "e", few.geometry[few.geometry["task"].isin(TASKS[:3])], few.behaviour[few.behaviour["task"].isin(TASKS[:3])]
    )
    found = ruling("C4", few)
    assert found.verdict == NOT_ENOUGH and "a: untestable" in found.value
    broken = Evidence("e", few.geometry, few.behaviour[few.behaviour["metric"] != "accuracy"])
    assert ruling("C4", broken).value.startswith("needs behaviour accuracy")


def test_the_table_has_a_row_a_claim_and_evidence_and_its_rows() -> None:
    evidence = [made({"a": 1}), Evidence("f", *(lambda e: (e.geometry, e.behaviour))(made({"a": 1})))]
    table, traced = judge_claims(evidence)
    assert len(table) == 24 and table["verdict"].notna().all() and (table["value"] != "").all()
    assert len(traced["C1", "e"]) == 12  # six tasks in two conventions
    assert ("C5", "e") not in traced


def test_the_shipped_reference_speaks_to_collapse_and_order() -> None:
    reference = read_reference()
    lab = Evidence("lab", reference.geometry, reference.behaviour)
    assert ruling("C1", lab).rows["task"].nunique() == 24
    assert "runs top-down" in ruling("C3", lab).value

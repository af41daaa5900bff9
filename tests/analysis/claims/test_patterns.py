"""S3 to S7 on made-up tables in which the answer is known, with the arms that the list really trains."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.operating import operating
from pythia_geometry.analysis.claims.pattern_runs import emergence
from pythia_geometry.analysis.claims.patterns import MIN_SEEDS
from pythia_geometry.analysis.claims.rules import RULES
from pythia_geometry.analysis.claims.ruling import DOES_NOT, IN_PART, NOT_ENOUGH, REPLICATES, UNDECIDED, Ruling
from pythia_geometry.analysis.claims.table import read_claims

RULE_OF = {claim.id: claim.rule for claim in read_claims()}
IDS = ("S3", "S4", "S5", "S6", "S7")
Row = dict[str, float]


@cache
def planned() -> pd.DataFrame:
    """Settings of every run on the list, as their records have them."""
    script = Path(__file__).resolve().parents[3] / "scripts" / "patterns_reference.py"
    spec = importlib.util.spec_from_file_location("patterns_reference", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["patterns_reference"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    rows = []
    for arm in module.planned().values():
        facts = asdict(arm.training) | {"given": str(arm.given), "budget": float(arm.training.steps)}
        facts |= {"layers": arm.training.shape.n_layers, "head_width": arm.training.shape.head_width}
        rows += [facts | {"arm": arm.name, "seed": seed} for seed in range(arm.n_seeds)]
    return pd.DataFrame(rows)


def made(step: Callable[[pd.Series], float], spread: float = 0.05) -> pd.DataFrame:
    """Runs that emerge about the step that their settings say, infinity for never."""
    rng = np.random.default_rng(0)
    runs = planned().copy()
    at = runs.apply(step, axis=1) * np.exp(spread * rng.normal(size=len(runs)))
    return runs.assign(by=at.where(at <= runs["budget"]), last=runs["budget"])


def ruling(claim: str, runs: pd.DataFrame) -> Ruling:
    return RULES[RULE_OF[claim]].judge(Evidence("lab", pd.DataFrame(), pd.DataFrame(), patterns=runs))


def as_published(run: pd.Series) -> float:
    """The paper's story: every claim true."""
    if run["network"] == "mixer":
        return 100.0
    hump = 1 + 0.5 * (run["size"] / 4 < run["sparsity"] < 3 * run["size"] / 4)
    heads = 8 / run["heads"] if run["head_width"] * run["heads"] == 128 else 16 / min(run["head_width"], 16)
    plateau = run["size"] ** 2.5 * hump * heads if run["task"] == "linear-map" else 100.0 * run["size"]
    return plateau / (10 if run["bias"] else 1)


def test_the_published_story_replicates() -> None:
    runs = made(as_published)
    for claim in IDS:
        found = ruling(claim, runs)
        assert found.verdict == REPLICATES, (claim, found.value)
        assert claim == "S4" or "S = 12" in found.value  # the larger size decides
        assert "p = " in found.value and len(found.rows)


def test_its_opposite_does_not() -> None:
    opposite = made(lambda run: 40_000 / as_published(run))
    words = {claim: ruling(claim, opposite).verdict for claim in IDS}
    assert words == dict.fromkeys(IDS, DOES_NOT)


def test_one_form_alone_is_in_part() -> None:
    runs = made(lambda run: as_published(run) if run["form"] == "leaking" else 300.0, spread=0.3)
    assert ruling("S3", runs).verdict == ruling("S5", runs).verdict == ruling("S7", runs).verdict == IN_PART


def test_a_bias_that_works_at_one_rate_is_in_part_and_the_rate_is_named() -> None:
    runs = made(lambda run: 300.0 if run["rate"] < 2e-3 else as_published(run))
    found = ruling("S7", runs)
    assert found.verdict == IN_PART and "rate 0.003" in found.value and "rate 0.001" in found.value


def test_a_plateau_that_is_only_shorter_is_not_removed() -> None:
    runs = made(lambda run: 300.0 / (2 if run["bias"] else 1))
    assert ruling("S7", runs).verdict == UNDECIDED


def test_heads_that_go_on_helping_are_not_what_is_claimed() -> None:
    def step(run: pd.Series) -> float:
        return as_published(run) if run["head_width"] * run["heads"] == 128 else 12_000 / run["head_width"] ** 1.5

    assert ruling("S5", made(step)).verdict in (UNDECIDED, IN_PART)


def test_arms_that_are_missing_are_named() -> None:
    runs = made(as_published)
    for claim in IDS:
        assert ruling(claim, pd.DataFrame()).verdict == NOT_ENOUGH
    small = runs[runs["size"] <= 8]
    assert ruling("S3", small).verdict == NOT_ENOUGH and "size 10" in ruling("S3", small).value
    assert "S = 8" in ruling("S6", small).value and ruling("S6", small).verdict == REPLICATES
    one_form = ruling("S7", runs[runs["form"] == "leaking"])
    assert one_form.verdict == NOT_ENOUGH and "rate 0.003: c 0: " in one_form.value  # its numbers, and no verdict
    three = runs[runs["seed"] < 3]
    assert {ruling(claim, three).verdict for claim in IDS} == {NOT_ENOUGH}


@pytest.mark.parametrize(
    ("claim", "lacks"),
    [
        ("S3", {"sparsity": 12, "form": "masked"}),
        ("S5", {"head_width": 32, "form": "masked"}),
        ("S5", {"heads": 1, "form": "leaking"}),
        ("S6", {"network": "mixer", "sparsity": 6}),
        ("S7", {"bias": 10.0, "rate": 3e-3, "form": "leaking"}),
    ],
)
def test_no_size_decides_half_of_a_claim(claim: str, lacks: dict[str, object]) -> None:
    """While one arm of S = 12 is not there, every form, rate and sweep is judged at S = 8."""
    runs = made(as_published)
    is_lacking = runs["size"] == 12
    for name, value in lacks.items():
        is_lacking &= runs[name] == value
    assert is_lacking.any()
    found = ruling(claim, runs[~is_lacking])
    assert found.verdict == REPLICATES and "S = 8" in found.value and "S = 12" not in found.value


def test_where_no_run_emerged_nothing_is_earlier_or_later() -> None:
    runs = made(lambda _: np.inf)
    for claim in IDS:
        found = ruling(claim, runs)
        assert found.verdict == UNDECIDED and "(no run emerged)" in found.value, claim
        assert "earlier" not in found.value and "later" not in found.value and "p = " not in found.value, claim


def test_a_width_that_never_emerges_helps_no_more() -> None:
    def step(run: pd.Series) -> float:
        return np.inf if run["head_width"] == 32 and run["heads"] == 8 else as_published(run)

    found = ruling("S5", made(step))
    assert found.verdict == REPLICATES and "no longer helps" in found.value
    never = made(lambda run: np.inf if run["heads"] == 8 and run["head_width"] in (16, 32) else as_published(run))
    assert "no longer helps" not in ruling("S5", never).value  # neither median is known


def test_runs_with_supplied_patterns_are_no_arm_of_a_sweep() -> None:
    runs = made(as_published)
    absurd = runs.assign(by=runs["by"].where(runs["given"] == "", 1.0))
    assert ruling("S7", absurd).value == ruling("S7", runs).value


def test_nothing_is_found_where_nothing_is() -> None:
    """About 2.5 % a test and side: of 20 rulings at most two say so."""
    said = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        runs = planned()
        runs = runs.assign(by=300 * np.exp(0.5 * rng.normal(size=len(runs))), last=runs["budget"])
        said += [ruling(claim, runs[runs["size"] != 16]).verdict for claim in ("S4", "S6")]
    assert said.count(UNDECIDED) >= 18


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        ([0.5, 0.6, 0.95, 1, 1, 1, 1, 1], (10.0, 20.0)),
        ([0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7], (np.nan, np.nan)),
        ([0.5, 0.95, 0.5, 0.5, 0.5, 0.95, 1, 1], (40.0, 50.0)),  # a visit that does not last
        ([0.95, 1, 1, 1, 1, 1, 1, 1], (np.nan, 0.0)),
    ],
)
def test_a_run_emerges_when_it_is_right_for_good(accuracy: list[float], expected: tuple[float, float]) -> None:
    rows = [(0, output, 10 * i, a) for i, a in enumerate(accuracy) for output in range(2)]
    (found,) = emergence(pd.DataFrame(rows, columns=["seed", "output", "step", "accuracy"]), 500).itertuples()
    np.testing.assert_equal((found.after, found.by), expected)
    assert found.last == 500


@pytest.mark.parametrize("claim", IDS)
def test_a_rule_has_truths_with_all_of_its_arms(claim: str) -> None:
    """A draw of the list that lacked an arm would always say that there is not enough evidence."""
    rule = RULES[RULE_OF[claim]]
    assert [truth.name for truth in rule.truths] == ["null", "the paper's effect"] and MIN_SEEDS in rule.runs
    for truth in rule.truths:
        assert truth.draw(MIN_SEEDS, np.random.default_rng(0)) != NOT_ENOUGH
    assert "null: undecided" in operating(rule_name := RULE_OF[claim], 4) and "the paper's effect" in operating(
        rule_name, 8
    )


def test_a_verdict_says_how_many_seeds_its_arms_have() -> None:
    assert ruling("S6", made(as_published)).effect.n_runs == MIN_SEEDS

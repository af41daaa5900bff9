"""S1 and S2 on made-up suites in which the answer is known."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.heads import RULES, survival_table
from pythia_geometry.analysis.claims.operating import operating
from pythia_geometry.analysis.claims.pattern_runs import of_base, read_runs, shipped
from pythia_geometry.analysis.claims.ruling import DOES_NOT, IN_PART, NOT_ENOUGH, REPLICATES, UNDECIDED
from tests.analysis.made_up_heads import tables

SIZES = {"pythia-14m": 14_000_000, "pythia-70m": 70_000_000, "pythia-160m": 160_000_000}


def random_steps(seed: int) -> dict[tuple[str, int, str], float]:
    rng = np.random.default_rng(seed)
    names = [(m, s, t) for m in SIZES for s in range(10) for t in ("ioi_short", "resume_6", "recall_2")]
    return {name: float(10 ** rng.uniform(3.6, 4.4)) for name in names}


def evidence(onset: object, **how: object) -> Evidence:
    geometry, behaviour = tables(onset, **how)  # type: ignore[arg-type]
    return Evidence("made up", geometry, behaviour, SIZES, is_pythia=True)


def test_a_planted_coincidence_replicates_s2() -> None:
    at = random_steps(0)
    found = RULES["together"](evidence(lambda *unit: (at[unit], at[unit] + 800)))
    assert found.verdict == REPLICATES
    assert "24 units of 8 runs tested" in found.value
    assert found.effect.n_runs == 8
    assert (found.rows["p_adjusted"] >= found.rows["p_other_seed"]).all()
    assert len(found.rows) == 3


def test_independent_onsets_do_not() -> None:
    one, two = random_steps(1), random_steps(2)
    assert RULES["together"](evidence(lambda *unit: (one[unit], two[unit]))).verdict == DOES_NOT
    few = RULES["together"](evidence(lambda *unit: (one[unit], two[unit]), seeds=5))
    assert few.verdict == UNDECIDED  # the test would often miss a coincidence


def test_one_seed_or_no_scatter_or_no_onset_is_not_testable() -> None:
    at = random_steps(0)
    assert "expected at least 4" in RULES["together"](evidence(lambda *unit: (at[unit], at[unit]), seeds=1)).value
    same = RULES["together"](evidence(lambda *_: (5500, 5500)))
    assert (same.verdict, "scatter by 0.0 checkpoints" in same.value) == (NOT_ENOUGH, True)
    never = RULES["together"](evidence(lambda *_: (5500, 10**8)))
    assert (never.verdict, "no unit has both onsets" in never.value) == (NOT_ENOUGH, True)
    assert "24 with the pattern alone" in never.value


def test_without_attention_or_answers_s2_says_what_to_walk() -> None:
    whole = evidence(lambda *_: (5500, 5500), seeds=2)
    no_mass = Evidence("x", whole.geometry.assign(measure="rankme"), whole.behaviour)
    assert "walk --measures target_mass" in RULES["together"](no_mass).value
    no_answers = Evidence("x", whole.geometry, whole.behaviour[whole.behaviour["metric"] == "accuracy"])
    assert "needs behaviour probability" in RULES["together"](no_answers).value


def in_the_lab(folder: Path) -> Evidence:
    return Evidence("lab", pd.DataFrame(), pd.DataFrame(), patterns=read_runs(folder))


def test_the_patterns_lab_answers_s2_at_the_largest_size_of_both_forms(tmp_path: Path) -> None:
    for file in shipped().glob("linear-map-8-3-*"):
        shutil.copy(file, tmp_path)
    found = RULES["together"](in_the_lab(tmp_path))
    both = {form: of_base(f"linear-map-8-3-{form}", tmp_path) for form in ("leaking", "masked")}
    for form, one in both.items():
        assert (
            f"linear-map-8-3-{form}: {one.label}" in found.value and f"{one.within_one:.0%} within one" in found.value
        )
    assert found.effect.n_runs == min(one.n_runs for one in both.values()) == 8  # seeds; both forms have the same
    shutil.copy(shipped() / "linear-map-16-3-leaking.parquet", tmp_path)
    assert RULES["together"](in_the_lab(tmp_path)).value == found.value, "one form of a larger size decides nothing"
    shutil.copy(shipped() / "linear-map-16-3-masked.parquet", tmp_path)
    assert RULES["together"](in_the_lab(tmp_path)).value == found.value, "curves without a record are half written"


def test_one_form_of_the_patterns_lab_is_no_verdict(tmp_path: Path) -> None:
    for file in shipped().glob("linear-map-8-3-masked*"):
        shutil.copy(file, tmp_path)
    found = RULES["together"](in_the_lab(tmp_path))
    assert found.verdict == NOT_ENOUGH and "both forms" in found.value


def test_abrupt_scattered_and_earlier_with_size_replicates_s1() -> None:
    at, faster = random_steps(0), {"pythia-14m": 1.0, "pythia-70m": 0.5, "pythia-160m": 0.2}
    found = RULES["scatter"](evidence(lambda m, s, t: (1.0, faster[m] * at[m, s, t]), models=tuple(SIZES), seeds=5))
    assert found.verdict == REPLICATES
    assert "larger models earlier" in found.value
    assert found.effect.n_runs == 5


@pytest.mark.parametrize("rule", ["scatter", "together"])
def test_beside_a_verdict_stand_the_rates_of_its_own_number_of_seeds(rule: str) -> None:
    said = operating(rule, 10)
    assert said.startswith("with 10 runs: null: ")
    assert "the paper's effect: replicates" in said
    assert "not enough evidence" not in said


def test_one_size_or_the_wrong_order_is_s1_in_part() -> None:
    at = random_steps(0)
    assert RULES["scatter"](evidence(lambda *unit: (1.0, at[unit]), seeds=5)).verdict == IN_PART
    slower = {"pythia-14m": 0.2, "pythia-160m": 1.0}
    found = RULES["scatter"](evidence(lambda m, s, t: (1.0, slower[m] * at[m, s, t]), models=tuple(slower), seeds=5))
    assert (found.verdict, "larger models later" in found.value) == (IN_PART, True)


def test_slow_rises_at_one_time_are_no_s1() -> None:
    found = RULES["scatter"](
        evidence(lambda *_: (1.0, 3000), models=("pythia-14m", "pythia-160m"), seeds=4, width=0.35)
    )
    assert found.verdict == DOES_NOT


def test_one_seed_is_not_testable_for_s1() -> None:
    at = random_steps(0)
    found = RULES["scatter"](evidence(lambda *unit: (1.0, at[unit]), seeds=1))
    assert (found.verdict, "walk --seeds all" in found.value) == (NOT_ENOUGH, True)
    never = RULES["scatter"](evidence(lambda *_: (1.0, 10**8), seeds=4))
    assert never.verdict == NOT_ENOUGH


def test_runs_that_never_emerge_are_censored_and_not_left_out() -> None:
    late = [3500.0, 5500.0, 10.0**8, 10.0**8]
    _, behaviour = tables(lambda _, seed, __: (1.0, late[seed]), seeds=4, tasks=("a",))
    (row,) = survival_table(behaviour).itertuples()
    assert (row.n, row.n_censored, row.median) == (4, 2, 6000)


@pytest.mark.parametrize("rule", RULES)
def test_words_in_made_up_truths(rule: str) -> None:
    """Operating characteristics: with eight seeds the null seldom replicates, the paper's effect often."""
    null, effect = RULES[rule].truths
    words = [[truth.draw(8, np.random.default_rng([seed, 1])) for seed in range(20)] for truth in (null, effect)]
    assert words[0].count(REPLICATES) <= 3
    assert words[1].count(REPLICATES) >= words[0].count(REPLICATES) + 5

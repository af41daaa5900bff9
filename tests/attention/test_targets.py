"""Mass on the target beside what the head gives to unmarked keys of the same age."""

from __future__ import annotations

import numpy as np
import pytest

from pythia_geometry.attention import HeadReading, Prompt
from pythia_geometry.attention.head_values import HEAD_MEASURES, head_values
from pythia_geometry.attention.output_rank import output_rank
from pythia_geometry.attention.scores import SCORES
from pythia_geometry.attention.targets import (
    NO_CONTROL,
    baseline_estimates,
    mass_estimates,
    matched_mass,
    selectivity_estimates,
)

AGES = 8


def prompts(ages: list[int], n: int = AGES) -> list[Prompt]:
    """Prompts of n tokens whose target lies so many tokens before the last."""
    return [Prompt(np.arange(n), {"target": (n - 1 - age,)}) for age in ages]


def rows(by_age: list[list[float]]) -> np.ndarray:
    """Attention by age [N, 1, A] of one head."""
    return np.array(by_age, dtype=np.float32)[:, None]


def test_a_head_that_looks_at_a_distance_is_not_selective() -> None:
    always_three_back = rows([[0, 0, 0, 1, 0, 0, 0, 0]] * 4)
    found = matched_mass(always_three_back, prompts([3, 3, 5, 5]))
    assert found.mass[:, 0].tolist() == [1, 1, 0, 0]
    assert found.baseline == pytest.approx([0.5])  # at age 3 the two others give 1, at age 5 the first two give 0
    assert selectivity_estimates(found)[0].value == pytest.approx(1.0)


def test_a_head_that_looks_at_the_target_is_selective() -> None:
    on_target = np.full((4, 1, AGES), 0.05)
    for i, age in enumerate([3, 3, 5, 5]):
        on_target[i, 0, age] = 0.65
    found = matched_mass(on_target, prompts([3, 3, 5, 5]))
    (selective,) = selectivity_estimates(found)
    assert selective.value == pytest.approx(13.0)
    assert selective.error == pytest.approx(0.0, abs=1e-9)
    assert (selective.n, selective.reason) == (4, "")


def test_a_constant_pattern_scores_its_baseline() -> None:
    found = matched_mass(np.full((6, 2, AGES), 1 / AGES), prompts([1, 2, 3, 4, 5, 6]))
    assert [one.value for one in selectivity_estimates(found)] == pytest.approx([1.0, 1.0])
    assert [one.value for one in mass_estimates(found)] == pytest.approx([1 / AGES] * 2)


def test_where_all_targets_have_one_age_the_neighbours_stand_in() -> None:
    by_age = rows([[0.1, 0.1, 0.3, 0.4, 0.1, 0, 0, 0]] * 3)
    found = matched_mass(by_age, prompts([3, 3, 3]))
    assert found.baseline == pytest.approx([0.2])  # ages 2 and 4


def test_the_first_token_is_no_control() -> None:
    resting = rows([[0, 0, 0, 0, 0, 0, 0.1, 0.9], [0, 0, 0, 0, 0, 0, 0.9, 0]])
    resting[1, 0, 7] = np.nan
    found = matched_mass(resting, [*prompts([6]), Prompt(np.arange(7), {"target": (0,)})])
    assert found.baseline == pytest.approx([0.0])  # not .9 at age 6 of the second: its first token


def test_errors_are_those_of_deleting_each_prompt() -> None:
    rng = np.random.default_rng(1)
    marked = prompts([int(a) for a in rng.integers(1, 7, 12)])
    by_age = rng.uniform(size=(12, 3, AGES))
    found = selectivity_estimates(matched_mass(by_age, marked))
    kept = [[i for i in range(12) if i != out] for out in range(12)]
    slow = [selectivity_estimates(matched_mass(by_age[k], [marked[i] for i in k])) for k in kept]
    for head in range(3):
        values = np.array([one[head].value for one in slow])
        assert found[head].error == pytest.approx(np.sqrt(11 / 12 * ((values - values.mean()) ** 2).sum()))


def test_prompts_without_the_mark_are_left_out_and_counted() -> None:
    marked = [*prompts([1, 2, 3]), Prompt(np.arange(AGES))]
    found = matched_mass(np.full((4, 1, AGES), 1 / AGES), marked)
    assert {one[0].n for one in (mass_estimates(found), baseline_estimates(found))} == {3}
    assert mass_estimates(found)[0].reason == ""  # sound, of the three


def test_no_mark_and_no_control_are_said() -> None:
    nobody = matched_mass(np.full((3, 2, AGES), 0.1), [Prompt(np.arange(AGES))] * 3)
    for estimates in (mass_estimates, baseline_estimates, selectivity_estimates):
        found = estimates(nobody)
        assert len(found) == 2
        assert np.isnan(found[0].value)
        assert found[0].reason == "no mark 'target' in 3 of 3 prompts"
    short = [Prompt(np.arange(2), {"target": (1,)})] * 3
    assert selectivity_estimates(matched_mass(np.full((3, 1, 2), 0.5), short))[0].reason == NO_CONTROL


def reading(n: int = 6, layers: int = 2, heads: int = 3, seed: int = 0) -> HeadReading:
    rng = np.random.default_rng(seed)
    marked = prompts([int(a) for a in rng.integers(1, 6, n)])
    return HeadReading(
        tuple(marked),
        tuple(SCORES),
        np.ones((n, len(SCORES)), dtype=bool),
        rng.uniform(size=(layers, n, len(SCORES), heads)),
        rng.uniform(size=(layers, n, heads, AGES)).astype(np.float32),
        rng.normal(size=(layers, n, heads, 5)).astype(np.float32),
    )


def test_every_head_has_every_measure_and_sums_are_sums() -> None:
    found = list(head_values(reading()))
    by_head = [(v.measure, v.layer, v.head) for v in found if v.head is not None]
    assert by_head == [(m, layer, head) for m in HEAD_MEASURES for layer in (1, 2) for head in range(3)]
    values = {(v.measure, v.layer, v.head): v.estimate for v in found}
    for measure in ("previous_token", "duplicate_token", "induction", "target_mass", "target_baseline"):
        own = [values[measure, layer, head].value for layer in (1, 2) for head in range(3)]
        assert values[measure, None, None].value == pytest.approx(sum(own))
        assert values[measure, 1, None].value == pytest.approx(sum(own[:3]))
    whole = values["target_mass", None, None].value / values["target_baseline", None, None].value
    assert values["target_selectivity", None, None].value == pytest.approx(whole)
    assert ("sink", None, None) not in values


def test_non_finite_attention_is_a_reason() -> None:
    broken = reading()
    broken.scores[0, 2, 0, 1] = np.nan
    broken.last_rows[1, 0, 2, :] = np.nan
    values = {(v.measure, v.layer, v.head): v.estimate for v in head_values(broken)}
    assert values["previous_token", 1, 1].reason == "non-finite attention in 1 of 6 prompts"
    assert np.isnan(values["previous_token", None, None].value)
    assert values["target_mass", 2, 2].reason.startswith("non-finite attention")
    assert values["target_selectivity", 2, 2].reason.startswith("non-finite attention")
    assert values["target_mass", 1, 2].reason == ""


def test_an_absent_measure_is_named() -> None:
    with pytest.raises(KeyError, match="previos"):
        list(head_values(reading(), ["previos"]))


def test_output_rank_of_known_shapes() -> None:
    assert output_rank(np.diag([1.0, 1.0, 1.0, 1.0])).value == pytest.approx(4.0)
    assert output_rank(np.outer(np.arange(1, 6), np.ones(3))).value == pytest.approx(1.0)
    assert output_rank(np.zeros((4, 3))).reason == "all head outputs are zero"
    p = np.array([9, 1]) / 10
    assert output_rank(np.diag([3.0, 1.0])).value == pytest.approx(np.exp(-(p * np.log(p)).sum()))


def test_the_error_of_output_rank_is_near_deletion() -> None:
    rows_of_head = np.random.default_rng(0).normal(size=(600, 8)) * np.arange(1, 9)
    without = np.array([output_rank(np.delete(rows_of_head, i, axis=0)).value for i in range(600)])
    jackknife = np.sqrt(599 / 600 * ((without - without.mean()) ** 2).sum())
    assert output_rank(rows_of_head).error == pytest.approx(jackknife, rel=0.02)

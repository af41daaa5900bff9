"""From answers to rows, and what identifies a piece of work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pythia_geometry.extraction.capture import Answers
from pythia_geometry.extraction.probes.probe_files import Item
from pythia_geometry.extraction.probes.probes import Probe
from pythia_geometry.measures import MEASURES
from pythia_geometry.runs import rows
from pythia_geometry.suites.checkpoint import Checkpoint, WeightFile

CHECKPOINT = Checkpoint("s", "m", 0, 5, 10, "o/m", "step5", "c" * 40, (WeightFile("model.safetensors", 9, "a" * 64),))


def probe(*distractors: int, task: str = "t") -> Probe:
    """One item for each number of distractors; the first two have the same target."""
    targets = ["a", "a", "b", "c", "d", "e"]
    items = [
        Item(f"{task}/{i}", task, f"p{i}", targets[i], tuple(f"x{k}" for k in range(n)))
        for i, n in enumerate(distractors)
    ]
    return Probe("set", task, tuple(items))


def answers(log_prob: list[float], margin: list[float], choice: list[float], exact: list[float]) -> Answers:
    arrays = [np.array(values) for values in (log_prob, margin, choice, exact)]
    return Answers(*arrays, choices=[np.array([p, p - m]) for p, m in zip(log_prob, margin, strict=True)])


def behaviour(given: Answers, of: Probe) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in rows.behaviour_rows(given, of, {})}


def test_accuracy_is_the_forced_choice_where_there_are_distractors() -> None:
    given = answers([-1, -2, -3, -6], [1, 2, -1, 2], [1, 1, 0, 1], [1, 0, 0, 0])
    found = behaviour(given, probe(1, 1, 1, 1))
    assert found["accuracy"]["value"] == 0.75
    assert found["accuracy"]["chance"] == 0.5
    assert found["accuracy"]["error"] == pytest.approx(np.std([1, 1, 0, 1], ddof=1) / 2)
    assert found["exact_match"]["value"] == 0.25
    assert found["exact_match"]["chance"] == 0.0
    assert found["log_prob"]["value"] == -3.0
    assert np.isnan(found["log_prob"]["chance"])
    assert found["margin"]["value"] == 1.0
    assert {row["majority"] for row in (found["accuracy"], found["exact_match"])} == {0.5}
    assert {row["n"] for row in found.values()} == {4}
    assert {row["reason"] for row in found.values()} == {""}
    assert {row["source"] for row in found.values()} == {"walk"}


def test_accuracy_is_exact_match_where_there_are_none_and_the_margin_is_unknown() -> None:
    nan = float("nan")
    found = behaviour(answers([-1, -2, -3], [nan] * 3, [nan] * 3, [1, 0, 1]), probe(0, 0, 0))
    assert found["accuracy"]["value"] == found["exact_match"]["value"] == pytest.approx(2 / 3)
    assert found["accuracy"]["chance"] == 0.0
    assert np.isnan(found["margin"]["value"])
    assert found["margin"]["reason"] == "items without distractors have no margin"


def test_mixed_items_have_the_mean_chance_and_each_its_own_kind_of_accuracy() -> None:
    nan = float("nan")
    found = behaviour(answers([-1, -2], [1, nan], [0, nan], [0, 1]), probe(3, 0))
    assert found["accuracy"]["value"] == 0.5
    assert found["accuracy"]["chance"] == 0.125
    assert np.isnan(found["margin"]["value"])


def test_non_finite_answers_are_unknown_with_their_number() -> None:
    nan = float("nan")
    found = behaviour(answers([-1, nan, -3], [1, nan, 1], [1, nan, 1], [1, nan, 0]), probe(1, 1, 1))
    for row in found.values():
        assert np.isnan(row["value"])
        assert row["reason"] == "non-finite log-probabilities in 1 of 3 items"


def test_answers_have_one_row_an_item_in_order() -> None:
    found = list(rows.answer_rows(answers([-1, -2], [3, 4], [1, 0], [0, 1]), probe(1, 1), {"step": 5}))
    assert [(r["item"], r["id"], r["log_prob"], r["margin"], r["choice"], r["exact"]) for r in found] == [
        (0, "t/0", -1.0, 3.0, 1.0, 0.0),
        (1, "t/1", -2.0, 4.0, 0.0, 1.0),
    ]


def test_every_layer_gets_every_measure() -> None:
    activations = np.random.default_rng(0).standard_normal((3, 9, 4))
    two = (MEASURES["rankme"], MEASURES["twonn"])
    found = rows.measure_layers(activations, ("embed", "resid_1", "final_norm"), two)
    assert [(site.layer_index, m) for site, m, _ in found] == [(i, m) for i in range(3) for m in two]
    assert found[2][2] == MEASURES["rankme"].compute(rows.Cloud(activations[1]))


def test_checkpoint_row_states_commit_and_hash() -> None:
    row = rows.checkpoint_row(CHECKPOINT)
    assert (row["commit"], row["weight_sha256"], row["tokens"], row["status"]) == ("c" * 40, "a" * 64, 10, "ok")
    assert rows.checkpoint_row(replace(CHECKPOINT, commit=None))["commit"] == ""

"""Suites that are nearly right: each oddity has its own message, and none ends a walk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.suites.checkpoint import Checkpoint, WeightFile
from pythia_geometry.suites.duplicates import mark_duplicates
from pythia_geometry.suites.local import LocalSuite
from pythia_geometry.suites.named import find_suites, parse_seeds


def point(step: int, sha256: str) -> Checkpoint:
    return Checkpoint("s", "m", 0, step, None, "m", f"step{step}", files=(WeightFile("model.safetensors", 1, sha256),))


def test_steps_zero_and_one_that_both_serve_main_are_duplicates() -> None:
    marked = mark_duplicates([point(0, "aa"), point(1, "aa")], 143_000, point(0, "aa"))
    assert [c.status for c in marked] == ["duplicate", "duplicate"]


def test_weights_without_a_known_hash_are_not_each_others_duplicates() -> None:
    assert [c.status for c in mark_duplicates([point(s, "") for s in (0, 5, 9)], 9)] == ["ok"] * 3


@pytest.mark.parametrize(
    "facts",
    [
        {"probes": "core"},
        {"probes": 3},
        {"tokens_per_step": "5"},
        {"seed": "a"},
        {"seed": None},
        {"seed": True},
        {"name": ".."},
        {"suite": "../x"},
    ],
)
def test_a_wrong_fact_is_named(tmp_path: Path, facts: dict[str, Any]) -> None:
    (tmp_path / "step1").mkdir()
    (tmp_path / "suite.json").write_text(json.dumps(facts))
    with pytest.raises(PythiaGeometryError, match=f"{next(iter(facts))} must be"):
        LocalSuite(tmp_path)


def test_two_folders_of_one_step_are_refused(tmp_path: Path) -> None:
    for name in ("step3", "step03"):
        (tmp_path / name).mkdir()
    with pytest.raises(PythiaGeometryError, match="both name step 3"):
        LocalSuite(tmp_path)


def test_of_two_stages_the_first_is_walked(tmp_path: Path) -> None:
    for name in ("stage1-step10-tokens1B", "stage2-step10-tokens2B", "stage2-step20-tokens3B"):
        (tmp_path / name).mkdir()
    suite = LocalSuite(tmp_path)
    assert suite.steps() == [10]
    assert suite.notes == ("stages left out: stage2 (2 steps); walk one with --stage stage2",)


def test_a_step_that_is_not_there_is_a_missing_row(tmp_path: Path) -> None:
    (tmp_path / "step3").mkdir()
    assert LocalSuite(tmp_path).find([4])[0].status == "missing"


@pytest.mark.parametrize("name", ["~nosuchuser/suite", "a" * 300, "x/" + "y" * 300, "nul\0byte", "a/b/c"])
def test_an_odd_name_is_an_unknown_model(name: str) -> None:
    with pytest.raises(PythiaGeometryError, match="Unknown model"):
        find_suites(name)


def test_seed_zero_of_a_run_that_varies_one_thing_does_not_exist() -> None:
    with pytest.raises(PythiaGeometryError, match="does not exist"):
        find_suites("pythia-160m-data-seed1", [0, 1])


@pytest.mark.parametrize("text", ["1-9999999999", "9" * 5000, "1-", "-1", "9-1"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(PythiaGeometryError, match="--seeds does not understand"):
        parse_seeds(text)

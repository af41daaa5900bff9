"""A planted bend: behaviour needs several right tokens at once, and no token gives another away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.batches import IGNORE, draw_batch, grouped
from pythia_geometry.lab.settings import Training
from pythia_geometry.lab.train import train
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request

BENT = Training("smoke", steps=2, tasks=("COPY1", "CMP1", "ADD1"), plant_bend=8)
STRAIGHT = Training("smoke", steps=2, tasks=("COPY1", "CMP1", "ADD1"))


def test_answers_are_said_again_and_problems_stay_the_same() -> None:
    bent, straight = (draw_batch(run.levels, 96, 3, 7) for run in (BENT, STRAIGHT))
    for mine, theirs in zip(bent, straight, strict=True):
        assert mine.prompt == theirs.prompt
        assert mine.answer == theirs.answer * (8 // len(theirs.answer))
        assert len(mine.answer) == 8
        assert theirs.shown == theirs.answer


def test_what_is_shown_says_nothing_about_the_answer() -> None:
    drawn = [d for step in range(40) for d in draw_batch(BENT.levels, 96, 0, step) if d.level == 0]
    pairs = [(shown, right) for d in drawn for shown, right in zip(d.shown, d.answer, strict=True)]
    same = sum(shown == right for shown, right in pairs) / len(pairs)
    assert same == pytest.approx(0.1, abs=4 * (0.09 / len(pairs)) ** 0.5)  # ten digits


def test_inputs_hold_what_is_shown_and_labels_the_answer() -> None:
    batch = draw_batch(BENT.levels, 12, 0, 0)
    for problems, inputs, labels in grouped(batch):
        for d, read, asked in zip(problems, inputs.tolist(), labels.tolist(), strict=True):
            n = len(d.prompt)
            assert read[: n + 7] == d.prompt + d.shown[:7]
            assert asked[: n - 1] == [IGNORE] * (n - 1)
            assert asked[n - 1 : n + 7] == d.answer


def test_the_suite_carries_the_probes_that_it_is_asked(tmp_path: Path) -> None:
    folder = train(BENT, tmp_path)
    assert folder.name == "smoke-gpt2-bend8-COPY1-CMP1-ADD1-seed0"
    assert json.loads((folder / "suite.json").read_text())["probes"] == ["lab.jsonl"]
    rows = [json.loads(line) for line in (folder / "lab.jsonl").read_text().splitlines()]
    assert {len(row["target"].split()) for row in rows} == {8}
    closed = [row for row in rows if row["task"] == "CMP1"]
    assert all(len({row["target"], *row["distractors"]}) == 3 for row in closed)
    tables = walk(make_plan(Request(models=(str(folder),))), tmp_path / "run")
    assert set(tables.behaviour["task"]) == {"COPY1", "CMP1", "ADD1"}
    assert (tables.behaviour.query("metric == 'exact_match'")["n"] == 128).all()


@pytest.mark.parametrize("wrong", [-1, 1, 9])
def test_a_bend_that_does_not_fit_is_refused(wrong: int) -> None:
    with pytest.raises(PythiaGeometryError, match=r"--plant-bend .* 2 to 8"):
        Training(plant_bend=wrong)

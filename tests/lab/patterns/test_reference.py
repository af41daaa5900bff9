"""The list of arms: a killed list continues, and what it writes can be reported."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pythia_geometry.analysis.claims.pattern_runs import read_runs
from pythia_geometry.lab.patterns.settings import PatternTraining
from pythia_geometry.lab.patterns.stacked import Stack

TINY = PatternTraining(size=4, sparsity=2, heads=2, width=16, batch=32, steps=120, rate=3e-3)


@pytest.fixture
def script(monkeypatch):
    """The script as a module, with three arms of seconds."""
    path = Path(__file__).resolve().parents[3] / "scripts" / "patterns_reference.py"
    spec = importlib.util.spec_from_file_location("patterns_reference", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "patterns_reference", module)
    spec.loader.exec_module(module)
    arms = [
        module.Arm(TINY, "base", 2, 10, tuple(range(0, 121, 40))),
        module.Arm(replace(TINY, sparsity=1), "sparsity", 2, 10),
        module.Arm(TINY, "given", 2, 10, given=module.Given.OTHER),
    ]
    monkeypatch.setattr(module, "planned", lambda: {arm.name: arm for arm in arms})
    return module


def run(script, monkeypatch, folder, *words):
    out = ["--work", str(folder / "work"), "--out", str(folder / "out")]
    monkeypatch.setattr(sys, "argv", ["patterns_reference.py", *words, *out])
    script.main()


def test_a_killed_list_continues_and_says_what_it_found(script, monkeypatch, tmp_path, capsys):
    run(script, monkeypatch, tmp_path / "whole", "--all")
    monkeypatch.setattr("pythia_geometry.lab.patterns.training.SAVE_SECONDS", -1.0)
    update, made = Stack.update, []

    def dying(stack):
        made.append(stack.step)
        if len(made) in (35, 140, 200):
            raise script.SliceEndedError
        update(stack)

    monkeypatch.setattr(Stack, "update", dying)
    for _ in range(3):
        with pytest.raises(SystemExit, match="3"):
            run(script, monkeypatch, tmp_path / "cut", "--all")
    run(script, monkeypatch, tmp_path / "cut", "--all")
    whole, cut = (read_runs(tmp_path / name / "out").drop(columns="folder") for name in ("whole", "cut"))
    pd.testing.assert_frame_equal(whole, cut)
    assert len(whole) == 6 and whole["arm"].nunique() == 3
    curves = [pd.read_parquet(tmp_path / name / "out" / f"{TINY.model}.parquet") for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*curves, atol=2e-4)  # rounded to four digits
    record = json.loads((tmp_path / "cut" / "out" / f"{TINY.model}.json").read_text())
    assert record["command"].endswith(TINY.model) and record["cpu_seconds"] >= 0 and len(record["parents"]) == 4
    run(script, monkeypatch, tmp_path / "cut", "--transplants")
    moved = pd.read_csv(tmp_path / "cut" / "out" / "transplants.csv", keep_default_na=False)
    own = moved[moved["given"] == "own"].set_index(["seed", "step"])
    bare = moved[moved["given"] == ""].set_index(["seed", "step"])
    ends = moved.groupby("seed")["step"].max()
    for seed, step in ends.items():  # the end with its own pattern is the end
        assert own.loc[(seed, step), "probability"] == pytest.approx(bare.loc[(seed, step), "probability"], abs=1e-4)
    capsys.readouterr()
    run(script, monkeypatch, tmp_path / "cut", "--report")
    said = capsys.readouterr().out
    assert f"## {TINY.model}, 2 seeds" in said and "S3 not enough evidence" in said and "3 arms" in said
    run(script, monkeypatch, tmp_path / "cut", "--list")
    assert capsys.readouterr().out.count("done") == 3


def test_the_pattern_of_a_base_run_that_was_stopped_is_given_to_nobody(script, monkeypatch, tmp_path):
    run(script, monkeypatch, tmp_path, TINY.model)
    (tmp_path / "work" / TINY.model / "seed1" / "losses.csv").unlink()
    for words in ((f"{TINY.model}-given-other",), ("--transplants",)):
        with pytest.raises(SystemExit, match=f"seed1 lacks the end of {TINY.model}"):
            run(script, monkeypatch, tmp_path, *words)
    assert not list((tmp_path / "out").glob("*given*")) and not (tmp_path / "out" / "transplants.csv").exists()


def test_a_slice_that_ends_while_time_is_noted_loses_no_time(script, monkeypatch, tmp_path):
    spent = script.Spent(tmp_path / "spent.txt")
    spent.note()
    before = (tmp_path / "spent.txt").read_text()

    def ended(path, text):
        path.open("w").close()  # emptied, and not yet written
        raise script.SliceEndedError

    with monkeypatch.context() as patched, pytest.raises(script.SliceEndedError):
        patched.setattr(Path, "write_text", ended)
        spent.note()
    assert (tmp_path / "spent.txt").read_text() == before and script.Spent(tmp_path / "spent.txt").before >= 0


def test_an_arm_that_is_not_planned_is_named(script, monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="No planned arm nothing"):
        run(script, monkeypatch, tmp_path, "nothing")

"""The list of arms: a killed list continues, and what it writes can be reported."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.claims.pattern_runs import read_runs
from pythia_geometry.errors import MachineError
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


def test_a_seed_that_is_not_there_is_missed_and_renames_no_other(script, monkeypatch, tmp_path):
    run(script, monkeypatch, tmp_path, TINY.model)
    run(script, monkeypatch, tmp_path, "--transplants")
    table = (tmp_path / "out" / "transplants.csv").read_text()
    shutil.rmtree(tmp_path / "work" / TINY.model / "seed0")
    with pytest.raises(SystemExit, match=f"seed0 lacks the end of {TINY.model}"):
        run(script, monkeypatch, tmp_path, "--transplants")
    shutil.rmtree(tmp_path / "work")
    with pytest.raises(SystemExit, match=f"seed0 lacks the end of {TINY.model}"):
        run(script, monkeypatch, tmp_path, "--transplants")
    assert (tmp_path / "out" / "transplants.csv").read_text() == table


def test_curves_without_a_record_are_not_reported(script, monkeypatch, tmp_path, capsys):
    run(script, monkeypatch, tmp_path, TINY.model)
    (tmp_path / "out" / f"{TINY.model}.json").unlink()  # killed between the two
    capsys.readouterr()
    run(script, monkeypatch, tmp_path, "--report")
    assert capsys.readouterr().out.strip() == "No arm has been trained."


@pytest.mark.parametrize("by", [[None, None, None], [40.0, 40.0, 40.0]])
def test_mass_foretells_nothing_where_no_run_or_all_emerged_at_once(script, monkeypatch, by):
    from patterns import report

    runs = pd.DataFrame({"arm": "an arm", "seed": range(3), "by": pd.Series(by, dtype=float)})
    rows = [(seed, step, seed * 0.1 + step) for seed in range(3) for step in (0, 10, 20)]
    monkeypatch.setattr(report, "read_runs", lambda folder: runs)
    monkeypatch.setattr(report, "base_arm", lambda *_: (pd.DataFrame(rows, columns=["seed", "step", "mass"]), {}))
    _, rho, p = report.foretold("an arm", Path())
    assert np.isnan(rho) and np.isnan(p)


def test_a_folder_of_other_settings_is_refused_and_slices_on_other_machines_are_told(script, tmp_path):
    from patterns.work import held

    settings, cpu, gpu = (
        {"steps": 800, "kept": (0, 16)},
        {"device": "cpu", "commit": "a"},
        {"device": "cuda", "commit": "a"},
    )
    for here, is_trained, told in (
        (cpu, False, "cpu"),
        (gpu, False, "cpu; cuda"),
        ({**cpu, "commit": "b"}, True, "cpu; cuda"),
    ):
        with held(tmp_path / "arm", settings, here, is_trained) as made_on:
            assert made_on == {"device": told, "commit": "a"}
    with (
        pytest.raises(SystemExit, match=r"other settings \(steps 800\)"),
        held(tmp_path / "arm", settings | {"steps": 900}, cpu, False),
    ):
        pass
    with (
        held(tmp_path / "arm", settings, cpu, True),
        pytest.raises(MachineError, match="Another training"),
        held(tmp_path / "arm", settings, cpu, True),
    ):
        pass


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

"""The scripts behind docs/lab.md: what is typed is in a table, what is absent gives no number, and no two runs are joined."""

from __future__ import annotations

from argparse import Namespace
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


@pytest.fixture
def lab_reference(scripts: None) -> ModuleType:
    return import_module("lab_reference")


def test_every_number_of_the_first_screen_is_in_a_table(scripts: None) -> None:
    unfounded = import_module("lab_page.sentences").unfounded
    page = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8")
    assert unfounded(page) == []
    assert unfounded(page.replace("| C2 one floor", "| C2 (slope +9.87) one floor")) == ["+9.87"]
    for claim in ("C5 the coefficient", "C8 no fine"):
        false = [unfounded(page.replace(f"| {claim}", f"| {claim} (+.{n:02})", 1)) for n in range(100)]
        assert sum(map(len, false)) > 60, claim  # most made-up numbers are refused; C2 and C4 have hundreds of cells


def test_a_number_of_another_claim_or_sign_founds_nothing(scripts: None) -> None:
    unfounded = import_module("lab_page.sentences").unfounded
    table = "\n## C2: sizes\n| a |\n|---|\n| x | -0.163 |\n\n## Others\n| **C3** y | 0.45 |\n"
    page = "## What the lab says, claim by claim\n| C2 floor | {} |\nThe numbers behind each sentence" + table
    assert unfounded(page.format("falls by .16")) == unfounded(page.format("slope −.16")) == []
    assert unfounded(page.format("slope +.16")) == ["+.16"] and unfounded(page.format("p .45")) == [".45"]


def test_blocks_that_all_fall_at_one_step_have_no_order(scripts: None) -> None:
    shuffled_p = import_module("lab_page.depths").shuffled_p

    def falls(halfway: list[float]) -> pd.DataFrame:
        rows = [
            {"seed": seed, "task": task, "layer": f"resid_{i}", "layer_index": i, "label": "collapses", "halfway": step}
            for seed in range(3)
            for task in "ab"
            for i, step in enumerate(halfway)
        ]
        return pd.DataFrame(rows)

    assert np.isnan(shuffled_p(falls([9.0] * 4)))
    assert shuffled_p(falls([12.0, 11.0, 10.0, 9.0, 8.0])) < 0.001
    assert shuffled_p(falls([8.0, 9.0, 10.0, 11.0, 12.0])) > 0.99


def test_the_slope_over_runs_drawn_again_needs_two_a_size(scripts: None) -> None:
    over_runs = import_module("lab_page.sizes").over_runs
    rows = [
        {"parameters": size, "seed": seed, "value": np.exp(0.5 * np.log10(size) + 0.01 * seed)}
        for size in (1e5, 1e6, 1e7)
        for seed in range(3)
    ]
    low, high = over_runs(pd.DataFrame(rows))
    assert 0.48 < low < 0.5 < high < 0.52
    assert np.isnan(over_runs(pd.DataFrame(rows[:-2]))).all()


def test_the_plateau_is_read_from_both_shelves_and_a_lone_run_is_in_no_slope(scripts: None, tmp_path: Path) -> None:
    module = import_module("lab_page.plateau")
    lab = import_module("pythia_geometry.analysis.claims.lab_reference")

    def geometry(model: str, seed: int, value: float) -> pd.DataFrame:
        steps = {0: 8.0, 20: 1.0, 302: value / 2, 600: value * 2, 700: 99.0}  # geometric mean over the window: value
        return pd.DataFrame(
            [
                {
                    "model": model,
                    "seed": seed,
                    "step": step,
                    "task": task,
                    "layer": "final_norm",
                    "measure": m,
                    "value": v,
                }
                for step, v in steps.items()
                for task in ("MOD1", "MOD2", "MOD3", "ADD1")
                for m in ("rankme", "rankme_rownorm")
            ]
        )

    def behaviour(model: str, value: float) -> pd.DataFrame:
        rows = pd.DataFrame({"task": ["MOD1", "MOD2"], "step": 600, "metric": "exact_match", "value": [value, 0.0]})
        return rows.assign(model=model, seed=0)

    usual = pd.concat([geometry("nano-gpt2", seed, 2.0) for seed in (0, 1)] + [geometry("micro-gpt2", 0, 7.0)])
    (tmp_path / "small-gpt2-seed0.json").write_text("{}")
    geometry("small-gpt2", 0, 4.0).to_parquet(tmp_path / "small-gpt2-seed0.geometry.parquet")
    behaviour("small-gpt2", 0.75).to_parquet(tmp_path / "small-gpt2-seed0.behaviour.parquet")
    found = module.plateaus(lab.Reference(usual, behaviour("nano-gpt2", 0.25), {}), tmp_path)
    learnt = module.run_rows(found).set_index(["model", "seed"])["MOD1, exact match at step 600"]
    assert learnt["nano-gpt2", 0] == 0.25 and learnt["small-gpt2", 0] == 0.75 and np.isnan(learnt["nano-gpt2", 1])
    assert found.groupby("model")["mean"].first().round(6).to_dict() == {
        "micro-gpt2": 7,
        "nano-gpt2": 2,
        "small-gpt2": 4,
    }
    assert (found["ratio"] == found["mean"] / 8).all() and (found["lowest"] * 2 == found["mean"].round(6)).all()
    assert set(found["task"]) == {"MOD1", "MOD2", "MOD3"}
    assert module.slope_rows(found).empty  # one size has two runs
    (more := found[found["model"] == "small-gpt2"].copy())["seed"] = 1
    slopes = module.slope_rows(pd.concat([found, more])).set_index("of")
    sizes = found.groupby("model")["parameters"].first()
    wanted = np.log(4 / 2) / np.log10(sizes["small-gpt2"] / sizes["nano-gpt2"])
    assert slopes.loc["mean", "slope a decade"] == pytest.approx(wanted) and slopes.loc["mean", "runs"] == 4
    assert slopes.loc["start", "slope a decade"] == pytest.approx(0)


def test_a_planted_lead_is_set_beside_the_same_seeds_without_it(scripts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    paired = import_module("lab_page.paired")

    def arm(name: str, seeds: range, **training: object) -> SimpleNamespace:
        settings = {"scale": "smoke", "steps": 6000, "tasks": ["quick"], "release": "staggered", **training}
        return SimpleNamespace(name=name, made=[{"training": {**settings, "seed": seed}} for seed in seeds])

    lags = {"lead": {2: 0.5, 3: 0.7, 4: 0.6}, "nought": {2: 0.1, 3: 0.1, 4: 0.3}}

    def of(one: SimpleNamespace, seeds: list[int]) -> pd.DataFrame:
        order = seeds if one.name == "lead" else seeds[::-1]  # paired by seed, not by place
        return pd.DataFrame({"accuracy": [lags[one.name][seed] for seed in order]}, index=order)

    monkeypatch.setattr(paired, "_lags", of)
    found = paired.rows(
        [
            arm("lead", range(5), plant_lead=0.5),
            arm("nought", range(2, 7), plant_lead=0.0, plant_own=False),  # as its default: the same design
            arm("another plant", range(5), plant_lead=0.0, plant_own=True),
            arm("other seeds", range(4, 9), plant_lead=0.0),
            arm("none", range(5)),
        ]
    )
    assert list(found["the same seeds"]) == ["nought"] and list(found["pairs"]) == [3]
    assert found["difference, pair by pair"][0] == "+0.40, +0.60, +0.30"
    assert found["mean (90 % interval over pairs)"][0] == "+0.43 (+0.18 … +0.69)"  # .433 ± 2.92 × .0882


def test_behaviour_of_other_weights_is_not_joined_to_this_geometry(lab_reference: ModuleType, tmp_path: Path) -> None:
    table = pd.DataFrame({"seed": 0, "step": [0, 1], "task": "COPY1", "metric": "accuracy", "value": [0.1, np.nan]})
    table.to_parquet(tmp_path / "held.parquet")
    lab_reference.check_same(table, tmp_path / "held.parquet")
    for other in (table.assign(value=[0.2, np.nan]), table.assign(seed=1), table[:1]):
        with pytest.raises(SystemExit, match="of other weights"):
            lab_reference.check_same(other, tmp_path / "held.parquet")


def test_a_run_is_done_when_all_its_files_are_there(lab_reference: ModuleType, tmp_path: Path) -> None:
    whole, blind = (Namespace(out=tmp_path, behaviour=is_blind) for is_blind in (False, True))
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "a.geometry.parquet").write_text("")
    assert not lab_reference.is_done("a", whole) and not lab_reference.is_done("a", blind)
    (tmp_path / "a.behaviour.parquet").write_text("")
    assert lab_reference.is_done("a", whole) and lab_reference.is_done("a", blind)


def test_a_run_that_is_wanted_up_to_a_step_stops_there_and_is_not_trained_again(
    lab_reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = lab_reference.Training("smoke", steps=400, tasks=("MOD1",))
    run = lab_reference.Planned(training, "plateau", ("MOD1",), steps="0,12", until=12)
    args = Namespace(out=tmp_path / "out", work=tmp_path / "work", behaviour=False, threads=1)
    lab_reference.make(run, args)
    steps = [int(p.name[4:]) for p in (args.work / "suites" / run.name).glob("step*")]
    made = pd.read_parquet(args.out / f"{run.name}.geometry.parquet")
    assert max(steps) == 12 and sorted(made["step"].unique()) == [0, 12]
    assert "loss" not in (args.out / f"{run.name}.json").read_text()
    (args.out / f"{run.name}.geometry.parquet").unlink()
    monkeypatch.setattr(lab_reference, "train", lambda *_: pytest.fail("trained again"))
    lab_reference.make(run, args)
    assert lab_reference.is_done(run.name, args)

"""The reference tables that ship are whole, in range, and say what made them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.lab_reference import read_reference
from pythia_geometry.analysis.precursor.finding import examine
from pythia_geometry.analysis.precursor.screening import screen_tasks
from pythia_geometry.analysis.precursor.tidy_tables import Question
from pythia_geometry.analysis.precursor.verdict import study_runs
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.settings import Training, checkpoint_steps
from pythia_geometry.lab.tasks import default_levels
from pythia_geometry.shipped import data_folder

LEVELS = {level.name for level in default_levels()}
RUNS = sorted(path.stem for path in (data_folder() / "reference").glob("*.json"))


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_whole(name: str) -> None:
    reference = read_reference()
    made = reference.made[name]
    training = Training(**{key: made["training"][key] for key in ("scale", "architecture", "seed", "steps", "batch")})  # type: ignore[arg-type]
    assert training.name == name
    assert f"lab_reference.py {name}" in made["command"] and len(made["commit"]) == 40 and made["finished"]
    g, b = (
        t[(t["model"] == training.model) & (t["seed"] == training.seed)]
        for t in (reference.geometry, reference.behaviour)
    )
    steps = checkpoint_steps(training.steps)
    for table, names in (
        (g, {"rankme", "rankme_centred", "rankme_rownorm"}),
        (b, {"accuracy", "exact_match", "log_prob"}),
    ):
        kinds = table["measure"] if "measure" in table else table["metric"]
        assert set(kinds) == names
        assert set(table["task"]) == LEVELS
        assert sorted(table["step"].unique()) == steps
        layers = table["layer"].nunique() if "layer" in table else 1
        assert len(table) == len(names) * len(LEVELS) * len(steps) * layers * table["probe"].nunique()
        assert table.loc[table["value"].isna(), "reason"].ne("").all()
    value = g["value"].dropna()
    assert value.between(1 - 1e-5, 128).all()
    assert g.loc[g["layer"] != "embed", "value"].notna().all()
    assert b.loc[b["metric"] != "log_prob", "value"].between(0, 1).all()
    assert (b.loc[b["metric"] == "log_prob", "value"] <= 0).all()


ON_PLATEAU = [0, 302, 342, 388, 441, 500, 600]  # decision 0013, "MOD's plateau above 3.2M"
OTHERS = ("patterns", "language", "random_labels", "landscape")  # of other scripts, with tests of their own
RECORDS = [file for file in sorted((data_folder() / "reference").rglob("*.json")) if file.parent.name not in OTHERS]


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_record_names_its_run_and_size_and_its_tables_hold_every_checkpoint(record: Path) -> None:
    made = json.loads(record.read_text())
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in made["training"].items()}
    training = Training(**settings)
    assert training.name == record.stem
    assert made["n_parameters"] == training.n_parameters
    for kind in ("geometry", "behaviour"):
        table = pd.read_parquet(record.with_name(f"{record.stem}.{kind}.parquet"), columns=["seed", "step", "model"])
        assert set(table["seed"]) == {training.seed} and set(table["model"]) == {training.model}
        is_plateau = record.parent.name == "plateau"
        assert sorted(table["step"].unique()) == (ON_PLATEAU if is_plateau else checkpoint_steps(training.steps))


def test_three_seeds_of_nano_are_there_and_learn_most_levels() -> None:
    reference = read_reference()
    for seed in range(3):
        exact = reference.behaviour[
            (reference.behaviour["model"] == "nano-gpt2") & (reference.behaviour["seed"] == seed)
        ]
        exact = exact[(exact["metric"] == "exact_match") & (exact["step"] == exact["step"].max())]
        assert (exact["value"] > 0.9).sum() >= 20
        assert np.isfinite(exact["error"]).all()


def test_a_folder_without_runs_or_with_half_of_one_says_so(tmp_path: Path) -> None:
    with pytest.raises(PythiaGeometryError, match="holds no reference runs"):
        read_reference(tmp_path)
    (tmp_path / "a-b-seed0.json").write_text(json.dumps({}))
    with pytest.raises(PythiaGeometryError, match=r"a-b-seed0.geometry.parquet is missing"):
        read_reference(tmp_path)


def test_a_token_shuffled_companion_is_read_as_one(tmp_path: Path) -> None:
    source, name = data_folder() / "reference", "smoke-gpt2-seed0"
    (tmp_path / f"{name}.json").write_text((source / f"{name}.json").read_text())
    for kind in ("geometry", "behaviour"):
        own = pd.read_parquet(source / f"{name}.{kind}.parquet")
        both = pd.concat([own, own.assign(task=own["task"] + ":shuffled")], ignore_index=True)
        both.to_parquet(tmp_path / f"{name}.{kind}.parquet", index=False)
    alone, walked = read_reference(), read_reference(tmp_path)
    assert set(walked.geometry["task"]) == LEVELS
    assert walked.geometry.groupby("probe").size().tolist() == [len(walked.geometry) // 2] * 2
    evidence = Evidence("lab", walked.geometry, walked.behaviour)  # what is counted as a task stays the same
    assert set(evidence.own["task"] + evidence.own["probe"]) == {level + "algorithmic" for level in LEVELS}
    runs = screen_tasks(walked.behaviour).runs
    assert runs[0].tasks == screen_tasks(alone.behaviour[alone.behaviour["model"] == "smoke-gpt2"]).runs[0].tasks
    study = study_runs(walked.geometry, runs, Question())
    assert study[0].shuffled is not None and np.array_equal(study[0].shuffled.values, study[0].own.values)
    found = examine(study, seed=0)  # C4: the same geometry shuffled is kept whole
    assert found.companion is not None and found.companion.p == 1 and not found.companion.is_specific

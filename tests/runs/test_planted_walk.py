"""A head that is planted at a known step in two of three seeds: what a walk and its tables say of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.events.onsets import EMERGES, UP, onsets
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import Tables
from tests.hub.checkpoints import TOKENIZER
from tests.hub.environment import client_environment
from tests.hub.server import LocalHub
from tests.planted_suite import INDUCTION, PREVIOUS, planted_config, planted_repository, said_twice, write_planted
from tests.runs.command import Command
from tests.suites_on_disk import write_probes, write_words

STEPS = (0, 1, 4, 16, 64)
LEARNT_AT = {0: 4, 1: 16, 2: float("inf")}
PATCHED = "patching_gain", "patching_loss"


def request(folder: Path, *measures: str, at: str = "") -> Request:
    models = tuple(str(folder / f"seed{seed}") for seed in LEARNT_AT)
    probes = (str(folder / "again.jsonl"),)
    return Request(models=models, probes=probes, measures=measures, at=at, device="cpu", threads=1)


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("planted")
    for seed, at in LEARNT_AT.items():
        write_planted(folder / f"seed{seed}", planted_config(64), STEPS, at, seed)
        write_words(folder / f"seed{seed}" / "tokenizer.json")
        (folder / f"seed{seed}" / "suite.json").write_text(json.dumps({"name": "planted", "seed": seed}))
    write_probes(folder / "again.jsonl", said_twice(12))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tables(suites: Path) -> Tables:
    wanted = request(suites, "induction", "target_mass", "target_baseline", "causal", "copying_score", at="1,4")
    return walk(make_plan(wanted), suites / "run")


def of_heads(tables: Tables, measure: str) -> pd.DataFrame:
    rows = tables.geometry[(tables.geometry["measure"] == measure) & tables.geometry["head"].notna()]
    return rows.assign(site=list(zip(rows["layer_index"], rows["head"].astype(int), strict=True)))


def test_the_walk_names_head_layer_step_and_seed(tables: Tables) -> None:
    found = onsets(of_heads(tables, "induction"), rules=("F50",), direction=UP)
    came = found[found["label"] == EMERGES]
    named = came[["seed", "layer", "head", "after", "by"]].values.tolist()
    layer, head = f"resid_{INDUCTION[0]}", INDUCTION[1]
    assert sorted(named) == [[0, layer, head, 1, 4], [1, layer, head, 4, 16]]


def test_behaviour_comes_with_the_head(tables: Tables) -> None:
    accuracy = tables.behaviour[tables.behaviour["metric"] == "accuracy"].set_index(["seed", "step"])["value"]
    for (seed, step), value in accuracy.items():
        assert value == (1.0 if step >= LEARNT_AT[seed] else pytest.approx(accuracy[seed, 0], abs=0.2))


def test_a_constant_pattern_scores_its_baseline(tables: Tables) -> None:
    mass, baseline = (of_heads(tables, name).set_index(["seed", "step", "site"])["value"] for name in TARGETS)
    even = ~mass.index.get_level_values("site").isin([PREVIOUS, INDUCTION])
    assert mass[even].to_numpy() == pytest.approx(1 / 11, abs=1e-6)  # of the last of eleven words, on one of them
    assert baseline[even].to_numpy() == pytest.approx(1 / 11, abs=1e-6)
    induction = of_heads(tables, "induction").set_index(["seed", "step", "site"])["value"]
    assert induction[even].to_numpy() == pytest.approx(np.mean([1 / n for n in (8, 9, 10, 11)]), abs=1e-6)


TARGETS = ("target_mass", "target_baseline")


def test_the_planted_pattern_brings_the_answer_where_it_was_learnt_between_the_two_steps(tables: Tables) -> None:
    log_prob = tables.behaviour[tables.behaviour["metric"] == "log_prob"].set_index(["seed", "step"])["value"]
    for measure in PATCHED:
        rows = of_heads(tables, measure)
        assert set(rows["step"]) == {4}
        assert set(rows["reference_step"]) == {1}
        value = rows.set_index(["seed", "site"])["value"]
        change = log_prob[0, 4] - log_prob[0, 1]
        assert change > 2
        assert value[0, INDUCTION] == pytest.approx(change, abs=0.01)
        others = value[[key != (0, INDUCTION) for key in value.index]]
        assert np.abs(others).max() < 1e-2
    together = tables.geometry[(tables.geometry["measure"] == "patching_gain") & (tables.geometry["layer"] == "model")]
    at_once = together.set_index(["seed", "step"])
    assert at_once["value"][0, 4] == pytest.approx(change, abs=0.01)
    assert at_once["reason"][0, 1] == "there is no previous step"


def test_switched_off_the_planted_head_loses_most_of_its_layer(tables: Tables) -> None:
    for kind in ("mean", "resample"):
        drop = of_heads(tables, f"ablation_{kind}").set_index(["seed", "step", "site"])["value"]
        p = of_heads(tables, f"ablation_{kind}_p").set_index(["seed", "step", "site"])
        assert drop[0, 4, INDUCTION] > 2
        assert (p["value"][0, 4, INDUCTION], p["n"][0, 4, INDUCTION]) == (0.25, 3)
        assert p["value"][0, 4, (INDUCTION[0], 0)] == 1.0


def test_the_copying_score_stands_at_every_step(tables: Tables) -> None:
    found = of_heads(tables, "copying_score")
    known = found[found["value"].notna()]
    assert set(known["site"]) == {PREVIOUS, INDUCTION}
    assert len(known) == 2 * len(STEPS) * len(LEARNT_AT)
    assert (known[known["site"] == INDUCTION]["value"] > 0.99).all()
    assert (found[found["value"].isna()]["reason"] == "every eigenvalue is 0 or not finite").all()


def test_a_second_walk_finds_everything_done_and_another_at_adds_its_pair(suites: Path, tables: Tables) -> None:
    held = RunFolder(suites / "run").done()
    same = request(suites, "induction", "target_mass", "target_baseline", "causal", "copying_score", at="1,4")
    again = walk(make_plan(same), suites / "run")
    assert RunFolder(suites / "run").done() == held
    pd.testing.assert_frame_equal(again.geometry, tables.geometry, check_exact=True)
    wider = walk(make_plan(request(suites, *PATCHED, at="1,4,16")), suites / "run")
    rows = of_heads(wider, "patching_gain")
    gain = rows[rows["site"] == INDUCTION].set_index(["seed", "step"])
    assert set(rows["step"]) == {4, 16}
    assert gain["reference_step"][1, 16] == 4
    assert gain["value"][1, 16] > 2
    assert abs(gain["value"][0, 16]) < 1e-2


@pytest.mark.slow
@pytest.mark.skipif(not TOKENIZER.is_file(), reason=f"Pythia's tokenizer is not at {TOKENIZER}")
def test_the_same_on_a_hub_of_pythia_14m_with_the_shipped_probes(tmp_path: Path) -> None:
    names = ("EleutherAI/pythia-14m", "EleutherAI/pythia-14m-seed1", "EleutherAI/pythia-14m-seed2")
    served = [
        planted_repository(tmp_path / str(seed), name, STEPS, LEARNT_AT[seed], seed, TOKENIZER)
        for seed, name in enumerate(names)
    ]
    words = ["--model", "pythia-14m", "--seeds", "0-2", "--probes", "induction", "--measures", "induction,target_mass"]
    words += ["--steps", ",".join(map(str, STEPS))]
    with LocalHub(served) as hub:
        environment = client_environment(hub.endpoint, tmp_path / "home")
        code, said = Command([*words, "--out", str(tmp_path / "run"), "--device", "cpu"], environment).end()
    assert code == 0, said
    found = onsets(of_heads(RunFolder(tmp_path / "run").tables(), "target_mass"), rules=("F50",), direction=UP)
    came = found[found["label"] == EMERGES]
    layer, head = f"resid_{INDUCTION[0]}", INDUCTION[1]
    named = came[["seed", "layer", "head", "after", "by"]].drop_duplicates().values.tolist()
    assert sorted(named) == [[0, layer, head, 1, 4], [1, layer, head, 4, 16]]

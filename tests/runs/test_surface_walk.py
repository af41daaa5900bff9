"""Surfaces in a walk: whose loss it is, what is taken along the way to the next step, and that refusals are rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from pythia_geometry.landscape.gradients import gradient_cosine
from pythia_geometry.landscape.gram import gradient_grams
from pythia_geometry.landscape.sharpness import checkpoint_sharpness
from pythia_geometry.landscape.surface import Surface
from pythia_geometry.landscape.tokens import next_token_losses, scored_tokens
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request
from pythia_geometry.shipped import data_folder
from pythia_geometry.store.tables import Tables
from pythia_geometry.weights.updates import update_measures
from tests.suites_on_disk import WORDS, SuiteOnDisk, tiny_suite

OFFLINE = data_folder() / "suites" / "offline"
TASK = "algorithmic/ADD2"


def rows_of(tables: Tables, measure: str) -> pd.DataFrame:
    """The rows of one measure, by step."""
    found = tables.geometry
    return found[found["measure"] == measure].sort_values("step", ignore_index=True)


def offline_request(**changes: object) -> Request:
    """A walk of the suite that ships."""
    given: dict[str, object] = {"models": ("offline",), "probes": (TASK,), "device": "cpu", "threads": 1}
    return Request(**(given | changes))  # type: ignore[arg-type]


def text_beside(suite: SuiteOnDisk) -> str:
    """A text of 400 words."""
    path = suite.folder.parent / "text.txt"
    rng = np.random.default_rng(0)
    path.write_text(" ".join(rng.choice(WORDS, size=400)))
    return str(path)


def test_on_a_suite_with_a_mixture_the_loss_is_that_of_training(tmp_path: Path) -> None:
    plan = make_plan(offline_request(steps="510", measures=("rankme", "gradient_cosine")))
    (loss,) = plan.runs[0].losses
    assert (loss.kind, len(loss.sequences)) == ("mixture", 264)
    assert set(pd.Series(loss.tasks).value_counts()) == {11}, "equal shares of the 24 task-levels"
    assert len(set(loss.tasks[:24])) == 24, "in turn"
    model = AutoModelForCausalLM.from_pretrained(OFFLINE / "step510", dtype=torch.float32).eval().requires_grad_(False)
    surface = Surface(model, next_token_losses, scored_tokens(loss.sequences, loss.first_scored, loss.by_token))
    summed, count = 0.0, 0
    for ids, first in zip(loss.sequences, loss.first_scored, strict=True):  # as scripts/train_offline_suite.py does
        logits = model(input_ids=torch.tensor([ids[:-1]])).logits[0, first - 1 :]
        summed += float(cross_entropy(logits, torch.tensor(ids[first:]), reduction="sum"))
        count += len(ids) - first
    assert float(surface.all_losses().mean()) == pytest.approx(summed / count, rel=1e-5)
    row = rows_of(walk(plan, tmp_path / "run"), "gradient_cosine").iloc[0]
    assert row["value"] == pytest.approx(gradient_cosine(gradient_grams(surface)["all"]).value, rel=1e-4)
    assert (row["probe"], row["task"], row["layer"]) == ("mixture", "", "model")


def test_a_mixture_holds_what_counts_at_the_step_and_nothing_else(tmp_path: Path) -> None:
    suite = released_suite(tmp_path, {"tasks": ["ADD1", "COPY1"], "opens": {"ADD1": 2, "COPY1": 5}})
    found = rows_of(suite.walk(tmp_path / "run", measures=("rankme", "noise_scale")), "noise_scale")
    (loss,) = make_plan(suite.request(measures=("noise_scale",))).runs[0].losses
    assert [set(loss.at(step).tasks) for step in (1, 2, 8)] == [set(), {"ADD1"}, {"ADD1", "COPY1"}]
    assert found["n"].tolist() == [0, 128, 256]
    assert "counts at this step yet" in found["reason"][0] and found["value"].isna()[0]


def test_a_mixture_that_is_not_known_here_is_a_reason_not_an_error(tmp_path: Path) -> None:
    for name, stated, said in (("unknown", {"tasks": ["WHO1"]}, "WHO1"), ("bent", {"bend": 8}, "planted bend")):
        suite = released_suite(tmp_path / name, stated)
        row = rows_of(suite.walk(tmp_path / name / "run", measures=("rankme", "noise_scale")), "noise_scale").iloc[0]
        assert np.isnan(row["value"]) and said in row["reason"]


def test_a_lab_run_of_before_states_its_mixture_in_its_settings(tmp_path: Path) -> None:
    from pythia_geometry.suites.local import LocalSuite

    suite = released_suite(tmp_path, {})
    settings = {"scale": "nano", "tasks": ["ADD1"], "all_tokens": False, "steps": 10}
    (suite.folder / "training.json").write_text(json.dumps(settings))
    (suite.folder / "suite.json").write_text(json.dumps({"suite": "other"}))
    assert LocalSuite(suite.folder).mixture == {}, "any other program's training.json says nothing"
    (suite.folder / "suite.json").write_text(json.dumps({"suite": "lab", "loss_opens": {"ADD1": 5}}))
    assert LocalSuite(suite.folder).mixture == {"tasks": ["ADD1"], "all_tokens": False, "opens": {"ADD1": 5}}
    (suite.folder / "training.json").write_text(json.dumps({**settings, "plant_bend": 8}))
    assert LocalSuite(suite.folder).mixture["bend"] == 8


@pytest.mark.parametrize("stated", ["MOD2", {"tasks": "MOD2"}, {"tasks": [2]}, {"opens": {"MOD2": -1}}, {"what": 1}])
def test_a_mixture_that_cannot_be_read_is_refused_by_name(tmp_path: Path, stated: object) -> None:
    from pythia_geometry.errors import PythiaGeometryError

    suite = tiny_suite(tmp_path, (0,))
    (suite.folder / "suite.json").write_text(json.dumps({"mixture": stated}))
    with pytest.raises(PythiaGeometryError, match="mixture must be an object such as"):
        make_plan(suite.request())


def test_without_a_mixture_and_a_text_there_is_a_reason_and_no_number(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0,))
    measures = ("rankme", "noise_scale", "llc", "llc_task_rise", "checkpoint_sharpness")
    found = suite.walk(tmp_path / "run", measures=measures).geometry
    dear = found[found["measure"] != "rankme"]
    assert set(dear["measure"]) == set(measures[1:]) and dear["value"].isna().all()
    assert dear["reason"].str.contains("--text FILE").all() and (dear["probe"] == "none").all()


def test_once_a_text_is_named_rows_that_say_there_is_none_are_gone_and_stay_so(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0,))
    rng = np.random.default_rng(0)
    text = tmp_path / "long.txt"
    text.write_text(" ".join(rng.choice(WORDS[:12], size=6500)))
    given = {"measures": ("gradient_cosine", "bigram_kl", "checkpoint_sharpness")}
    for more, none in (({}, True), ({"text": str(text)}, False), ({}, False)):
        found = suite.walk(tmp_path / "run", **given, **more).geometry
        assert found["measure"].value_counts().to_dict() == dict.fromkeys(given["measures"], 1)
        assert (found["reason"].str.contains("--text FILE")).any() == none


def test_a_text_is_cut_to_what_the_model_reads(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0,))
    config = suite.folder / "step0" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 32}))
    (loss,) = make_plan(suite.request(measures=("noise_scale",), text=text_beside(suite))).runs[0].losses
    assert {len(ids) for ids in loss.sequences} == {32} and len(loss.sequences) == 12


def test_weights_that_are_not_float32_are_a_reason(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0, 1))
    given = {"measures": ("rankme", "noise_scale", "checkpoint_sharpness"), "text": text_beside(suite)}
    found = suite.walk(tmp_path / "run", dtype="bfloat16", **given).geometry
    dear = found[
        (found["measure"] != "rankme") & ~((found["measure"] == "checkpoint_sharpness") & (found["step"] == 1))
    ]
    assert len(dear) == 3 and dear["reason"].str.contains("--dtype float32").all()


def test_sharpness_is_taken_along_the_way_to_the_next_step_of_the_walk(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0, 1, 4))
    given = {"measures": ("rankme", "checkpoint_sharpness"), "text": text_beside(suite)}
    found = rows_of(suite.walk(tmp_path / "run", **given), "checkpoint_sharpness")
    assert found["reference_step"].tolist()[:2] == [1, 4] and found["reason"][2] == "there is no next step"
    (loss,) = make_plan(suite.request(**given)).runs[0].losses
    models = [
        AutoModelForCausalLM.from_pretrained(suite.folder / f"step{step}", dtype=torch.float32).eval()
        for step in (0, 1)
    ]
    surface = Surface(models[0].requires_grad_(False), next_token_losses, scored_tokens(loss.sequences))
    expected = checkpoint_sharpness(surface, dict(models[1].requires_grad_(False).named_parameters()))
    assert (found["value"][0], found["reason"][0]) == pytest.approx((expected.value, expected.reason), nan_ok=True)
    again = rows_of(suite.walk(tmp_path / "run", **given), "checkpoint_sharpness")
    pd.testing.assert_frame_equal(found, again)


def test_a_cosine_of_updates_needs_both_neighbours_and_keeps_the_nearer_ones(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0, 1, 4, 8))
    out = tmp_path / "run"
    found = rows_of(suite.walk(out, measures=("rankme", "update_cosine")), "update_cosine")
    whole = found[found["layer"] == "model"].set_index("step")
    assert whole["reason"].tolist() == ["there is no previous step", "", "", "there is no next step"]
    weights = {}
    for step in (0, 1, 4):
        model = AutoModelForCausalLM.from_pretrained(suite.folder / f"step{step}", dtype=torch.float32)
        weights[step] = {name: p.detach().numpy() for name, p in model.named_parameters() if p.ndim == 2}
    expected = update_measures(weights[0], weights[1], weights[4])["update_cosine"]
    assert whole["value"][1] == pytest.approx(expected.value) and whole["n"][1] == expected.n
    narrower = rows_of(suite.walk(out, steps="1,8", measures=("rankme", "update_cosine")), "update_cosine")
    pd.testing.assert_frame_equal(found, narrower)
    fresh = suite.walk(tmp_path / "new", steps="0,1,8", measures=("rankme", "update_cosine"))
    assert rows_of(fresh, "update_cosine")["value"].notna().any()
    wider = rows_of(suite.walk(tmp_path / "new", measures=("rankme", "update_cosine")), "update_cosine")
    pd.testing.assert_frame_equal(found, wider)


def test_decoding_reads_rows_from_the_generator_and_refuses_few(tmp_path: Path) -> None:
    request = offline_request(steps="0,16000", at="16000", probes=(TASK, "algorithmic/MOD1"), measures=DECODING)
    found = walk(make_plan(request), tmp_path / "run").geometry
    found = found[found["measure"] != "rankme"]
    assert set(found["step"]) == {16000}, "--at says where"
    refused = found[found["task"] == "MOD1"]
    assert refused["reason"].str.contains("needs 1,000 different prompts; algorithmic/MOD1 has 49").all()
    add = found[(found["task"] == "ADD2") & (found["layer"] == "final_norm")].pivot(
        index="position", columns="measure", values="value"
    )
    assert add.index.tolist() == ["answer 1", "answer 2", "answer 3"]
    assert (add["decoding_own"] > 0.95).all() and (add["decoding"] > 0.9).all()
    assert np.allclose(add["decoding"] - add["decoding_control"], add["decoding_selectivity"])
    assert (found.loc[found["task"] == "ADD2", "n"] == 1500).all()


def test_decoding_elsewhere_reads_the_probe_and_refuses_a_small_one(tmp_path: Path) -> None:
    found = tiny_suite(tmp_path, (0,)).walk(tmp_path / "run", measures=("rankme", "decoding")).geometry
    refused = found[found["measure"] == "decoding"]
    assert len(refused) == 8 and refused["reason"].str.contains("needs 1,000 different prompts").all()


DECODING = ("rankme", "decoding", "decoding_control", "decoding_selectivity", "decoding_own")


def released_suite(folder: Path, mixture: dict[str, object]) -> SuiteOnDisk:
    """Three steps of random weights under the lab's tokenizer, with a stated mixture."""
    from pythia_geometry.lab.batches import write_tokenizer
    from tests.suites_on_disk import write_probes

    folder.mkdir(parents=True, exist_ok=True)
    suite = tiny_suite(folder, (1, 2, 8))
    write_tokenizer(suite.folder / "tokenizer.json")
    (suite.folder / "suite.json").write_text(json.dumps({"mixture": mixture}))
    rows = [
        {"id": f"r/{i}", "task": "r", "prompt": f"ADD {i} =", "target": str(i), "distractors": []} for i in range(8)
    ]
    write_probes(suite.probes, rows)
    return suite


@pytest.mark.slow
def test_a_walk_of_all_measures_completes_and_every_row_has_a_value_or_a_reason(tmp_path: Path) -> None:
    from pythia_geometry.measures import MEASURES
    from pythia_geometry.report.belief import belief

    suite = released_suite(tmp_path, {"tasks": ["ADD1", "COPY1"]})
    chains = "chains=2,burn_in=4,draws=20"
    found = suite.walk(tmp_path / "run", measures=("all",), at="2", llc=chains).geometry
    assert set(found["measure"]) == set(MEASURES)
    empty = found["value"].isna()
    assert (found.loc[empty, "reason"] != "").all(), found[empty & (found["reason"] == "")]["measure"].unique()
    dear = {name for name, m in MEASURES.items() if m.group == "landscape"}
    assert set(found.loc[found["measure"].isin(dear), "step"]) == {2}
    assert set(belief(found)["measure"]) == set(MEASURES)

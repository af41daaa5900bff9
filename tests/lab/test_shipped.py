"""What ships of the lab: the algorithmic probe set and the small trained suite."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from pythia_geometry.extraction.probes.probes import load_probes
from pythia_geometry.lab.settings import Training
from pythia_geometry.lab.tasks import default_levels, is_held_out, vocabulary
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request
from pythia_geometry.shipped import data_folder
from pythia_geometry.suites.named import find_suites
from tests.lab.twins import answer

ROOT = Path(__file__).resolve().parents[2]
SUITE = data_folder() / "suites" / "offline"
FILE = data_folder() / "probes" / "algorithmic.jsonl"
STEPS = sorted(int(p.name.removeprefix("step")) for p in SUITE.glob("step*"))
LEVELS = {level.name: level for level in default_levels()}


def shipped_rows() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in FILE.read_text().splitlines():
        row = json.loads(line)
        found[row["task"]].append(row)
    return dict(found)


ROWS = shipped_rows()
each_task = pytest.mark.parametrize("task", sorted(ROWS))


def test_every_reference_record_says_its_parameters_and_its_time() -> None:
    records = [path for path in (data_folder() / "reference").rglob("*.json") if path.name != "text.json"]
    assert len(records) > 100
    for path in records:
        record = json.loads(path.read_text())
        assert record["n_parameters"] > 0 and "cpu_seconds" in record and record["machine"], path
        if "scale" in record.get("training", {}):
            training = {k: tuple(v) if k == "tasks" else v for k, v in record["training"].items()}
            assert record["n_parameters"] == Training(**training).n_parameters, path


def trainer() -> ModuleType:
    """scripts/train_offline_suite.py as a module."""
    spec = importlib.util.spec_from_file_location("trainer", ROOT / "scripts" / "train_offline_suite.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_building_the_probes_again_gives_the_shipped_bytes(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "build_algorithmic_probes.py"
    out, docs = tmp_path / "a.jsonl", tmp_path / "a.md"
    subprocess.run([sys.executable, script, "--out", out, "--docs", docs], check=True, capture_output=True)
    assert out.read_bytes() == FILE.read_bytes()
    assert docs.read_bytes() == (ROOT / "docs" / "probes-algorithmic.md").read_bytes()


def test_all_24_task_levels_ship_with_128_rows() -> None:
    assert list(ROWS) == list(LEVELS)
    assert {len(rows) for rows in ROWS.values()} == {128}
    assert [p.task for p in load_probes(("algorithmic",))] == list(LEVELS)
    assert len({row["id"] for row in chain(*ROWS.values())}) == 24 * 128


@each_task
def test_every_shipped_target_is_the_twins(task: str) -> None:
    assert {row["target"] == answer(row["prompt"]) for row in ROWS[task]} == {True}


@each_task
def test_shipped_inputs_are_held_out_where_the_space_is_large(task: str) -> None:
    if LEVELS[task].holds_out:
        assert all(is_held_out(row["prompt"].split()) for row in ROWS[task])


@each_task
def test_prompts_repeat_evenly_or_not_at_all(task: str) -> None:
    found = Counter(row["prompt"] for row in ROWS[task])
    by_answer = defaultdict(list)
    for prompt, times in found.items():
        by_answer[answer(prompt) if LEVELS[task].task.answers else ""].append(times)
    assert all(max(times) - min(times) <= 1 for times in by_answer.values())
    if task not in ("PAR1", "PAR2", "PAR3", "ADD1", "MOD1", "MUL1", "CMP1"):
        assert len(found) == 128


@pytest.mark.parametrize("task", ["CMP1", "CMP2", "CMP3", "PAR1", "PAR2", "PAR3"])
def test_closed_answers_come_in_equal_shares_with_the_others_as_distractors(task: str) -> None:
    found = Counter(row["target"] for row in ROWS[task])
    answers = set(LEVELS[task].task.answers)
    assert set(found) == answers
    assert max(found.values()) - min(found.values()) <= 1
    assert all({row["target"], *row["distractors"]} == answers for row in ROWS[task])


def test_offline_suite_has_every_even_step_to_40_and_at_least_40_checkpoints() -> None:
    assert find_suites("offline")[0].steps() == STEPS
    assert len(STEPS) >= 40
    assert set(range(0, 41, 2)) <= set(STEPS)
    assert trainer().checkpoint_steps() == STEPS


def test_offline_suite_is_small() -> None:
    assert sum(path.stat().st_size for path in SUITE.rglob("*") if path.is_file()) <= 30_000_000


def test_offline_weights_are_a_float16_model_of_four_blocks() -> None:
    config = json.loads((SUITE / "step0" / "config.json").read_text())
    assert config["num_hidden_layers"] >= 4
    assert config["model_type"] == "gpt_neox"
    for step in STEPS:
        assert json.loads((SUITE / f"step{step}" / "config.json").read_text()) == config
        tensors = load_file(SUITE / f"step{step}" / "model.safetensors")
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
        assert 200_000 <= sum(tensor.numel() for tensor in tensors.values()) <= 400_000
        assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_offline_steps_hold_different_weights() -> None:
    checkpoints = find_suites("offline")[0].find(STEPS)
    assert {c.status for c in checkpoints} == {"ok"}
    assert len({c.weight_sha256 for c in checkpoints}) == len(STEPS)


def test_offline_step_0_is_the_trainers_seeded_initialisation() -> None:
    made = {name: tensor.half() for name, tensor in trainer().build_model().state_dict().items()}
    held = load_file(SUITE / "step0" / "model.safetensors")
    for name, tensor in held.items():
        assert torch.allclose(tensor, made[name.replace("embed_out", "lm_head")], atol=1e-3), name


def test_offline_tokenizer_round_trips_the_vocabulary() -> None:
    tokenizer = Tokenizer.from_file(str(SUITE / "tokenizer.json"))
    ids = tokenizer.encode(" ".join(vocabulary()), add_special_tokens=False).ids
    assert ids == list(range(len(vocabulary())))
    assert tokenizer.decode(ids) == " ".join(vocabulary())


def test_training_batches_hold_none_of_the_shipped_held_out_prompts() -> None:
    module = trainer()
    drawn = {
        " ".join(vocabulary()[i] for i in prompt)
        for step in range(0, 16_000, 100)
        for prompt, _ in module.draw_batch(step)
    }
    kept = {row["prompt"] for task, rows in ROWS.items() if LEVELS[task].holds_out for row in rows}
    assert len(drawn) > 10_000
    assert not drawn & kept


def test_trained_suite_learns_mod1_between_its_first_and_last_step(tmp_path: Path) -> None:
    request = Request(probes=("algorithmic/MOD1", "algorithmic/MUL3"), steps=f"0,10,{STEPS[-1]}", device="cpu")
    tables = walk(make_plan(request), tmp_path / "run")
    exact = tables.behaviour[tables.behaviour["metric"] == "exact_match"].set_index(["task", "step"])["value"]
    assert exact["MOD1", 0] < 0.1
    assert exact["MOD1", STEPS[-1]] > 0.9
    assert exact["MUL3", 0] == 0.0
    rankme = tables.geometry[(tables.geometry["measure"] == "rankme") & (tables.geometry["task"] == "MUL3")]
    by_layer = rankme.pivot(index="step", columns="layer", values="value")
    assert by_layer["embed"].to_numpy() == pytest.approx(1.0)  # every prompt ends in =
    assert by_layer["final_norm"].nunique() == 3

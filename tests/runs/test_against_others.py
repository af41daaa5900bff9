"""A walk's benchmarks beside what the harness itself wrote, and beside the evaluations that EleutherAI published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from pythia_geometry.analysis.lm_eval.against import AGREES, DIFFERS
from pythia_geometry.analysis.lm_eval.published import COMMIT, ROOT
from pythia_geometry.cli import app
from pythia_geometry.extraction.probes.benchmark_items import HarnessOptions
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request
from tests.analysis.behaviour_tables import needs_published
from tests.analysis.lm_eval.test_published import git_sha1
from tests.extraction.local_benchmarks import write_tasks
from tests.extraction.test_tokenizer_kinds import byte_level
from tests.hub.checkpoints import pythia_config, write_checkpoint

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'pythia-geometry[lm-eval]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # the harness's own

MODEL = "pythia-160m"
STEPS = (1, 8, 64, 256, 512, 1000, 3000, 13000, 63000, 143000)
SCORED = (1, 512, 143000)
"""Steps that the harness scores too."""

TASKS = ("arc_easy", "sciq", "lambada_openai", "winogrande", "copa", "several_right")


def small_suite(home: Path) -> Path:
    """A run folder of small random checkpoints under the name of one that was published."""
    suite = home / MODEL
    for step in STEPS:
        write_checkpoint(suite / f"step{step}", pythia_config("tiny", vocab_size=512, initializer_range=0.3), seed=step)
    byte_level().save(str(suite / "tokenizer.json"))
    harness = HarnessOptions(include=str(write_tasks(home / "tasks")))
    request = Request(
        models=(str(suite),), probes=tuple(f"lm-eval:{t}" for t in TASKS), device="cpu", threads=1, harness=harness
    )
    walk(make_plan(request), home / "run")
    return home / "run"


def harness_writes(home: Path, swap: dict[int, int]) -> Path:
    """What lm_eval writes (`--output_path`, `--log_samples`) of every step; `swap` says whose weights a step gets."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    out = home / "theirs"
    manager = TaskManager(include_path=str(home / "tasks"), include_defaults=False)
    for step in SCORED:
        place = out / "models" / MODEL / f"step{step}"
        shutil.copytree(home / MODEL / f"step{swap.get(step, step)}", place)
        PreTrainedTokenizerFast(tokenizer_object=byte_level(), eos_token=byte_level().id_to_token(0)).save_pretrained(
            place
        )
        tracker = EvaluationTracker(output_path=str(out / "results"))
        found: Any = simple_evaluate(
            "hf",
            model_args={"pretrained": str(place), "dtype": "float32"},
            tasks=list(TASKS),
            task_manager=manager,
            evaluation_tracker=tracker,
            device="cpu",
            batch_size=8,
            bootstrap_iters=200,
        )
        samples = found.pop("samples")
        tracker.save_results_aggregated(results=found, samples=samples)
        for task in found["configs"]:
            tracker.save_results_samples(task_name=task, samples=samples[task])
    return out / "results"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_suite(tmp_path_factory.mktemp("others"))


def asked(run: Path, other: str) -> tuple[pd.DataFrame, str]:
    """The rows that the command kept, and what it printed."""
    result = CliRunner().invoke(app, ["against", str(run), other])
    assert result.exit_code == 0, result.output
    return pd.read_parquet(run / "results" / "against.parquet"), result.output


def test_files_of_the_harness_agree_item_for_item_and_a_swapped_checkpoint_differs(run: Path) -> None:
    theirs = harness_writes(run.parent, swap={1: 512})
    assert len(list(theirs.rglob("samples_*.jsonl"))) == len(SCORED) * len(TASKS)
    found, printed = asked(run, str(theirs))
    by_item = found[found["metric"] == "items"].set_index(["step", "task"])
    assert len(by_item) == len(SCORED) * len(TASKS)
    right = by_item.loc[[512, 143000]]
    assert (right["difference"] < 1e-4).all() and set(right["verdict"]) == {AGREES} and (right["n"] == 12).all()
    assert set(by_item.loc[1]["verdict"]) == {DIFFERS}
    told = right[right["value_there"].notna()]
    assert set(told.index.get_level_values("task")) == set(TASKS) - {"winogrande"}, (
        "its files do not tell the right one"
    )
    np.testing.assert_allclose(told["value"], told["value_there"], atol=1e-4)
    numbers = found[(found["metric"] != "items") & (found["step"] != 1)]
    assert set(numbers["verdict"]) == {AGREES} and (numbers["difference"].abs() < 1e-4).all()
    shares = numbers[numbers["metric"] != "log_prob"]  # the error of a perplexity is a bootstrap there
    np.testing.assert_allclose(shares["error"], shares["error_there"], rtol=1e-6)
    assert "differs" in printed and "not there" not in printed


def test_published_numbers_join_by_task_step_and_shots(run: Path) -> None:
    evals = needs_published() / "pythia-v1"
    found, printed = asked(run, str(evals))
    assert set(found["step"]) == set(STEPS) and set(found["shots"]) == {"0"} and set(found["model"]) == {MODEL}
    assert set(found["task"]) == {"arc_easy", "sciq", "lambada_openai", "winogrande"}
    assert "not there: copa 0-shot, several_right 0-shot" in printed
    assert set(found["version"]) == {"1.0"} and set(found["version_there"]) == {"0"}
    for row in found.to_dict(orient="records"):
        (file,) = (evals / MODEL / "zero-shot").glob(f"*step{row['step']}.json")
        there = json.loads(file.read_text())["results"][row["task"]]
        key = {"accuracy": "acc", "accuracy_norm": "acc_norm", "log_prob": "ppl"}[row["metric"]]
        told = -np.log(there[key]) if key == "ppl" else there[key]
        assert row["value_there"] == pytest.approx(told)
    last = found[(found["step"] == 143000) & (found["task"] == "lambada_openai")]
    assert set(last["verdict"]) == {DIFFERS}, "random weights are no Pythia"
    assert not np.isinf(found["z"]).any(), "a dozen wrong items are no certainty"


def test_published_numbers_that_were_fetched_need_no_network(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted((needs_published() / "pythia-v1" / MODEL).rglob("*.json"))
    home = tmp_path / ".cache" / "pythia-geometry" / "published"
    tree = []
    for file in files:
        target = home / MODEL / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes()
        target.write_bytes(content)
        tree.append({"path": f"{ROOT}{target.relative_to(home)}", "sha": git_sha1(content)})
    (home / f".files-{COMMIT}").write_text(json.dumps({"tree": tree}))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("pythia_geometry.analysis.lm_eval.published._get", None)
    found, _ = asked(run, "published")
    assert len(found) == len(STEPS) * 7


def test_precursors_takes_published_curves_where_asked(run: Path) -> None:
    evals = str(needs_published() / "pythia-v1")
    tables = {}
    for name, words in {"own": [], "theirs": ["--behaviour", evals]}.items():
        result = CliRunner().invoke(app, ["precursors", str(run), "--draws", "20", *words])
        assert result.exit_code == 0, result.output
        tables[name] = pd.read_parquet(run / "results" / "precursors-tasks.parquet").set_index("task")
    own, theirs = tables["own"], tables["theirs"]
    arc = "lm-eval:arc_easy/arc_easy"
    assert own.loc[arc, "top"] < 0.3 and own.loc[arc, "outcome"] == "did not emerge"
    assert theirs.loc[arc, "top"] > 0.4 and theirs.loc[arc, "outcome"] == "emerged"
    copa = "lm-eval:copa/copa"
    pd.testing.assert_series_equal(own.loc[copa], theirs.loc[copa])  # which nobody published

"""A walk over tasks of the real harness: what is kept, exported, and set beside what the harness itself finds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from pythia_geometry.analysis.curves.behaviour import from_walk
from pythia_geometry.analysis.lm_eval.against import AGREES, DIFFERS, against, against_items
from pythia_geometry.analysis.lm_eval.items import read_items
from pythia_geometry.analysis.lm_eval.results import read_results
from pythia_geometry.cli import app
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.benchmark_items import HarnessOptions
from pythia_geometry.report.lm_eval_results import benchmarks_of, export_lm_eval
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.manifest import changed_inputs
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request
from pythia_geometry.store.checking import check
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import Tables
from tests.extraction.local_benchmarks import write_tasks
from tests.extraction.test_tokenizer_kinds import byte_level
from tests.hub.checkpoints import pythia_config, write_checkpoint

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'pythia-geometry[lm-eval]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # the harness's own

TASKS = ("lm-eval:arc_easy", "lm-eval:arc_easy:shuffled", "lm-eval:lambada_openai", "lm-eval:winogrande")
STEPS = (0, 1, 2)


class Walked(NamedTuple):
    request: Request
    run: RunFolder
    tables: Tables


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Walked:
    home = tmp_path_factory.mktemp("benchmarks")
    for step in STEPS:
        write_checkpoint(
            home / "small" / f"step{step}", pythia_config("tiny", vocab_size=512, initializer_range=0.3), seed=step
        )
    byte_level().save(str(home / "small" / "tokenizer.json"))
    harness = HarnessOptions(include=str(write_tasks(home / "tasks")))
    request = Request(models=(str(home / "small"),), probes=TASKS, device="cpu", threads=1, harness=harness)
    return Walked(request, RunFolder(home / "run"), walk(make_plan(request), home / "run"))


@pytest.fixture
def without_harness(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from pythia_geometry.extraction.probes.lm_eval_tasks import _manager

    for name in [name for name in sys.modules if name.split(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    _manager.cache_clear()
    yield
    _manager.cache_clear()


def test_every_choice_and_every_metric_is_kept(walked: Walked) -> None:
    behaviour, answers = walked.tables.behaviour, walked.tables.answers
    arc = behaviour[(behaviour["probe"] == "lm-eval:arc_easy") & (behaviour["step"] == 1)].set_index("metric")
    assert {"acc", "acc_norm", "accuracy", "accuracy_norm", "log_prob"} <= set(arc.index)
    assert arc.loc["acc", "value"] == arc.loc["accuracy", "value"] and arc.loc["acc", "chance"] == 0.25
    assert {len(json.loads(text)) for text in answers[answers["task"] == "arc_easy"]["choices"]} == {4}
    lambada = behaviour[(behaviour["task"] == "lambada_openai") & (behaviour["step"] == 1)].set_index("metric")["value"]
    assert lambada["perplexity"] == pytest.approx(np.exp(-lambada["log_prob"]))
    assert set(walked.tables.geometry["probe"]) == {
        "lm-eval:arc_easy",
        "lm-eval:arc_easy:shuffled",
        "lm-eval:lambada_openai",
        "lm-eval:winogrande",
    }


def test_a_context_run_anew_moves_nothing_of_geometry(walked: Walked, tmp_path: Path) -> None:
    anew = walk(make_plan(replace(walked.request, contexts="anew")), tmp_path)
    columns = ["probe", "task", "step", "layer", "measure", "settings", "value"]
    pd.testing.assert_frame_equal(anew.geometry[columns], walked.tables.geometry[columns], check_exact=True)
    assert np.abs(anew.answers["log_prob"] - walked.tables.answers["log_prob"]).max() < 1e-4


def test_frozen_tasks_continue_the_run_without_the_harness(walked: Walked, without_harness: None) -> None:
    with pytest.raises(PythiaGeometryError, match=r"pip install 'pythia-geometry\[lm-eval\]'.*probes/NAME.jsonl"):
        make_plan(walked.request)
    files = sorted((walked.run.path / "probes").glob("*.jsonl"))
    assert len(files) == 3
    again = replace(walked.request, probes=tuple(map(str, files)), harness=HarnessOptions())
    plan, done = make_plan(again), walked.run.done()
    walk(plan, walked.run.path)
    assert walked.run.done().keys() == done.keys(), "the frozen probe is the same work: nothing is computed again"
    assert check(walked.run.path).is_whole and not check(walked.run.path).foreign


@pytest.mark.parametrize("what", ["the dataset's documents", "the task's version, the task's definition"])
def test_a_task_that_changed_says_what_of_it_and_how_to_go_on(walked: Walked, tmp_path: Path, what: str) -> None:
    folder = write_tasks(tmp_path / "tasks")
    definition = json.loads((folder / "arc_easy.yaml").read_text())
    if what == "the dataset's documents":
        data = Path(definition["dataset_kwargs"]["data_files"]["test"])
        data.write_text(data.read_text().replace("river", "mountain"))
    else:
        (folder / "arc_easy.yaml").write_text(json.dumps(definition | {"metadata": {"version": 9.0}}))
    plan = make_plan(replace(walked.request, harness=HarnessOptions(include=str(folder))))
    said = [text for text in changed_inputs(walked.run.manifest(), plan) if "lm-eval:arc_easy/arc_easy " in text]
    assert f"walked with (changed: {what})" in said[0] and "--probes RUN/probes/" in said[0]


def test_an_export_reads_as_results_of_the_harness(walked: Walked, tmp_path: Path) -> None:
    export_lm_eval(walked.run, walked.tables, tmp_path)
    read = read_results(tmp_path)
    assert set(read["step"]) == set(STEPS) and set(read["model"]) == {"small"}
    ours = walked.tables.behaviour
    for row in read[read["metric"].isin(["accuracy", "accuracy_norm", "log_prob"])].to_dict(orient="records"):
        same = (ours["task"] == row["task"]) & (ours["step"] == row["step"]) & (ours["metric"] == row["metric"])
        kept = ours[same & ~ours["probe"].str.endswith(":shuffled")].iloc[0]
        assert (row["value"], row["n"]) == (pytest.approx(kept["value"]), kept["n"])
    items = read_items(tmp_path)
    assert len(items) == 3 * 12 * len(STEPS)
    arc = items[(items["task"] == "arc_easy") & (items["step"] == 2)].set_index("item")["log_prob"]
    kept = walked.tables.answers
    kept = kept[(kept["probe"] == "lm-eval:arc_easy") & (kept["step"] == 2)].set_index("item")["log_prob"]
    pd.testing.assert_series_equal(arc, kept)


def test_a_swapped_checkpoint_differs_and_the_same_ones_agree(walked: Walked, tmp_path: Path) -> None:
    export_lm_eval(walked.run, walked.tables, tmp_path)
    behaviour, tasks = from_walk(walked.tables), benchmarks_of(walked.run)
    same = against(behaviour, tasks, read_results(tmp_path))
    assert set(same["verdict"]) == {AGREES} and len(same) == 5 * len(STEPS)
    theirs, items = read_results(tmp_path), read_items(tmp_path)
    swap = {0: 0, 1: 2, 2: 1}
    by_item = against_items(walked.tables.answers, tasks, items.assign(step=items["step"].map(swap)))
    assert set(by_item[by_item["verdict"] == DIFFERS]["step"]) == {1, 2}
    assert set(by_item[by_item["verdict"] == AGREES]["step"]) == {0}
    moved = theirs.assign(
        value=theirs["value"].where(theirs["step"] != 1, theirs["value"] - 4 * theirs["error"] - 1e-3)
    )
    found = against(behaviour, tasks, moved)
    assert set(found[found["verdict"] == DIFFERS]["step"]) == {1}
    other_shots = theirs.assign(probe=theirs["probe"].str.replace("0-shot", "5-shot"))
    with pytest.raises(PythiaGeometryError, match="Nothing is in both"):
        against(behaviour, tasks, other_shots)


@pytest.mark.parametrize("to", ["csv", "datasets", "lm-eval"])
def test_the_export_command_writes_what_can_be_read(walked: Walked, tmp_path: Path, to: str) -> None:
    result = CliRunner().invoke(app, ["export", str(walked.run.path), "--to", to, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    if to == "csv":
        assert len(pd.read_csv(tmp_path / "out" / "answers.csv")) == len(walked.tables.answers)
    elif to == "datasets":
        import datasets

        assert len(datasets.load_from_disk(str(tmp_path / "out" / "answers"))) == len(walked.tables.answers)
    else:
        assert len(list((tmp_path / "out").rglob("results_*.json"))) == len(STEPS)


def test_the_against_command_keeps_its_rows(walked: Walked, tmp_path: Path) -> None:
    export_lm_eval(walked.run, walked.tables, tmp_path / "theirs")
    words = ["against", str(walked.run.path), str(tmp_path / "theirs"), "--out", str(tmp_path / "kept")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0 and "24 agree, 0 differ" in result.output, result.output
    assert (tmp_path / "kept" / "results" / "against.parquet").is_file()


def test_heads_and_benchmarks_are_walked_apart(walked: Walked) -> None:
    with pytest.raises(PythiaGeometryError, match="is a task of lm-eval, and attention"):
        make_plan(replace(walked.request, measures=("attention",)))

"""Results of lm-eval in the format of 2023 and today's."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pythia_geometry.analysis.events.onsets import onsets
from pythia_geometry.analysis.lm_eval.file import todays_name
from pythia_geometry.analysis.lm_eval.results import read_results
from pythia_geometry.errors import PythiaGeometryError


def old(step: int = 512, **changes: Any) -> dict[str, Any]:
    """A file as the harness wrote it in 2023."""
    return {
        "results": {
            "arc_easy": {"acc": 0.3, "acc_stderr": math.sqrt(0.3 * 0.7 / 99), "acc_norm": 0.4, "acc_norm_stderr": math.sqrt(0.24 / 99)},
            "lambada_openai": {"ppl": math.exp(12), "ppl_stderr": math.exp(12) / 20, "acc": 0.0, "acc_stderr": 0.0},
            "crows_pairs_english": {"likelihood_difference": 4.2, "likelihood_difference_stderr": 0.1},
        },
        "versions": {"arc_easy": 0, "lambada_openai": 0, "crows_pairs_english": 0},
        "config": {
            "model": "hf-causal",
            "model_args": f"use_accelerate=True,pretrained=EleutherAI/pythia-v1.1-410m,revision=step{step}",
            "num_fewshot": 0,
            "batch_size": 32,
        },
    } | changes  # fmt: skip


def today(step: int = 512, **changes: Any) -> dict[str, Any]:
    """A file as the harness writes it today."""
    return {
        "results": {
            "arc_easy": {
                "alias": "arc_easy", "sample_len": 200, "acc,none": 0.3, "acc_stderr,none": 0.03,
                "acc_norm,none": 0.4, "acc_norm_stderr,none": "N/A",
            },
            "lambada_openai": {"perplexity,none": math.exp(3), "perplexity_stderr,none": 1.0, "acc,none": 0.2, "acc_stderr,none": 0.01},
            "gsm8k": {"exact_match,strict-match": 0.1, "exact_match_stderr,strict-match": 0.02, "exact_match,flexible-extract": 0.2},
            "triviaqa": {"f1,none": 0.5},
            "mmlu_anatomy": {"acc,none": 0.26, "acc_stderr,none": 0.03},
        },
        "configs": {"arc_easy": {"num_fewshot": 0, "metadata": {"version": 1.0}}},
        "versions": {"arc_easy": 1.0, "lambada_openai": 1.0, "gsm8k": 3.0, "triviaqa": 3.0, "mmlu_anatomy": 1.0},
        "n-shot": {"arc_easy": 0, "lambada_openai": 0, "gsm8k": 5, "triviaqa": 0, "mmlu_anatomy": 0},
        "n-samples": {task: {"original": 500, "effective": 200} for task in ("arc_easy", "lambada_openai", "gsm8k")},
        "config": {
            "model": "hf",
            "model_args": {"pretrained": "EleutherAI/pythia-410m", "revision": f"step{step}", "dtype": "float32"},
            "batch_size": "auto",
        },
    } | changes  # fmt: skip


def written(folder: Path, *files: dict[str, Any]) -> Path:
    for i, data in enumerate(files):
        (folder / f"results_{i}.json").write_text(json.dumps(data))
    return folder


def test_a_file_of_2023(tmp_path: Path) -> None:
    table = read_results(written(tmp_path, old())).set_index(["task", "metric"])
    assert set(table["suite"]) == {"pythia"}
    assert set(table["model"]) == {"pythia-410m"}
    assert set(table["step"]) == {512}
    assert set(table["probe"]) == {"lm-eval-v0/0-shot"}
    assert set(table["source"]) == {"lm-eval, batch 32, accelerate"}
    arc = table.loc[("arc_easy", "accuracy_norm")]
    assert (arc["value"], arc["n"], arc["chance"]) == (0.4, 100, 0.25)
    ppl = table.loc[("lambada_openai", "log_prob")]
    assert (ppl["value"], ppl["error"]) == pytest.approx((-12.0, 0.05))
    assert math.isnan(ppl["chance"])
    assert table.loc[("lambada_openai", "accuracy"), "chance"] == 0.0
    assert table.loc[("crows_pairs_english", "likelihood_difference"), "reason"] != ""


def test_a_file_of_today(tmp_path: Path) -> None:
    table = read_results(written(tmp_path, today())).set_index(["task", "metric"])
    assert table.index.to_list() == [
        ("arc_easy", "accuracy"), ("arc_easy", "accuracy_norm"), ("lambada_openai", "accuracy"),
        ("lambada_openai", "log_prob"), ("mmlu_anatomy", "accuracy"), ("triviaqa", "f1"),
        ("gsm8k", "exact_match:flexible-extract"), ("gsm8k", "exact_match:strict-match"),
    ]  # fmt: skip
    assert table.loc[("arc_easy", "accuracy"), ["value", "error", "n", "probe", "precision"]].to_list() == [
        0.3, 0.03, 200, "lm-eval-v1.0/0-shot", "float32",
    ]  # fmt: skip
    assert math.isnan(table.loc[("arc_easy", "accuracy_norm"), "error"])
    assert table.loc[("lambada_openai", "log_prob"), "value"] == pytest.approx(-3.0)
    assert set(table.loc["gsm8k", "probe"]) == {"lm-eval-v3.0/5-shot"}
    assert "which way" in table.loc[("triviaqa", "f1"), "reason"]
    assert (table["reason"] == "").sum() == 7
    assert set(table["source"]) == {"lm-eval, batch auto, no accelerate"}


def test_the_two_formats_of_one_task_are_two_curves(tmp_path: Path) -> None:
    table = read_results(written(tmp_path, *(old(s) for s in (1, 2, 4)), *(today(s) for s in (8, 16, 32))))
    arc = table[(table["task"] == "arc_easy") & (table["metric"] == "accuracy")]
    assert arc.groupby("probe")["step"].apply(list).to_dict() == {
        "lm-eval-v0/0-shot": [1, 2, 4],
        "lm-eval-v1.0/0-shot": [8, 16, 32],
    }
    assert len(onsets(arc, rules=("E2",))) == 2


def test_old_hendryckstest_never_joins_todays_mmlu(tmp_path: Path) -> None:
    """Even if a task of version 0 had today's name."""
    renamed = old(1)
    renamed["results"] = {"mmlu_anatomy": {"acc": 0.26, "acc_stderr": 0.03}}
    renamed["versions"] = {"mmlu_anatomy": 0}
    table = read_results(written(tmp_path, renamed, today(2)))
    assert table[table["task"] == "mmlu_anatomy"]["probe"].nunique() == 2


@pytest.mark.parametrize(
    ("name", "today"),
    [
        ("EleutherAI/pythia-v1.1-1b-bf16", "pythia-1b"),
        ("EleutherAI/pythia-v1.1-2.8b", "pythia-2.8b"),
        ("EleutherAI/pythia-v1.1-1.4b-deduped", "pythia-1.4b-deduped"),
        ("pythia-v1.1-350m", "pythia-410m"),
        ("EleutherAI/pythia-1.3b", "pythia-1.4b-v0"),
        ("EleutherAI/pythia-350m-deduped", "pythia-410m-deduped-v0"),
        ("EleutherAI/pythia-13b", "pythia-12b-v0"),
        ("EleutherAI/pythia-410m", "pythia-410m"),
        ("EleutherAI/pythia-160m-seed3", "pythia-160m-seed3"),
        ("allenai/OLMo-2-0425-1B", "allenai/OLMo-2-0425-1B"),
        ("/data/pythia-mine/step100", "/data/pythia-mine/step100"),
    ],
)
def test_names_of_2023_are_those_on_the_hub_today(name: str, today: str) -> None:
    assert todays_name(name) == today


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("pretrained=EleutherAI/pythia-160m-seed3,revision=step64", ("pythia", "pythia-160m", 3, 64)),
        ("pretrained=EleutherAI/pythia-350m,revision=step1000", ("pythia", "pythia-410m-v0", 0, 500)),
        ("pretrained=/data/runs/mine/step200", ("local", "mine", 0, 200)),
        ("pretrained=/data/runs/mine/step200/,dtype=float16", ("local", "mine", 0, 200)),
        ("pretrained=allenai/OLMo-2-0425-1B,revision=stage1-step1000-tokens5B", ("hub", "OLMo-2-0425-1B", 0, 1000)),
        ({"pretrained": "EleutherAI/pythia-1b", "revision": "step0"}, ("pythia", "pythia-1b", 0, 0)),
    ],
)
def test_model_seed_and_step_come_from_the_arguments(tmp_path: Path, arguments: Any, expected: tuple[Any, ...]) -> None:
    data = today()
    data["config"]["model_args"] = arguments
    row = read_results(written(tmp_path, data)).iloc[0]
    assert (row["suite"], row["model"], row["seed"], row["step"]) == expected


def test_the_step_can_be_given_where_the_file_does_not_say_it(tmp_path: Path) -> None:
    data = today()
    data["config"]["model_args"] = "pretrained=EleutherAI/pythia-410m"
    with pytest.raises(PythiaGeometryError, match=r"results_0\.json does not say which step.*Pass step="):
        read_results(written(tmp_path, data))
    assert set(read_results(tmp_path / "results_0.json", step=7)["step"]) == {7}


def test_neither_the_files_name_nor_its_folder_is_believed(tmp_path: Path) -> None:
    lying = tmp_path / "pythia-2.8b" / "five-shot" / "2.8b-5shot_step3000.json"
    lying.parent.mkdir(parents=True)
    lying.write_text(json.dumps(old(512)))
    row = read_results(tmp_path).iloc[0]
    assert (row["model"], row["step"], row["probe"]) == ("pythia-410m", 512, "lm-eval-v0/0-shot")


def test_two_files_with_the_same_number_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        PythiaGeometryError,
        match=r"results_0\.json and .*results_1\.json both hold arc_easy accuracy of pythia-410m at step 512",
    ):
        read_results(written(tmp_path, today(), today()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"results_0\.json cannot be read: .*Expected results of lm-eval"),
        ("[]", r"results_0\.json is no results file of lm-eval: it has no object `results`"),
        ('{"results": {}}', "has no object `config`"),
        ('{"results": {"t": 3}, "config": {"num_fewshot": 0, "model_args": "pretrained=a/b,revision=step1"}}', "results of t are no object"),
        ('{"results": {"t": {"acc": 0.5}}, "config": {"model_args": "pretrained=a/b,revision=step1"}}', "does not say how many shots t had"),
        ('{"results": {"t": {"acc": 0.5}}, "config": {"num_fewshot": 0, "model_args": "revision=step1"}}', "does not name its model"),
        ('{"results": {}, "config": {"num_fewshot": 0, "model_args": "pretrained=a/b,revision=step1"}}', "no results in 1 files"),
        ('{"results": {"t": {"acc": 50.0}}, "config": {"num_fewshot": 0, "model_args": "pretrained=a/b,revision=step1"}}', ""),
    ],
)  # fmt: skip
def test_what_is_no_results_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "results_0.json").write_text(content)
    if message:
        with pytest.raises(PythiaGeometryError, match=message):
            read_results(tmp_path)
    else:  # per cent
        with pytest.raises(
            PythiaGeometryError, match="column 'value' holds 50 .*expected 0 to 1; divide per cent by 100"
        ):
            read_results(tmp_path)


def test_a_folder_without_results_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(PythiaGeometryError, match="holds no .json file"):
        read_results(tmp_path)
    with pytest.raises(PythiaGeometryError, match=r"none\.json cannot be read"):
        read_results(tmp_path / "none.json")


def test_a_number_that_is_none_is_a_row_with_a_reason(tmp_path: Path) -> None:
    data = old()
    data["results"] = {"lambada_openai": {"ppl": math.inf, "acc": math.nan}, "arc_easy": {"ppl": 0.0}}
    table = read_results(written(tmp_path, data)).set_index(["task", "metric"])
    assert table["value"].isin([math.inf]).sum() == 0
    assert (table["reason"] != "").all()


def test_parts_of_a_file_that_are_missing_are_done_without(tmp_path: Path) -> None:
    data = today(versions=None, configs=None) | {"n-samples": None}
    table = read_results(written(tmp_path, data)).set_index(["task", "metric"])
    assert table.loc[("arc_easy", "accuracy"), "probe"] == "lm-eval-v?/0-shot"
    assert table.loc["arc_easy", "n"].to_list() == [200, 200]  # its own sample_len


def test_a_given_step_is_the_true_step_also_of_a_model_whose_labels_count_double(tmp_path: Path) -> None:
    data = today()
    data["config"]["model_args"] = "pretrained=EleutherAI/pythia-350m"
    assert set(read_results(written(tmp_path, data), step=1000)["step"]) == {1000}


# -- files as people have them ------------------------------------------------------------------------------------


def changed(**parts: Any) -> dict[str, Any]:
    """Today's file with parts of `config` replaced."""
    data = today()
    data["config"] |= parts
    return data


@pytest.mark.parametrize(
    ("config", "name", "expected"),
    [
        ({"model_args": None, "model_revision": "step512", "model_sha": "0" * 40}, "EleutherAI/pythia-160m", ("pythia-160m", 512)),
        ({"model_args": "", "model_revision": "step512"}, "allenai/OLMo-1B", ("OLMo-1B", 512)),
        ({"model_args": "pretrained=EleutherAI/pythia-70m,revision=step8", "model_revision": "main"}, "x", ("pythia-70m", 8)),
        ({"model_args": "pretrained=/runs/tiny/checkpoint-500,dtype=float32", "model_revision": "main"}, "x", ("tiny", 500)),
        ({"model_args": "pretrained=/runs/tiny/checkpoint-500/"}, "x", ("tiny", 500)),
        ({"model_args": "pretrained=out/global_step1000"}, "x", ("out", 1000)),
        ({"model_args": {"pretrained": "./tiny/ckpt_356"}}, "x", ("tiny", 356)),
        ({"model_args": 'pretrained="EleutherAI/pythia-160m",revision="step512"'}, "x", ("pythia-160m", 512)),
        ({"model_args": "pretrained='EleutherAI/pythia-160m', revision='step512'"}, "x", ("pythia-160m", 512)),
    ],
)  # fmt: skip
def test_where_a_file_says_what_was_evaluated(tmp_path: Path, config: dict[str, Any], name: str, expected: Any) -> None:
    row = read_results(written(tmp_path, changed(**config) | {"model_name": name})).iloc[0]
    assert (row["model"], row["step"]) == expected


@pytest.mark.parametrize(
    ("config", "precision"),
    [
        ({"model_args": 'pretrained=EleutherAI/pythia-1b,revision=step1,dtype="float32"'}, "float32"),
        ({"model_args": "pretrained=EleutherAI/pythia-1b,revision=step1,dtype=torch.bfloat16"}, "bfloat16"),
        ({"model_args": "pretrained=EleutherAI/pythia-1b,revision=step1", "model_dtype": "torch.float16"}, "float16"),
        ({"model_args": {"pretrained": "EleutherAI/pythia-1b", "revision": "step1", "dtype": "'auto'"}}, "auto"),
        ({"model_args": "pretrained=EleutherAI/pythia-1b,revision=step1"}, ""),
    ],
)
def test_a_precision_is_named_in_one_way(tmp_path: Path, config: dict[str, Any], precision: str) -> None:
    assert set(read_results(written(tmp_path, changed(**config)))["precision"]) == {precision}


def grouped(*shots: int | None) -> dict[str, Any]:
    """A group of groups, which has a score and no shots of its own."""
    tasks = [f"mmlu_{i}" for i in range(len(shots))]
    score = {"acc,none": 0.25, "acc_stderr,none": 0.003}
    return today(
        results={name: dict(score) for name in ("mmlu", "mmlu_stem", *tasks)},
        group_subtasks={"mmlu": ["mmlu_stem"], "mmlu_stem": [*tasks, "mmlu"]},  # a circle is no hang
        configs={},
    ) | {"n-shot": {task: n for task, n in zip(tasks, shots, strict=True) if n is not None}}


@pytest.mark.parametrize(
    ("shots", "probe"), [((0, 0), "0-shot"), ((5, 5, 5), "5-shot"), ((0, 5), "mixed-shot"), ((None, 5), "5-shot")]
)
def test_a_group_has_the_shots_of_its_tasks(tmp_path: Path, shots: tuple[int | None, ...], probe: str) -> None:
    data = grouped(*shots)
    data["config"]["num_fewshot"] = 3  # for what says nothing itself
    table = read_results(written(tmp_path, data)).set_index("task")
    assert {table.loc[name, "probe"].split("/")[1] for name in ("mmlu", "mmlu_stem")} == {probe}


@pytest.mark.parametrize("given", [0, "0", " 0 "])
def test_shots_may_be_written_as_text(tmp_path: Path, given: object) -> None:
    data = today(configs={task: {"num_fewshot": given} for task in today()["results"]}) | {"n-shot": {}}
    assert set(read_results(written(tmp_path, data))["probe"].str.split("/").str[1]) == {"0-shot"}


@pytest.mark.parametrize(
    ("counts", "n"),
    [
        ({"n-samples": {"arc_easy": {"original": 500, "effective": 10}}}, 10),
        ({"n-samples": {"arc_easy": 77}}, 77),
        ({"n-samples": {"arc_easy": True}}, 200),
        ({"n-samples": {"arc_easy": "many"}}, 200),
        ({"n-samples": []}, 200),
    ],
)
def test_what_a_file_counts_is_no_metric(tmp_path: Path, counts: dict[str, Any], n: int) -> None:
    data = today() | counts
    data["results"]["arc_easy"] |= {"sample_count": 200, "name": "arc_easy", "samples": 3}
    table = read_results(written(tmp_path, data)).set_index(["task", "metric"])
    assert not table.index.get_level_values("metric").str.contains("sample").any()
    assert table.loc[("arc_easy", "accuracy"), "n"] == n


STRAY = {
    "settings": ('{"seed": 1}', "no object `results`"),
    "a list": ("[1, 2]", "no object `results`"),
    "damaged": ('{"results": {', "cannot be read"),
    "empty": ("", "cannot be read"),
    "deep": ("[" * 100_000, "cannot be read"),
    "long number": ('{"results": ' + "9" * 5000 + "}", "cannot be read"),
    "another tool's": ('{"results": {"a|b|0": {"acc": 0.3}}, "config_general": {}}', "no object `config`"),
    "without step": (json.dumps(changed(model_args="pretrained=EleutherAI/pythia-160m")), "does not say which step"),
    "no such Pythia": (json.dumps(changed(model_args="pretrained=EleutherAI/pythia-99b,revision=step1")), "no Pythia of size"),
}  # fmt: skip


@pytest.mark.parametrize("stray", STRAY)
def test_one_stray_file_is_named_and_refuses_no_folder(tmp_path: Path, stray: str) -> None:
    content, said = STRAY[stray]
    (written(tmp_path, today()) / "a_stray.json").write_text(content)
    with pytest.warns(UserWarning, match=f"1 of 2 files are skipped: .*a_stray.*{said}"):
        found = read_results(tmp_path)
    (tmp_path / "a_stray.json").unlink()
    assert len(found) == len(read_results(tmp_path))
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "a_stray.json").write_text(content)
    with pytest.raises(PythiaGeometryError, match=said):
        read_results(tmp_path / "alone")


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(today()), encoding="utf-8-sig")
    assert len(read_results(tmp_path / "r.json")) == len(read_results(written(tmp_path, today()) / "results_0.json"))

"""Items that lm-eval logs, as answers that can be drawn again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pythia_geometry.analysis.events.item_bootstrap import bootstrap_onsets
from pythia_geometry.analysis.lm_eval.items import read_items
from pythia_geometry.analysis.lm_eval.results import read_results
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.store.tables import ANSWERS

TIME = "2025-01-01T00-00-0{}.000000"


def results(step: int, accuracy: float) -> dict[str, Any]:
    return {
        "results": {"arc_easy": {"acc,none": accuracy, "acc_stderr,none": 0.05}},
        "versions": {"arc_easy": 1.0},
        "n-shot": {"arc_easy": 0},
        "n-samples": {"arc_easy": {"original": 40, "effective": 40}},
        "config": {"model_args": f"pretrained=EleutherAI/pythia-160m,revision=step{step},dtype=float32"},
    }


def item(doc: int, right: bool, **changes: Any) -> dict[str, Any]:
    """One line of a task of four choices, as today's harness writes it."""
    answers = [[f"{-1.0 if right and i == doc % 4 else -2.0 - i}", "False"] for i in range(4)]
    about = {"doc_id": doc, "doc": {"question": doc}, "doc_hash": f"h{doc}", "target": str(doc % 4), "filter": "none"}
    return {**about, "resps": [[a] for a in answers], "filtered_resps": answers, "acc": float(right)} | changes


def written(folder: Path, number: int, step: int, items: list[dict[str, Any]]) -> None:
    accuracy = sum(i["acc"] for i in items) / len(items)
    (folder / f"results_{TIME.format(number)}.json").write_text(json.dumps(results(step, accuracy)))
    lines = "\n".join(map(json.dumps, items)) + "\n"
    (folder / f"samples_arc_easy_{TIME.format(number)}.jsonl").write_text(lines, encoding="utf-8-sig")


def test_items_have_the_run_and_the_numbers_of_their_lines(tmp_path: Path) -> None:
    written(tmp_path, 0, 512, [item(0, True), item(1, False)])
    found = read_items(tmp_path)
    assert list(found.columns) == list(ANSWERS)
    assert found[["model", "step", "task", "probe", "precision"]].drop_duplicates().to_numpy().tolist() == [
        ["pythia-160m", 512, "arc_easy", "lm-eval-v1.0/0-shot", "float32"]
    ]
    assert found["item"].to_list() == [0, 1] and found["choice"].to_list() == [1.0, 0.0]
    assert found["log_prob"].to_list() == [-1.0, -3.0]
    assert found["margin"].to_list() == pytest.approx([-1.0 + 4.0, -3.0 + (2 + 4 + 5) / 3])
    assert found["exact"].isna().all()


@pytest.mark.parametrize(
    ("changes", "log_prob", "margin"),
    [
        ({"filtered_resps": [[-1.5, True]], "resps": [[[-1.5, True]]]}, -1.5, math.nan),  # LAMBADA: one answer
        ({"filtered_resps": ["forty-two"], "resps": [["forty-two"]]}, math.nan, math.nan),  # generated
        ({"filtered_resps": [["-1", "False"], ["-2", "False"]], "target": " mat"}, math.nan, math.nan),  # told in words
        ({"filtered_resps": [["-1", "False"], ["-2", "False"]], "target": 7}, math.nan, math.nan),
        ({"filtered_resps": [["-1", "False"], ["-2", "False"]], "target": 1}, -2.0, -1.0),
        ({"filtered_resps": None, "resps": [[["-1", "False"]], [["-2", "True"]]], "target": "0"}, -1.0, 1.0),
        ({"filtered_resps": None, "resps": None}, math.nan, math.nan),
    ],
)
def test_what_a_line_says_of_its_answers(
    tmp_path: Path, changes: dict[str, Any], log_prob: float, margin: float
) -> None:
    written(tmp_path, 0, 1, [item(0, True, **changes)])
    row = read_items(tmp_path).iloc[0]
    assert (row["log_prob"], row["margin"]) == pytest.approx((log_prob, margin), nan_ok=True)


def test_exact_match_and_several_filters(tmp_path: Path) -> None:
    lines = [item(0, True, exact_match=1.0), item(0, False, exact_match=0.0, filter="flexible-extract")]
    written(tmp_path, 0, 1, lines)
    assert read_items(tmp_path)[["choice", "exact"]].to_numpy().tolist() == [[1.0, 1.0]]  # the first filter's


def test_items_can_be_drawn_again_jointly_over_steps(tmp_path: Path) -> None:
    for number, (step, n_right) in enumerate([(1, 10), (8, 10), (64, 20), (512, 36), (1000, 38)]):
        written(tmp_path, number, step, [item(doc, doc < n_right) for doc in range(40)])
    found = bootstrap_onsets(read_items(tmp_path), read_results(tmp_path), ("accuracy",), ("F50",), draws=50).iloc[0]
    assert (found["emerges"], found["after_50"], found["by_50"]) == (1.0, 64, 512)
    assert read_items(tmp_path)["probe_sha256"].nunique() == 1
    written(tmp_path, 4, 1000, [item(doc, True, doc_hash=f"other{doc}") for doc in range(40)])
    assert read_items(tmp_path)["probe_sha256"].nunique() == 2  # other items, whatever their numbers


def test_a_file_without_its_results_is_named_and_skipped(tmp_path: Path) -> None:
    with pytest.raises(PythiaGeometryError, match="holds no samples_"):
        read_items(tmp_path)
    written(tmp_path, 0, 1, [item(0, True)])
    (tmp_path / "samples_other_2025-01-01T00-00-09.000000.jsonl").write_text("{}")
    with pytest.warns(UserWarning, match="1 of 2 files are skipped: .*samples_other.*no results file of the same time"):
        assert len(read_items(tmp_path)) == 1


@pytest.mark.parametrize("line", ["{", "[]", '{"doc_id": "x"}', "[" * 100_000, '{"doc_id": ' + "9" * 5000 + "}"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    written(tmp_path, 0, 1, [item(0, True)])
    (tmp_path / f"samples_arc_easy_{TIME.format(0)}.jsonl").write_text(line)
    with pytest.raises(PythiaGeometryError, match="cannot be read: .*Expected items of lm-eval"):
        read_items(tmp_path)


def test_types_are_those_of_the_walks_own_answers(tmp_path: Path) -> None:
    written(tmp_path, 0, 1, [item(0, True)])
    pd.testing.assert_series_equal(read_items(tmp_path).dtypes.astype(str), pd.Series(ANSWERS), check_names=False)

"""The published evaluations of Pythia: every file, every quirk, and the onsets of the protocol notes (A.2)."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.curves.behaviour import tidy
from pythia_geometry.analysis.events.onsets import onsets
from pythia_geometry.analysis.lm_eval.published import COMMIT, FILE, LISTING, fetch_published, read_published
from pythia_geometry.errors import MachineError, PythiaGeometryError
from tests.analysis.behaviour_tables import needs_published

MODELS = ("pythia-160m", "pythia-410m", "pythia-1b", "pythia-1.4b", "pythia-2.8b")
ZERO, FIVE = "lm-eval-v0/0-shot", "lm-eval-v0/5-shot"
STEPS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 3000, *range(13_000, 144_000, 10_000)]

# A.2, left to right in the order of MODELS: E2 (first step), F25 (interval). None: does not emerge.
K = 1000
E2 = {
    ("lambada_openai", "accuracy"): (1 * K, 1 * K, 1 * K, 1 * K, 1 * K),
    ("sciq", "accuracy"): (1 * K, 1 * K, 1 * K, 1 * K, 1 * K),
    ("arc_easy", "accuracy"): (512, 1 * K, 512, 512, 512),
    ("piqa", "accuracy"): (1 * K, 3 * K, 1 * K, 1 * K, 1 * K),
    ("winogrande", "accuracy"): (None, None, None, 33 * K, 13 * K),
    ("arc_challenge", "accuracy_norm"): (None, None, None, None, 33 * K),
    ("arc_challenge", "accuracy"): (None, None, None, None, 63 * K),
    ("logiqa", "accuracy"): (None,) * 5,
    ("mmlu_mean", "accuracy_norm"): (1 * K, 3 * K, 3 * K, 3 * K, 1 * K),
}
F25 = {
    ("lambada_openai", "accuracy"): ((K, 3 * K),) * 5,
    ("sciq", "accuracy"): ((512, K),) * 5,
    ("arc_easy", "accuracy"): ((K, 3 * K),) * 5,
    ("piqa", "accuracy"): ((512, K), *((K, 3 * K),) * 4),
    ("winogrande", "accuracy"): (None, None, None, (3 * K, 13 * K), (3 * K, 13 * K)),
    ("arc_challenge", "accuracy_norm"): (None, None, None, None, (23 * K, 33 * K)),
    ("arc_challenge", "accuracy"): (None, None, None, None, (43 * K, 53 * K)),
    ("logiqa", "accuracy"): (None,) * 5,
    ("mmlu_mean", "accuracy_norm"): ((512, K), *((K, 3 * K),) * 3, (512, K)),
}
N = {
    "lambada_openai": 5153, "arc_easy": 2376, "piqa": 1838, "winogrande": 1267, "arc_challenge": 1172, "sciq": 1000,
    "logiqa": 651, "wsc": 104,
}  # fmt: skip


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    return read_published(needs_published())


@pytest.fixture(scope="module")
def onset(published: pd.DataFrame) -> pd.DataFrame:
    main = published[published["task"].isin(N) & (published["probe"] == ZERO)]
    together = pd.concat([main, mmlu_mean(published)])
    return onsets(together).set_index(["task", "metric", "model", "rule"]).sort_index()


def mmlu_mean(published: pd.DataFrame) -> pd.DataFrame:
    """The mean over the 57 subjects of hendrycksTest, as the notes took it."""
    chosen = published["task"].str.startswith("hendrycksTest") & (published["probe"] == ZERO)
    by = published[chosen].groupby(["suite", "model", "seed", "probe", "metric", "step", "source", "reason"])
    mean = by.agg(value=("value", "mean"), error=("error", lambda e: np.sqrt((e**2).sum()) / len(e)), n=("n", "sum"))
    return tidy(mean.reset_index().assign(task="mmlu_mean", chance=0.25), "mmlu")


def test_every_file_is_read(published: pd.DataFrame) -> None:
    counts = published.groupby(["model", "probe"])[["step", "task"]].nunique()
    assert counts.index.to_list() == sorted((model, probe) for model in MODELS for probe in (ZERO, FIVE))
    assert (counts.xs(ZERO, level="probe") == [27, 87]).all(axis=None)
    assert (counts.xs(FIVE, level="probe") == [15, 65]).all(axis=None)
    assert len(published) == 32_820  # 5 × (27 × 172 + 15 × 128) numbers
    assert published["value"].notna().all()
    assert set(published["suite"]) == {"pythia"}


def test_shots_come_from_the_file_not_from_its_name(published: pd.DataFrame) -> None:
    """Four zero-shot files of 1B are named 5shot."""
    one = published[(published["model"] == "pythia-1b") & (published["task"] == "lambada_openai")]
    assert sorted(one[one["probe"] == ZERO]["step"].unique()) == STEPS
    assert sorted(one[one["probe"] == FIVE]["step"].unique()) == STEPS[12:]


def test_sample_counts_are_recovered(published: pd.DataFrame) -> None:
    for task, n in N.items():
        assert set(published[published["task"] == task]["n"]) == {n}
    mmlu = published[published["task"].str.startswith("hendrycksTest")].groupby("task")["n"].agg(["min", "max"])
    assert (mmlu["min"] == mmlu["max"]).all()
    assert (len(mmlu), mmlu["min"].min(), mmlu["min"].max(), mmlu["min"].sum()) == (57, 100, 1534, 14_042)


def test_step_0_is_step_1_and_only_one_of_them_is_used(published: pd.DataFrame) -> None:
    first = published[published["step"] == 0]
    assert (first["reason"] != "").all()
    used = first["reason"].str.startswith("same weights as step 1")
    assert used.sum() == 5 * 172 - 5 * 44 - 5  # all but crows_pairs and WSC, which have their own reasons
    assert not published[published["step"] != 0]["reason"].str.startswith("same").any()


def test_wsc_is_excluded_with_a_reason_and_kept(published: pd.DataFrame, onset: pd.DataFrame) -> None:
    wsc = published[published["task"] == "wsc"]
    assert wsc["reason"].str.startswith("excluded").all()
    assert len(wsc) == 5 * 42
    assert set(onset.loc["wsc", "label"]) == {"untestable"}
    assert onset.loc["wsc", "reason"].str.startswith("excluded").all()


def test_both_accuracies_are_kept_apart(published: pd.DataFrame) -> None:
    both = published[(published["task"] == "arc_challenge") & (published["probe"] == ZERO)]
    assert set(both["metric"]) == {"accuracy", "accuracy_norm"}
    lowest = both.groupby(["metric", "model"])["value"].min()
    assert (lowest["accuracy"] < 0.185).all()  # dips below chance: length bias
    assert (lowest["accuracy_norm"] > 0.2).all()


@pytest.mark.parametrize(("task", "metric"), E2)
def test_sustained_rise_is_where_the_notes_found_it(onset: pd.DataFrame, task: str, metric: str) -> None:
    for model, step in zip(MODELS, E2[task, metric], strict=True):
        found = onset.loc[(task, metric, model, "E2")]
        if step is None:  # the notes count a rise at the last point alone as none
            assert found["label"] in ("does not emerge", "only at the last point"), model
        else:
            assert (found["label"], found["by"]) == ("emerges", step), model


@pytest.mark.parametrize(("task", "metric"), F25)
def test_a_quarter_of_the_rise_is_where_the_notes_found_it(onset: pd.DataFrame, task: str, metric: str) -> None:
    for model, interval in zip(MODELS, F25[task, metric], strict=True):
        found = onset.loc[(task, metric, model, "F25")]
        if interval is None:
            assert found["label"] == "does not emerge", model
        else:
            assert (found["label"], found["after"], found["by"]) == ("emerges", *interval), model


def test_25_of_28_onsets_lie_in_two_intervals(onset: pd.DataFrame) -> None:
    """The earlier metric of each task; the notes' reading of A.2."""
    found = onset.xs("F25", level="rule").reset_index()
    emerged = found[(found["label"] == "emerges") & (found["metric"] != "log_prob")]
    by = emerged.groupby(["task", "model"])["by"].min()
    assert len(by) == 28
    assert by.isin([1000, 3000]).sum() == 25


def test_lambadas_perplexity_leads_every_task_of_its_model(onset: pd.DataFrame) -> None:
    """One global quantity fires as a precursor 28 times of 28 (A.9): why order of onsets is no evidence."""
    found = onset.xs("E2", level="rule").reset_index()
    placebo = found[found["metric"] == "log_prob"].set_index("model")["by"]
    tasks = found[(found["metric"] != "log_prob") & (found["label"] == "emerges")].drop_duplicates(["task", "model"])
    tasks = tasks[tasks["task"] != "logiqa"]
    assert len(tasks) == 28
    assert (tasks["by"] > tasks["model"].map(placebo)).all()


def test_winogrande_of_the_small_models_rises_at_the_last_point_only(onset: pd.DataFrame) -> None:
    labels = onset.loc[("winogrande", "accuracy"), "label"].xs("E2", level="rule")
    assert labels[["pythia-160m", "pythia-410m", "pythia-1b"]].to_list() == ["only at the last point"] * 3


def test_the_harness_seam_is_noted_where_it_could_make_the_onset(onset: pd.DataFrame) -> None:
    notes = onset["note"].xs("F25", level="rule")
    for model in MODELS:
        assert "source changes inside the interval" in notes["lambada_openai", "accuracy", model]
        assert notes["sciq", "accuracy", model] == ""  # (512, 1000] lies before the seam
    assert "from published, lm-eval, batch 2, no accelerate to" in notes["lambada_openai", "accuracy", "pythia-1b"]


def test_hendryckstest_is_labelled_with_its_version(published: pd.DataFrame) -> None:
    old = published[published["task"].str.startswith("hendrycksTest")]
    assert set(old["probe"]) == {ZERO, FIVE}
    assert not published["task"].str.startswith("mmlu").any()


def test_the_placebo_curve_is_there_for_every_model(published: pd.DataFrame) -> None:
    """−ln ppl of LAMBADA: one global quantity that seems to lead every task (A.9)."""
    placebo = published[
        (published["metric"] == "log_prob") & (published["reason"] == "") & (published["probe"] == ZERO)
    ]
    assert set(placebo["task"]) == {"lambada_openai"}
    for model in MODELS:
        curve = placebo[placebo["model"] == model]
        assert curve["step"].to_list() == STEPS[1:]
        assert (curve["value"].iloc[0] < -14) and (curve["value"].iloc[-1] > -4)
        assert (curve["error"] > 0).all()
    labels = onsets(placebo, rules=("E2", "F50"))
    assert set(labels["label"]) == {"emerges"}


def test_five_shot_curves_have_no_untrained_steps(published: pd.DataFrame) -> None:
    five = published[(published["probe"] == FIVE) & published["task"].isin(["sciq", "lambada_openai"])]
    found = onsets(five, rules=("E2",)).set_index(["task", "metric"])
    assert set(found.loc[("sciq", "accuracy"), "note"]) == {"the baseline knows no step up to 16"}
    assert found.loc[("sciq", "accuracy"), "after"].isna().all()
    assert set(found.loc[("lambada_openai", "log_prob"), "label"]) == {"untestable"}


# -- files made by hand: no network, no shared folder ----------------------------------------------------------


def result(step: int, shots: int = 0, acc: float = 0.3) -> dict[str, Any]:
    return {
        "results": {"arc_easy": {"acc": acc, "acc_stderr": 0.01}, "wsc": {"acc": 0.365, "acc_stderr": 0.05}},
        "versions": {"arc_easy": 0, "wsc": 0},
        "config": {
            "model_args": f"pretrained=EleutherAI/pythia-v1.1-410m,revision=step{step}",
            "num_fewshot": shots,
            "batch_size": 16,
        },
    }


def put(folder: Path, *results: dict[str, Any], shots: str = "zero-shot") -> Path:
    for i, data in enumerate(results):
        file = folder / "pythia-410m" / shots / f"{i}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(data))
    return folder


def test_other_trainings_beside_the_models_are_not_read(tmp_path: Path) -> None:
    put(tmp_path, result(1), result(2))
    put(tmp_path, result(1, acc=0.9), shots="intervention")
    assert (read_published(tmp_path).query("task == 'arc_easy'")["value"] == 0.3).all()


@pytest.mark.parametrize(("first", "reason"), [(0.3, "same weights as step 1"), (0.31, "")])
def test_step_0_is_marked_only_where_it_equals_step_1(tmp_path: Path, first: float, reason: str) -> None:
    table = read_published(put(tmp_path, result(0, acc=first), result(1), result(2))).query("task == 'arc_easy'")
    assert table["reason"].str.startswith(reason).to_list() == [True, not reason, not reason]
    assert (table["reason"] != "").sum() == bool(reason)


@pytest.mark.parametrize("steps", [(1, 2), (0, 2)])
def test_without_step_0_or_1_nothing_is_marked(tmp_path: Path, steps: tuple[int, ...]) -> None:
    table = read_published(put(tmp_path, *(result(step) for step in steps)))
    assert (table.query("task == 'arc_easy'")["reason"] == "").all()


def test_a_folder_without_evaluations_is_told(tmp_path: Path) -> None:
    with pytest.raises(PythiaGeometryError, match="holds no published evaluations. Expected <model>/zero-shot"):
        read_published(tmp_path)


class GitHub:
    """A local server of one repository's files; counts what is asked."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []
        self.lists: bytes | None = None

    def answer(self, path: str) -> bytes | None:
        self.asked.append(path)
        if path.startswith("/trees/"):
            tree = [{"path": path, "sha": git_sha1(content)} for path, content in self.files.items()]
            return self.lists if self.lists is not None else json.dumps({"tree": tree}).encode()
        return self.files.get(path.removeprefix(f"/raw/{COMMIT}/"))

    @contextmanager
    def serving(self) -> Iterator[dict[str, str]]:
        github = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = github.answer(self.path)
                self.send_response(404 if content is None else 200)
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            root = f"http://127.0.0.1:{server.server_port}"
            try:
                yield {"listing": root + "/trees/{commit}", "file": root + "/raw/{commit}/{path}"}
            finally:
                server.shutdown()
                thread.join()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def repository() -> GitHub:
    root = "evals/pythia-v1/"
    return GitHub(
        {
            f"{root}pythia-410m/zero-shot/410m_step1.json": json.dumps(result(1)).encode(),
            f"{root}pythia-410m/five-shot/410m-5shot_step3000.json": json.dumps(result(3000, 5)).encode(),
            f"{root}pythia-1b-bf16/zero-shot/1b-bf16_step1.json": json.dumps(result(1)).encode(),
            f"{root}pythia-410m/baseline/410m_step1.json": b"{}",
            f"{root}pythia-410m/zero-shot/notes.md": b"#",
            f"{root}../zero-shot/evil.json": b"{}",
            "README.md": b"#",
        }
    )


def test_published_files_are_fetched_once(tmp_path: Path) -> None:
    github = repository()
    with github.serving() as urls:
        folder = fetch_published(tmp_path / "evals", **urls)
        assert len(github.asked) == 4  # the list, and three results
        assert fetch_published(tmp_path / "evals", **urls) == folder
        assert len(github.asked) == 4  # a commit's list never changes
        (folder / "pythia-410m" / "zero-shot" / "410m_step1.json").write_text("cut sho")
        fetch_published(tmp_path / "evals", **urls)
        assert len(github.asked) == 5
    assert fetch_published(tmp_path / "evals", **urls) == folder  # the server is gone, and all is there
    shutil.rmtree(folder / "pythia-1b-bf16")
    assert read_published(folder)["probe"].unique().tolist() == [ZERO, FIVE]
    assert not (tmp_path / "zero-shot").exists()


def test_chosen_models_only_by_todays_name(tmp_path: Path) -> None:
    github = repository()
    with github.serving() as urls:
        folder = fetch_published(tmp_path, models=("pythia-1b",), **urls)
        assert [p.name for p in folder.rglob("*.json")] == ["1b-bf16_step1.json"]
        with pytest.raises(
            PythiaGeometryError, match="No evaluations of pythia-14m.*Published: pythia-1b, pythia-410m"
        ):
            fetch_published(tmp_path, models=("pythia-14m",), **urls)


def test_what_github_cannot_serve_is_told(tmp_path: Path) -> None:
    github = repository()
    with github.serving() as urls:
        missing = urls | {"file": urls["file"] + ".gone"}
        with pytest.raises(MachineError, match="Cannot download .*404.*Pass a folder"):
            fetch_published(tmp_path / "missing", **missing)
        other = urls | {"file": urls["listing"] + "?{path}"}
        with pytest.raises(MachineError, match="not those that were listed"):
            fetch_published(tmp_path / "other", **other)
        github.lists = b'{"tree": [], "truncated": true}'
        with pytest.raises(MachineError, match="lists only a part"):
            fetch_published(tmp_path / "list", **urls)
        github.lists = b"<html>"
        with pytest.raises(MachineError, match="is no list of files"):
            fetch_published(tmp_path / "list", **urls)
    with pytest.raises(MachineError, match="Cannot download"):  # the server is gone
        fetch_published(tmp_path / "gone", **urls)
    with pytest.raises(PythiaGeometryError, match="is no http address"):
        fetch_published(tmp_path, listing="file:///etc/{commit}")
    assert not list(tmp_path.rglob("*.json"))


def test_the_default_addresses_name_a_commit() -> None:
    assert len(COMMIT) == 40
    assert "{commit}" in LISTING and "{commit}" in FILE
    assert np.all([url.startswith("https://") for url in (LISTING, FILE)])

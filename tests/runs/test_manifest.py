"""The manifest says what made the numbers; a folder is one model's; one walk writes at a time."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.runs.manifest import updated_manifest
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.store.run_folder import RunFolder
from tests.suites_on_disk import SuiteOnDisk, assert_same, rows, tiny_suite, write_probes, write_step

STEPS = (0, 2)


@pytest.fixture
def suite(tmp_path: Path) -> SuiteOnDisk:
    return tiny_suite(tmp_path, STEPS)


def test_manifest_states_versions_settings_and_hashes(suite: SuiteOnDisk, tmp_path: Path) -> None:
    suite.walk(tmp_path / "run", dtype="bfloat16", position="mean", measures=("twonn", "rankme"), batch=4)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["pythia_geometry"] == version("pythia-geometry")
    for name in ("torch", "transformers", "safetensors", "tokenizers", "numpy"):
        assert manifest["versions"][name] == version(name)
    settings = manifest["settings"]
    assert settings["dtype"] == "bfloat16"
    assert settings["attention"] == "sdpa"
    assert settings["position"] == "mean"
    assert settings["batch"] == 4
    assert settings["device"] == "cpu"
    assert settings["measures"] == ["rankme", "twonn"]
    assert manifest["runs"]["tiny"]["n_layers"] == 2
    assert manifest["runs"]["tiny"]["width"] == 16
    assert set(manifest["probes"]) == {"words/near", "words/far"}
    assert all(re.fullmatch(r"[0-9a-f]{64}", p["sha256"]) for p in manifest["probes"].values())
    for step in STEPS:
        sha = hashlib.sha256(suite.weights(step).read_bytes()).hexdigest()
        assert manifest["weights"][f"tiny@step{step}"] == {"commit": None, "files": {"model.safetensors": sha}}


def test_probe_hash_changes_with_one_letter_and_with_shuffling(suite: SuiteOnDisk, tmp_path: Path) -> None:
    plain = make_plan(suite.request()).runs[0].probes[0].probe.sha256
    shuffled = make_plan(suite.request(probes=(f"{suite.probes}:shuffled",))).runs[0].probes[0].probe.sha256
    changed = rows("near", 8)
    changed[3]["target"] = "w59" if changed[3]["target"] != "w59" else "w58"
    changed[3]["distractors"] = []
    write_probes(suite.probes, changed)
    assert len({plain, shuffled, make_plan(suite.request()).runs[0].probes[0].probe.sha256}) == 3


def test_manifest_grows_with_later_walks(suite: SuiteOnDisk, tmp_path: Path) -> None:
    other = write_probes(tmp_path / "other.jsonl", rows("third", 4))
    suite.walk(tmp_path / "run", steps="0")
    suite.walk(tmp_path / "run", steps="2", probes=(str(other),))
    manifest = RunFolder(tmp_path / "run").manifest()
    assert set(manifest["weights"]) == {"tiny@step0", "tiny@step2"}
    assert set(manifest["probes"]) == {"words/near", "words/far", "other/third"}


def test_run_folder_of_another_model_is_refused_and_left_alone(suite: SuiteOnDisk, tmp_path: Path) -> None:
    suite.walk(tmp_path / "run")
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    other = tiny_suite(tmp_path, STEPS, name="other", seed=500)
    with pytest.raises(PythiaGeometryError, match="holds tiny, not other. Pass another --out"):
        other.walk(tmp_path / "run")
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before


def test_two_models_share_a_run_folder_when_asked_for_together(suite: SuiteOnDisk, tmp_path: Path) -> None:
    other = tiny_suite(tmp_path, STEPS, name="other", seed=500)
    tables = suite.walk(tmp_path / "run", models=(str(suite.folder), str(other.folder)))
    assert set(tables.geometry["model"]) == {"tiny", "other"}
    assert set(RunFolder(tmp_path / "run").manifest()["runs"]) == {"tiny", "other"}
    alone = suite.walk(tmp_path / "alone").geometry
    found = tables.geometry[tables.geometry["model"] == "tiny"]
    assert found["value"].dropna().to_list() == alone["value"].dropna().to_list()


def test_folder_that_is_no_run_folder_is_refused_and_left_alone(suite: SuiteOnDisk, tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").write_text("x")
    with pytest.raises(PythiaGeometryError, match="is not empty and is no run folder"):
        suite.walk(folder)
    assert [p.name for p in folder.iterdir()] == ["chapter1.tex"]


def test_file_in_place_of_the_run_folder_is_refused(suite: SuiteOnDisk, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    with pytest.raises(PythiaGeometryError, match="is a file"):
        suite.walk(tmp_path / "run")


def test_empty_folder_is_taken(suite: SuiteOnDisk, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert len(suite.walk(tmp_path / "run").checkpoints) == 2


DAMAGED = [b'{"runs": ', b"", b"\xff\xfe\x00", b"[]", b"null", b'"x"', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_manifest_is_taken_from_its_copy(suite: SuiteOnDisk, tmp_path: Path, content: bytes) -> None:
    suite.walk(tmp_path / "run")
    before = RunFolder(tmp_path / "run").manifest()
    (tmp_path / "run" / "manifest.json").write_bytes(content)
    assert RunFolder(tmp_path / "run").manifest() == before
    suite.walk(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "manifest.json").read_text()).items() >= before.items()
    assert (tmp_path / "run" / "damaged" / "manifest.json").read_bytes() == content


def test_manifest_edited_by_hand_is_set_aside(suite: SuiteOnDisk, tmp_path: Path) -> None:
    suite.walk(tmp_path / "run")
    file = tmp_path / "run" / "manifest.json"
    edited = file.read_text().replace('"width": 16', '"width": 17')
    file.write_text(edited)
    suite.walk(tmp_path / "run")
    assert RunFolder(tmp_path / "run").manifest()["runs"]["tiny"]["width"] == 16
    assert (tmp_path / "run" / "damaged" / "manifest.json").read_text() == edited


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("{")])
def test_manifest_without_copy_is_made_again_from_what_is_there(
    suite: SuiteOnDisk, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    out = tmp_path / "run"
    expected = suite.walk(out)
    suite.walk(out, steps="0", batch=3)
    before = RunFolder(out).manifest()
    for file in (out / "manifest.json", out / "manifest.json.copy"):
        damage(file)
    made = RunFolder(out).manifest()
    assert made["runs"] == {"tiny": {"suite": "local", "model": "tiny", "seed": 0}}
    assert_same(suite.walk(out), expected)
    after = RunFolder(out).manifest()
    assert {key: after[key] for key in ("runs", "probes", "weights")} == {
        key: before[key] for key in ("runs", "probes", "weights")
    }
    other = tiny_suite(tmp_path, STEPS, name="other", seed=500)
    with pytest.raises(PythiaGeometryError, match="holds tiny, not other"):
        other.walk(out)


def test_another_suite_of_the_same_name_is_refused_also_by_a_manifest_that_was_made_again(
    suite: SuiteOnDisk, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    suite.walk(out)
    for file in (out / "manifest.json", out / "manifest.json.copy"):
        file.unlink()
    (tmp_path / "elsewhere").mkdir()
    other = tiny_suite(tmp_path / "elsewhere", STEPS)
    for step in STEPS:
        write_step(other.folder, step, seed=500 + step)
    with pytest.raises(PythiaGeometryError, match="Two runs are called tiny: what this run folder holds and .*other"):
        other.walk(out)


@pytest.mark.parametrize("named", ["manifest.json", "checkpoints/model.pt", "parts/2024.backup/x.txt"])
def test_a_folder_of_something_else_with_a_name_of_ours_is_refused(
    suite: SuiteOnDisk, tmp_path: Path, named: str
) -> None:
    folder = tmp_path / "project"
    for name in (named, "thesis.tex"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"name": "web app"}')
    with pytest.raises(PythiaGeometryError, match="is not empty and is no run folder"):
        suite.walk(folder)
    assert sorted(p.name for p in folder.iterdir()) == sorted([named.split("/")[0], "thesis.tex"])


# -- a local suite that was moved ---------------------------------------------------------------------------


def moved(suite: SuiteOnDisk, to: Path) -> SuiteOnDisk:
    to.mkdir()
    shutil.move(suite.folder, to)
    return replace(suite, folder=to / suite.folder.name)


@pytest.mark.parametrize("steps", ["all", "2"])
def test_a_moved_suite_is_known_by_its_weights_and_continues(
    suite: SuiteOnDisk, tmp_path: Path, steps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    suite.walk(out, steps="0")
    there = moved(suite, tmp_path / "new place")
    expected = there.walk(tmp_path / "fresh")
    there.walk(out, steps=steps)
    assert_same(there.walk(out), expected)
    assert RunFolder(out).manifest()["runs"]["tiny"]["origin"] == str(there.folder)


def test_a_moved_suite_with_other_weights_is_refused_with_both_paths(suite: SuiteOnDisk, tmp_path: Path) -> None:
    out = tmp_path / "run"
    suite.walk(out)
    before = RunFolder(out).manifest()
    there = moved(suite, tmp_path / "new")
    write_step(there.folder, 2, seed=77)
    said = f"Two runs are called tiny: {suite.folder} and {there.folder}, with other weights at step 2"
    with pytest.raises(PythiaGeometryError, match=re.escape(said)):
        there.walk(out)
    with pytest.raises(PythiaGeometryError, match="Two runs are called tiny"):
        there.walk(out, steps="2")
    assert RunFolder(out).manifest() == before
    there.walk(out, steps="0")  # of this step the weights are the same; the others are not asked for


def test_a_moved_suite_without_a_common_step_is_refused(suite: SuiteOnDisk, tmp_path: Path) -> None:
    suite.walk(tmp_path / "run", steps="0")
    there = moved(suite, tmp_path / "new")
    shutil.rmtree(there.folder / "step0")
    with pytest.raises(PythiaGeometryError, match="share no step by which they could be known as one"):
        there.walk(tmp_path / "run")


def test_second_walk_of_a_folder_is_refused_while_one_writes(suite: SuiteOnDisk, tmp_path: Path) -> None:
    suite.walk(tmp_path / "run")
    with (
        RunFolder(tmp_path / "run").writing(),
        pytest.raises(MachineError, match="Another walk is writing to .*run"),
    ):
        suite.walk(tmp_path / "run")
    assert len(suite.walk(tmp_path / "run").checkpoints) == 2


def test_manifest_of_a_plan_does_not_change_the_old_one(suite: SuiteOnDisk) -> None:
    plan = make_plan(suite.request())
    old = {
        "runs": {"tiny": {"model": "tiny", "origin": plan.runs[0].suite.origin}, "x": {"model": "x", "origin": "x"}},
        "probes": {"p": {}},
        "weights": {"w": {}},
    }
    frozen = json.dumps(old)
    new = updated_manifest(old, plan)
    assert json.dumps(old) == frozen
    assert {"p", "words/near"} < set(new["probes"])
    assert {"tiny", "x"} == set(new["runs"])

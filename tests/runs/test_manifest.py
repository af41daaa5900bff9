"""The manifest says what made the numbers; a folder is one model's; one walk writes at a time."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.runs.manifest import updated_manifest
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.store.run_folder import RunFolder
from tests.suites_on_disk import SuiteOnDisk, rows, tiny_suite, write_probes

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
    other = tiny_suite(tmp_path, STEPS, name="other")
    with pytest.raises(PythiaGeometryError, match="holds tiny, not other. Pass another --out"):
        other.walk(tmp_path / "run")
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before


def test_two_models_share_a_run_folder_when_asked_for_together(suite: SuiteOnDisk, tmp_path: Path) -> None:
    other = tiny_suite(tmp_path, STEPS, name="other")
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


@pytest.mark.parametrize("content", [b'{"runs": ', b"", b"\xff\xfe\x00", b"[]", b"null", b'"x"'])
def test_damaged_manifest_is_named(suite: SuiteOnDisk, tmp_path: Path, content: bytes) -> None:
    suite.walk(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_bytes(content)
    with pytest.raises(PythiaGeometryError, match=r"manifest\.json is damaged"):
        suite.walk(tmp_path / "run")


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

"""What the tables show after unusual but plausible sequences of commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pythia_geometry as pg
from pythia_geometry.commands.walk_session import run_session
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request
from pythia_geometry.store.records import write_record
from tests.suites_on_disk import SuiteOnDisk, rows, tiny_suite, write_probes, write_step


@pytest.fixture
def suite(tmp_path: Path) -> SuiteOnDisk:
    return tiny_suite(tmp_path)


def test_two_folders_of_one_name_never_become_one_curve(suite: SuiteOnDisk, tmp_path: Path) -> None:
    other = tiny_suite(tmp_path / "elsewhere", steps=(0, 2)).folder
    write_step(other, 2, seed=7)
    suite.walk(tmp_path / "run", steps="0,2")
    with pytest.raises(PythiaGeometryError, match="Two runs are called"):
        walk(make_plan(Request(models=(str(other),), probes=(str(suite.probes),))), tmp_path / "run")


def test_a_narrower_selection_keeps_the_comparisons_of_a_wider_one(suite: SuiteOnDisk, tmp_path: Path) -> None:
    wide = suite.walk(tmp_path / "run", steps="0,2,4")
    narrow = suite.walk(tmp_path / "run", steps="2")
    assert wide.geometry.equals(narrow.geometry)


def test_positions_are_kept_apart_in_the_summary(suite: SuiteOnDisk, tmp_path: Path) -> None:
    last = pg.summary(suite.walk(tmp_path / "run"))
    both = pg.summary(suite.walk(tmp_path / "run", position="mean"))
    assert set(both["position"]) == {"last", "mean"}
    again = both[both["position"] == "last"].reset_index(drop=True)
    assert again.equals(last.reset_index(drop=True))


def test_not_keeping_activations_deletes_none_that_were_kept(suite: SuiteOnDisk, tmp_path: Path) -> None:
    suite.walk(tmp_path / "run")
    kept = sorted((tmp_path / "run" / "activations").iterdir())
    suite.walk(tmp_path / "run", activations="none", steps="0,2")
    assert sorted((tmp_path / "run" / "activations").iterdir()) == kept


def test_a_step_that_was_broken_for_a_while_shows_its_rows_again(suite: SuiteOnDisk, tmp_path: Path) -> None:
    first = suite.walk(tmp_path / "run", steps="0,2,4")
    weights = suite.folder / "step2" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-50])
    broken = suite.walk(tmp_path / "run", steps="0,2,4")
    assert 2 not in set(broken.geometry["step"])
    weights.write_bytes(whole)
    mended = suite.walk(tmp_path / "run", steps="0,2,4")
    assert mended.geometry.equals(first.geometry)


def test_rows_name_the_probe_file_they_come_from(suite: SuiteOnDisk, tmp_path: Path) -> None:
    tables = suite.walk(tmp_path / "run", steps="0")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    hashes = {facts["sha256"][:16] for facts in manifest["probes"].values()}
    assert set(tables.geometry["probe_sha256"]) == set(tables.behaviour["probe_sha256"]) == hashes


def test_the_manifest_remembers_every_kind_of_walk(suite: SuiteOnDisk, tmp_path: Path) -> None:
    for dtype in ("float32", "bfloat16", "float32"):
        suite.walk(tmp_path / "run", steps="0", dtype=dtype)
    walks = json.loads((tmp_path / "run" / "manifest.json").read_text())["walks"]
    assert [w["settings"]["dtype"] for w in walks] == ["float32", "bfloat16"]


def test_a_run_folder_of_another_format_is_refused(suite: SuiteOnDisk, tmp_path: Path) -> None:
    suite.walk(tmp_path / "run", steps="0")
    file = tmp_path / "run" / "manifest.json"
    write_record(file, {**json.loads(file.read_text()), "format": 3})
    with pytest.raises(PythiaGeometryError, match="was written in format 3; this version reads formats 1 and 2"):
        suite.walk(tmp_path / "run", steps="0")


def test_a_probe_that_changed_since_the_last_walk_is_named_before_its_rows_are_replaced(
    suite: SuiteOnDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    run_session(suite.request(steps="0"), str(out), dry_run=False)
    assert "its rows replace" not in capsys.readouterr().out
    write_probes(suite.probes, rows("near", 5, seed=9) + rows("far", 8))
    run_session(suite.request(steps="0"), str(out), dry_run=True)
    said = " ".join(capsys.readouterr().out.split())
    assert "words/near is not the probe that this run folder was walked with" in said

"""Folders of format 1, which has no checksums, are read and continued; what cannot be read counts as not done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pythia_geometry.errors import DamagedError
from pythia_geometry.store.checking import check
from pythia_geometry.store.run_folder import RunFolder

RUN = {"suite": "s", "model": "m", "seed": 0, "step": 3}
LABEL = "m@step3"


def row(measure: str) -> dict[str, object]:
    about = {
        **RUN,
        "probe": "p",
        "task": "t",
        "layer": "embed",
        "layer_index": 0,
        "measure": measure,
        "position": "last",
    }
    return about | {"value": 1.0, "error": 0.1, "ceiling": 8.0, "n": 8, "reason": "", "work": "w"}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder as format 1 wrote it, with two parts."""
    run = RunFolder(tmp_path / "run")
    run.write_manifest({"runs": {}})
    run.add_part(LABEL, ["1"], {"geometry": [row("rankme")]})
    run.add_part(LABEL, ["2"], {"geometry": [row("twonn")]})
    for part in run._parts():
        (part / "items.json").write_text(json.dumps(json.loads((part / "items.json").read_text())["items"]))
        table = pq.read_table(part / "geometry.parquet")
        pq.write_table(table, part / "geometry.parquet")
    record = {"row": {**RUN, "status": "ok", "weight_sha256": "aa"}}
    record["current"] = {"p last": {"capture": "w", "weights": "aa"}}
    (run.path / "checkpoints").mkdir()
    (run.path / "checkpoints" / f"{LABEL}.json").write_text(json.dumps(record))
    (run.path / "manifest.json").write_text(json.dumps({"runs": {}, "format": 1}))
    for copy in run.path.rglob("*.copy"):
        copy.unlink()
    return run.path


def test_rows_and_work_are_read_and_nothing_is_called_damaged(old: Path) -> None:
    run = RunFolder(old)
    assert run.done() == {"1": [1], "2": [2]}
    assert run.tables().geometry["measure"].to_list() == ["rankme", "twonn"]
    health = check(old)
    assert health.is_whole and not health.foreign
    assert health.unverified == 4  # manifest, record and two parts


def test_new_work_is_added_with_checksums(old: Path) -> None:
    run = RunFolder(old)
    with run.writing():
        run.add_part(LABEL, ["3"], {"geometry": [row("anisotropy")]})
        run.set_checkpoint(LABEL, run.checkpoint(LABEL)["row"])
        assert len(run.write_tables().geometry) == 3
    assert not run.damage
    assert RunFolder(old).checkpoint(LABEL)["items"] == ["1", "2", "3"]
    assert check(old).is_whole


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more"])
def test_an_unreadable_table_is_a_part_that_is_not_done(old: Path, content: bytes) -> None:
    (old / "parts" / f"000002.{LABEL}" / "geometry.parquet").write_bytes(content)
    shutil.copytree(old / "parts" / f"000001.{LABEL}", old / "parts" / f"000001.{LABEL} (conflicted copy)")
    assert not check(old).is_whole
    with pytest.raises(DamagedError, match=r"geometry\.parquet cannot be read"):
        RunFolder(old).tables()
    run = RunFolder(old)
    with run.writing():
        assert run.done() == {"1": [1]}
        assert len(run.tables().geometry) == 1
    assert sorted(run.damage) == [f"parts/000001.{LABEL} (conflicted copy)", f"parts/000002.{LABEL}"]
    assert (old / "damaged" / f"000002.{LABEL}").is_dir()

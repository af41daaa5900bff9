"""Weights that are replaced while a walk is under way give no number under the old hash."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pythia_geometry.errors import CheckpointError
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.suites.local import LocalSuite
from tests.suites_on_disk import SuiteOnDisk, assert_same, tiny_suite, write_step

STEPS = (0, 3, 9)


def replaced(suite: SuiteOnDisk) -> None:
    """By a rename, as trainers and sync tools do."""
    write_step(suite.folder, 3, seed=1)


def overwritten(suite: SuiteOnDisk) -> None:
    """In place, and the time of change put back."""
    file = suite.weights(3)
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-40:] = bytes(40)
    with file.open("r+b") as stream:
        stream.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def broken(suite: SuiteOnDisk) -> None:
    suite.weights(3).write_bytes(b"half")


def gone(suite: SuiteOnDisk) -> None:
    suite.weights(3).unlink()


@pytest.mark.parametrize("change", [replaced, overwritten, broken, gone])
def test_weights_changed_after_the_plan_are_a_row_that_says_so(
    tmp_path: Path, change: Callable[[SuiteOnDisk], None]
) -> None:
    suite = tiny_suite(tmp_path, STEPS)
    plan = make_plan(suite.request())
    change(suite)
    tables = walk(plan, tmp_path / "run")
    row = tables.checkpoints.set_index("step").loc[3]
    assert row["status"] == "changed"
    assert "has changed since this walk began" in row["detail"]
    assert set(tables.geometry["step"]) == {0, 9}
    if change is not gone and change is not broken:
        assert_same(suite.walk(tmp_path / "run"), suite.walk(tmp_path / "fresh"))


def test_weights_changed_while_they_are_read_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pythia_geometry.extraction.loading.models import SuiteModel

    suite = tiny_suite(tmp_path, STEPS)
    real = SuiteModel.swap

    def swap(self: SuiteModel, weights: Path, *given: object) -> None:
        if weights.name == "step3":
            replaced(suite)
        real(self, weights, *given)

    monkeypatch.setattr(SuiteModel, "swap", swap)
    assert suite.walk(tmp_path / "run").checkpoints.set_index("step")["status"].to_dict() == {
        0: "ok",
        3: "changed",
        9: "ok",
    }


def test_weights_that_were_only_touched_or_copied_are_the_same(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, STEPS)
    plan = make_plan(suite.request())
    os.utime(suite.weights(3))
    shutil.copy(suite.weights(9), tmp_path / "copy")
    (tmp_path / "copy").replace(suite.weights(9))
    assert set(walk(plan, tmp_path / "run").checkpoints["status"]) == {"ok"}


def test_a_suite_confirms_what_it_listed(tmp_path: Path) -> None:
    disk = tiny_suite(tmp_path, STEPS)
    suite = LocalSuite(disk.folder)
    (checkpoint,) = suite.find([3])
    folder = suite.fetch(checkpoint, tmp_path / "unused")
    suite.confirm(checkpoint, folder)
    replaced(disk)
    with pytest.raises(CheckpointError, match="has changed since this walk began") as raised:
        suite.confirm(checkpoint, folder)
    assert raised.value.status == "changed"

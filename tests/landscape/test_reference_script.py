"""The script of the reference tables: pieces that any number of processes share, stopped and continued, one table a run."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from pythia_geometry.lab.batches import write_tokenizer
from tests.suites_on_disk import tiny_suite

FEW = "chains=2,burn_in=4,draws=16,batch=8"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with one measure of a cloud for all that is exact."""
    folder = Path(__file__).resolve().parents[2] / "scripts"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("landscape_reference", folder / "landscape_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "landscape_reference", module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(module.PARTS, module.EXACT, ("rankme",))
    return module


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Four steps of random weights that state a mixture."""
    suite = tiny_suite(tmp_path, (0, 1, 2, 8))
    write_tokenizer(suite.folder / "tokenizer.json")
    (suite.folder / "suite.json").write_text(json.dumps({"mixture": {"tasks": ["COPY1", "ADD1"]}}))
    return suite.folder.rename(tmp_path / "tiny-seed7")


def call(script: ModuleType, monkeypatch: pytest.MonkeyPatch, run: Path, out: Path, *words: str) -> pd.DataFrame:
    """One call of the script; the table it leaves."""
    given = ["--llc", FEW, "--llc-from", "1", "--llc-steps", "2", "--device", "cpu", *words]
    places = ["--work", str(out / "work"), "--out", str(out / "tables")]
    monkeypatch.setattr(sys, "argv", ["landscape_reference.py", str(run), *given, *places])
    script.main()
    return pd.read_parquet(out / "tables" / f"{run.name}.geometry.parquet")


@pytest.mark.slow
def test_a_stopped_list_continues_and_its_tables_are_those_of_one_call(
    script: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = call(script, monkeypatch, run, tmp_path / "whole")
    assert sorted(whole["step"].unique()) == [0, 1, 2, 8]
    assert whole.groupby("measure")["step"].unique().map(sorted).to_dict() == {
        "llc": [1, 8], "llc_task_rise": [1, 8], "rankme": [0, 1, 2, 8],
    }  # fmt: skip
    walked, made = script.walk, []

    def dying(plan: object, out: Path) -> object:
        made.append(out.name)
        if len(made) == 4:
            raise script.SliceEndedError
        return walked(plan, out)

    monkeypatch.setattr(script, "walk", dying)
    with pytest.raises(SystemExit, match="3"):
        call(script, monkeypatch, run, tmp_path / "cut")
    left = pd.read_parquet(tmp_path / "cut" / "tables" / "tiny-seed7.geometry.parquet")
    assert left["step"].nunique() == 3, "what was done is in the tables when a slice ends"
    pd.testing.assert_frame_equal(whole, call(script, monkeypatch, run, tmp_path / "cut"))
    assert made[:3] == ["exact-8", "exact-0", "exact-2"], "the ends, then the middle in log step"
    assert made[-2:] == ["chains-8", "chains-1"], "the coefficient comes last, the end of training first"


def test_a_coarser_grid_is_the_beginning_of_a_finer_one_and_one_fault_stops_nothing(
    script: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [0, *range(1, 21), 30, 55, 100, 300, 1000]
    assert all(script.halved(steps, n) == script.halved(steps, 30)[:n] for n in range(1, 27))
    (run / "step2" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(SystemExit, match="exact at step 2: .*model.safetensors"):
        call(script, monkeypatch, run, tmp_path, "--llc-steps", "1")
    found = pd.read_parquet(tmp_path / "tables" / "tiny-seed7.geometry.parquet")
    assert sorted(found["step"].unique()) == [0, 1, 8]


@pytest.mark.slow
def test_processes_share_the_pieces(
    script: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = call(script, monkeypatch, run, tmp_path / "one")
    many = tmp_path / "many"
    given = ["--llc", FEW, "--llc-from", "1", "--llc-steps", "2", "--device", "cpu", "--jobs", "2", "--steps", "2"]
    places = ["--work", str(many / "work"), "--out", str(many / "tables")]
    subprocess.run([sys.executable, script.__file__, str(run), *given, *places], check=True)
    table = pd.read_parquet(many / "tables" / "tiny-seed7.geometry.parquet")
    keys = ["step", "task", "layer", "measure"]
    both = one[one["step"].isin(table["step"])].merge(table, on=keys, suffixes=("", "_many"))
    ours = table["measure"].isin(one["measure"])
    assert len(both) == ours.sum() > 0
    pd.testing.assert_series_equal(both["value"], both["value_many"], check_names=False)

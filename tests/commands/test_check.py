"""`pythia-geom check`: what is whole, what is not, and what the next walk does about it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from pythia_geometry.cli import app
from pythia_geometry.store.results import Result, keep_result
from tests.suites_on_disk import SuiteOnDisk, tiny_suite


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SuiteOnDisk:
    return tiny_suite(tmp_path_factory.mktemp("suite"), (0, 3))


def checked(out: Path, *more: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["check", str(out), *more])
    return result.exit_code, result.output


def test_whole_damaged_and_mended(suite: SuiteOnDisk, tmp_path: Path) -> None:
    out = tmp_path / "run"
    suite.walk(out)
    code, said = checked(out)
    assert code == 0
    assert f"{out}: 2 manifest, 4 checkpoints, 4 parts, 2 activations, 4 tables whole" in said
    assert said.endswith("Everything is whole.\n")

    part = sorted((out / "parts").iterdir())[0]
    (part / "answers.parquet").unlink()
    (out / "activations" / "tiny@step0.last.float32.parquet").write_bytes(b"")
    (out / "checkpoints" / "tiny@step3 (conflicted copy).json").write_text("{}")
    (out / "notes.txt").write_text("mine")
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    code, said = checked(out)
    assert code == 3
    lines = said.splitlines()
    assert f"damaged  parts/{part.name}: answers.parquet is gone" in lines
    assert "damaged  activations/tiny@step0.last.float32.parquet: tiny@step0.last.float32.parquet is empty" in lines
    assert "foreign  notes.txt: no walk has written it; it is left alone" in lines
    label = part.name.split(".")[1]
    assert any(line.startswith(f"again    {label}: what a damaged part of it held") for line in lines)
    assert any("tiny@step0: a walk that reads its activations" in line for line in lines)
    assert before == {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}

    suite.walk(out)
    code, said = checked(out, "--json")
    found = json.loads(said)
    assert code == 0 and found["is_whole"]
    assert found["set_aside"] == [f"damaged/{part.name}"]
    assert "notes.txt" in found["foreign"] and (out / "notes.txt").exists()


@pytest.mark.parametrize("ending", [".parquet", ".json"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "flipped"])
def test_a_damaged_result_is_named_with_its_command(
    suite: SuiteOnDisk, tmp_path: Path, ending: str, damage: str
) -> None:
    suite.walk(tmp_path / "run")
    table = keep_result(tmp_path / "run", Result("claims", pd.DataFrame({"claim": ["C1", "C2"]}), {"draws": 100}))
    code, said = checked(tmp_path / "run")
    assert code == 0 and "2 results" in said and "foreign" not in said
    file = table.with_suffix(ending)
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    else:
        content[len(content) // 3] ^= 4
        file.write_bytes({"empty": b"", "cut": content[:20], "flipped": content}[damage])
    code, said = checked(tmp_path / "run")
    assert code == 3 and "damaged  results/claims." in said and "by its own command, pythia-geom compare" in said
    assert said.endswith("Type what made them again.\n")


@pytest.mark.parametrize("name", ["geometry", "behaviour", "answers", "checkpoints"])
def test_a_table_that_is_gone_is_named_and_of_a_stopped_walk_none_is_expected(
    suite: SuiteOnDisk, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "run"
    suite.walk(out)
    (out / f"{name}.parquet").unlink()
    code, said = checked(out)
    assert code == 3 and f"damaged  {name}.parquet: {name}.parquet is gone" in said
    for file in out.glob("*.parquet"):
        file.unlink()
    assert checked(out)[0] == 0


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    for path in (tmp_path, tmp_path / "nowhere"):
        result = CliRunner().invoke(app, ["check", str(path)])
        assert result.exit_code != 0
        assert "no run folder" in str(result.exception)

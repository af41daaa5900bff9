"""The same as the command, from Python."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pandas as pd
import pytest

import pythia_geometry as pg
from pythia_geometry.extraction.probes.probes import Probe
from pythia_geometry.runs.request import Request
from pythia_geometry.store.tables import ANSWERS, BEHAVIOUR, CHECKPOINTS, GEOMETRY, Tables
from tests.suites_on_disk import SuiteOnDisk, assert_same, tiny_suite

STEPS = (0, 1, 2, 3, 4, 8)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> SuiteOnDisk:
    return tiny_suite(tmp_path_factory.mktemp("suite"), STEPS)


@pytest.fixture(scope="module")
def tables(suite: SuiteOnDisk, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    out = tmp_path_factory.mktemp("run") / "run"
    return pg.measure(pg.local(suite.folder), pg.probes(str(suite.probes)), out=out)


def code_of(text: str) -> str:
    """The indented lines of a docstring."""
    return dedent("\n".join(line for line in text.splitlines() if line.startswith("    ")))


def test_the_lines_of_the_package_docstring_run_on_a_local_suite(suite: SuiteOnDisk, tmp_path: Path) -> None:
    code = code_of(pg.__doc__ or "")
    for shown, here in {
        'pg.pythia("160m")': f"pg.local({str(suite.folder)!r})",
        'pg.probes("core")': f"pg.probes({str(suite.probes)!r})",
        '"runs/pythia-160m"': repr(str(tmp_path / "run")),
    }.items():
        assert shown in code
        code = code.replace(shown, here)
    assert len([line for line in code.splitlines() if line.strip()]) == 5
    names: dict[str, Any] = {}
    exec(code, names)
    result = names["result"]
    assert set(result.geometry["step"]) == {0, 1, 2, 4, 8}  # log
    assert len(result.behaviour) == 5 * 2 * 4


def test_tables_have_the_columns_and_types_of_the_schema(tables: Tables) -> None:
    for name, schema in {
        "geometry": GEOMETRY,
        "behaviour": BEHAVIOUR,
        "answers": ANSWERS,
        "checkpoints": CHECKPOINTS,
    }.items():
        frame = getattr(tables, name)
        assert isinstance(frame, pd.DataFrame)
        assert {column: str(kind) for column, kind in frame.dtypes.items()} == schema
        assert len(frame)


def test_same_numbers_as_the_command(suite: SuiteOnDisk, tables: Tables, tmp_path: Path) -> None:
    assert_same(suite.walk(tmp_path / "run"), tables)


def test_parquet_files_hold_the_same_and_read_finds_them(suite: SuiteOnDisk, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = pg.measure(pg.local(suite.folder), pg.probes(str(suite.probes)), "0,1", out)
    assert_same(pg.read(out), result)
    assert_same(pg.read(str(out)), result)


def test_request_is_heard(suite: SuiteOnDisk, tmp_path: Path) -> None:
    request = Request(position="mean", measures=("rankme",))
    result = pg.measure(pg.local(suite.folder), pg.probes(str(suite.probes)), "0", tmp_path / "run", request)
    assert set(result.geometry["position"]) == {"mean"}
    assert set(result.geometry["measure"]) == {"rankme"}


@pytest.mark.parametrize(
    "ignored", [{"steps": "0,1"}, {"models": ("a",)}, {"seeds": (1,)}, {"stage": "x"}, {"pattern": r"s(?P<step>\d+)"}]
)
def test_what_a_request_cannot_say_here_is_refused(suite: SuiteOnDisk, tmp_path: Path, ignored: dict[str, Any]) -> None:
    with pytest.raises(
        pg.PythiaGeometryError, match=rf"does not read '{next(iter(ignored))}' of a request: give it to"
    ):
        pg.measure(pg.local(suite.folder), pg.probes(str(suite.probes)), out=tmp_path, request=Request(**ignored))
    assert not list(tmp_path.iterdir())


def test_run_folder_without_out_is_named_after_the_model(
    suite: SuiteOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pg.measure(pg.local(suite.folder), pg.probes(str(suite.probes)), "0")
    assert (tmp_path / "runs" / "tiny" / "geometry.parquet").exists()


def test_summary_has_a_row_for_each_task(tables: Tables) -> None:
    summary = pg.summary(tables)
    assert list(summary["task"]) == ["far", "near"]
    assert summary["start"].notna().all()


def test_read_refuses_what_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(pg.PythiaGeometryError, match="is no run folder: it has no manifest.json"):
        pg.read(tmp_path / "nothing")
    (tmp_path / "x").write_text("")
    with pytest.raises(pg.PythiaGeometryError, match="is no run folder"):
        pg.read(tmp_path)


def test_offline_suite_has_its_own_probes() -> None:
    suite = pg.offline()
    assert suite.model == "offline"
    assert suite.default_probes == ("algorithmic",)


def test_pythia_names_a_run_without_asking_the_network() -> None:
    assert pg.pythia("160m").model == "pythia-160m"
    assert (pg.pythia("160m", seed=3).model, pg.pythia("160m", seed=3).seed) == ("pythia-160m", 3)
    with pytest.raises(pg.PythiaGeometryError, match="'gpt2' is no Pythia model. Sizes: 14m"):
        pg.pythia("gpt2")
    with pytest.raises(pg.PythiaGeometryError, match="does not exist"):
        pg.pythia("160m", seed=10)


def test_probes_by_name() -> None:
    (probe,) = pg.probes("algorithmic/MOD1")
    assert isinstance(probe, Probe)
    assert (probe.name, len(probe.items)) == ("algorithmic/MOD1", 128)
    with pytest.raises(pg.PythiaGeometryError, match="No probes are selected"):
        pg.probes()


def test_unknown_name_of_the_package_lists_those_it_has() -> None:
    with pytest.raises(
        AttributeError,
        match="no attribute 'walk'; it has PythiaGeometryError, Request, calibrate, compare, doctor, hub",
    ):
        _ = pg.walk


def test_every_public_name_loads() -> None:
    assert dir(pg) == sorted(pg.__all__)
    for name in pg.__all__:
        assert callable(getattr(pg, name))


@pytest.mark.parametrize("steps", [[0, 8], (8, 0), 8, "0,8", range(0, 9, 8)])
def test_steps_are_a_selection_a_step_or_several(suite: SuiteOnDisk, tmp_path: Path, steps: Any) -> None:
    found = pg.measure(str(suite.folder), str(suite.probes), steps=steps, out=tmp_path / "run", progress=False)
    assert set(found.geometry["step"]) == ({8} if steps == 8 else {0, 8})


@pytest.mark.parametrize("as_given", [lambda f: f, str, lambda f: [str(f)], lambda f: pg.probes(str(f))])
def test_a_suite_and_probes_may_be_named(suite: SuiteOnDisk, tables: Tables, tmp_path: Path, as_given: Any) -> None:
    assert_same(pg.measure(suite.folder, as_given(suite.probes), out=tmp_path / "run", progress=False), tables)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"suite": 3}, "needs a suite, a name or a folder"),
        ({"probes": [3]}, "needs probes or their names"),
        ({"steps": 1.5}, "steps must be"),
        ({"steps": []}, "steps must be"),
        ({"steps": [0.5]}, "steps must be"),
    ],
)
def test_a_wrong_argument_is_one_message(suite: SuiteOnDisk, tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(pg.PythiaGeometryError, match=said):
        pg.measure(**{"suite": suite.folder, "out": tmp_path / "run"} | wrong)


def test_a_walk_says_where_it_is_and_keeps_quiet_when_asked(
    suite: SuiteOnDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pg.measure(suite.folder, str(suite.probes), 8, tmp_path / "run")
    said = capsys.readouterr()
    assert "1/1 tiny@step8" in said.err
    assert said.out == ""
    pg.measure(suite.folder, str(suite.probes), [0, 8], tmp_path / "run", progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_result_says_what_it_holds(tables: Tables) -> None:
    assert "geometry" in repr(tables)
    assert f"{len(tables.answers):,} rows" in repr(tables)
    page = tables._repr_html_()
    assert "<b>behaviour</b>" in page
    assert page.count("<table") == 4

"""The commands power, precursors and calibrate: what they print, and what a user may mistype."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import pythia_geometry as pg
from pythia_geometry import cli
from pythia_geometry.analysis.calibration import operating, words
from pythia_geometry.analysis.calibration import rates as calibration
from pythia_geometry.analysis.calibration.rates import calibrate
from pythia_geometry.analysis.worlds.designs import GRID_27, Design
from pythia_geometry.analysis.worlds.made_up import WORLDS
from pythia_geometry.analysis.worlds.real_curves import REAL
from pythia_geometry.analysis.worlds.studies import STUDIES
from pythia_geometry.screens.calibration import show_calibration
from pythia_geometry.store.results import read_result
from pythia_geometry.store.run_folder import RunFolder
from tests.analysis.made_up import behaviour_table, make, tables

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pythia-geom", *words])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    geometry, behaviour = tables("LEAD 0.5")
    geometry.to_csv(tmp_path / "g.csv", index=False)
    behaviour.to_parquet(tmp_path / "b.parquet")
    return [str(tmp_path / "g.csv"), str(tmp_path / "b.parquet")]


def test_power_reads_behaviour_only(command: Command, files: list[str]) -> None:
    code, out, _ = command("power", files[1], "--draws", "4")
    assert code == 0
    for expected in ("p/t7", "emerged", "lead over both metrics", "0.5", "No geometry was read"):
        assert expected in out


@pytest.mark.parametrize("name", ["power", "precursors"])
def test_screen_json_and_kept_table_are_the_same_rows(command: Command, files: list[str], name: str) -> None:
    code, out, _ = command(name, *files, "--draws", "4", "--json", "--out", "mine")
    found = json.loads(out)
    assert code == 0 and found["settings"]["draws"] == 4 and set(found["inputs"]) == set(files)
    assert all(len(sha) == 64 for sha in found["inputs"].values())
    for table, rows in found["tables"].items():
        kept = read_result("mine", table)
        assert kept.rows() == rows and kept.settings == found["settings"]
    assert command(name, *files, "--draws", "4")[0] == 0
    again = read_result(f"runs/{name}", name).frame
    pd.testing.assert_frame_equal(again, read_result("mine", name).frame)
    pd.testing.assert_frame_equal(again, getattr(pg, name)(*files, draws=4))


def test_power_of_few_tasks_says_untestable(command: Command, tmp_path: Path) -> None:
    behaviour_table(make("SYNC", tasks=3)).to_csv(tmp_path / "b.csv", index=False)
    code, out, _ = command("power", "b.csv")
    assert code == 0
    assert "untestable with these tasks: 3 tasks emerged in every run; the test needs 5" in out
    assert "lead over both metrics" not in out


def test_verdict_with_rates_controls_and_placebos(command: Command, files: list[str]) -> None:
    code, out, _ = command("precursors", *files, "--draws", "4")
    assert code == 0
    for expected in (
        "m, rankme_centred: ",
        "controls",
        "placebo: one global",
        "resid_4",
    ):
        assert expected in out
    assert "Precedence is not a cause" in out


def test_calibration_of_ones_own_run(command: Command, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "CHUNK", 1)
    monkeypatch.setattr(words, "CHUNK", 1)
    monkeypatch.setattr(words, "calibrate_words", partial(words.calibrate_words, worlds=[STUDIES["SYNC"]], runs=(1,)))
    monkeypatch.setattr(words, "calibrate_real", partial(words.calibrate_real, worlds=REAL[:1], runs=(1, 3)))
    monkeypatch.setattr(operating, "RULES", {})
    assert command("calibrate", files[1], "--draws", "1", "--out", "kept")[0] == 0
    kept = Path("kept/calibration.jsonl").read_text()
    code, out, _ = command("calibrate", files[1], "--draws", "1", "--out", "kept")
    assert code == 0
    assert Path("kept/calibration.jsonl").read_text() == kept
    assert "m steps, primary test" in out
    assert "MIRAGE" in out
    assert "real curves: per cent of studies, 1 / 3 runs" in out and "geometry moves with each task's real curve" in out
    assert "neither both legs nor the word pass 5 % by two standard errors" in " ".join(out.split())


def test_calibration_is_shown_with_its_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "CHUNK", 4)
    monkeypatch.setattr(words, "CHUNK", 4)
    screen = StringIO()
    found = calibrate({"27": Design(GRID_27, 5)}, [WORLDS["SYNC"]], draws=4)
    said = words.calibrate_words({"27": Design(GRID_27, 5)}, [STUDIES["LATE"]], (1,), draws=4)
    nothing = pd.DataFrame(columns=["rule", "truth", "what", "runs", "word", "rate"])
    tables = {"calibrate": found, "calibrate-words": said, "calibrate-rules": nothing}
    show_calibration(tables, Console(width=250, file=screen))
    assert STUDIES["LATE"].forbids in screen.getvalue()  # what theory forbids is printed beside the world
    assert "27 steps, usual tests" in screen.getvalue()
    assert " ± " in screen.getvalue()
    assert "4 made-up runs a world" in screen.getvalue()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["power", "nothing.csv"], "There is no nothing.csv"),
        (["power", "g.csv"], "behaviour table: missing columns 'model'"),
        (["power", "b.parquet", "--continuous", "loss"], "no 'loss' in column 'metric'. It holds accuracy, log_prob"),
        (["precursors", "b.parquet", "--draws", "1"], "geometry table: missing columns 'model'"),
        (["precursors", "g.csv", "b.parquet", "--draws", "1", "--measure", "x"], "no 'x' in column 'measure'"),
        (["calibrate", "."], "is no run folder: it has no manifest.json"),
        (["power"], "Missing argument"),
        (["power", "b.parquet", "--draws", "0"], "Invalid value for '--draws'"),
        (["power", "b.parquet", "--seed", "-1"], "Invalid value for '--seed'"),
    ],
)
@pytest.mark.usefixtures("files")
def test_what_is_mistyped_is_said(command: Command, words: list[str], said: str) -> None:
    code, _, err = command(*words)
    assert code == 2
    assert said in " ".join(err.split())


def test_a_missing_column_of_a_users_table_is_named(command: Command, tmp_path: Path) -> None:
    table = pd.DataFrame({"metric": ["accuracy"], "step": [1], "value": [np.nan]})
    table.to_csv(tmp_path / "mine.csv", index=False)
    code, _, err = command("power", "mine.csv")
    assert code == 2
    assert "behaviour table: missing columns 'model', 'seed', 'task', 'chance'" in err


def test_a_run_folder_is_read(command: Command, tmp_path: Path) -> None:
    geometry, behaviour = tables("LEAD 0.5", tasks=3)
    folder = RunFolder(tmp_path / "run")
    folder.write_manifest({})
    rows = {"geometry": geometry.assign(n=128), "behaviour": behaviour}
    folder.add_part("m@step1", ["w"], {name: frame.assign(work="w").to_dict("records") for name, frame in rows.items()})
    row = {"model": "m", "seed": 0, "step": 1, "status": "ok", "weight_sha256": "s"}
    folder.set_checkpoint("m@step1", row, {"p": {"capture": "w", "weights": "s"}})
    code, out, _ = command("precursors", "run")
    assert code == 0
    assert "p/t2" in out
    assert "3 tasks emerged in every run" in out
    assert read_result("run", "precursors").frame["verdict"].tolist() == ["untestable"]
    (tmp_path / "run" / "manifest.json").write_text("{")
    assert command("precursors", "run")[0] == 0  # the manifest's copy is whole

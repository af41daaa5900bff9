"""What a walk leaves for a reader."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pythia_geometry.report.outcome import write_outcome
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import Tables
from tests.report.tables import make_tables


def test_summary_and_two_pictures_in_two_formats_are_written(tmp_path: Path) -> None:
    summary, pictures = write_outcome(RunFolder(tmp_path), make_tables())
    names = {f"m-{chart}.{ending}" for chart in ("layers", "curves") for ending in ("png", "svg")}
    assert {path.name for path in pictures} == {p.name for p in (tmp_path / "figures").iterdir()} == names
    written = pd.read_csv(tmp_path / "summary.csv")
    assert list(written.columns) == list(summary.columns)
    assert written["task"].to_list() == ["alpha", "beta", "gamma"]
    assert written["floor_step"].to_list() == summary["floor_step"].to_list()


def test_every_seed_has_its_own_pictures(tmp_path: Path) -> None:
    summary, pictures = write_outcome(RunFolder(tmp_path), make_tables(seeds=(0, 2)))
    assert len(summary) == 6
    assert {p.name for p in pictures if p.suffix == ".png"} == {
        *("m-layers.png", "m-curves.png", "m-seed2-layers.png", "m-seed2-curves.png")
    }


def test_empty_tables_leave_an_empty_summary_and_no_pictures(tmp_path: Path) -> None:
    empty = Tables(*(frame.iloc[:0] for frame in vars(make_tables()).values()))
    summary, pictures = write_outcome(RunFolder(tmp_path), empty)
    assert summary.empty
    assert pictures == []
    assert (tmp_path / "summary.csv").read_text().startswith("model,seed,probe,task,position,start")


def test_geometry_without_behaviour_has_pictures(tmp_path: Path) -> None:
    tables = make_tables()
    _, pictures = write_outcome(
        RunFolder(tmp_path), Tables(tables.geometry, tables.behaviour.iloc[:0], tables.checkpoints, tables.answers)
    )
    assert len(pictures) == 4


def test_writing_again_replaces(tmp_path: Path) -> None:
    write_outcome(RunFolder(tmp_path), make_tables())
    first = (tmp_path / "figures" / "m-layers.svg").read_bytes()
    write_outcome(RunFolder(tmp_path), make_tables(tasks=("delta",)))
    assert (tmp_path / "figures" / "m-layers.svg").read_bytes() != first
    assert len(list((tmp_path / "figures").iterdir())) == 4

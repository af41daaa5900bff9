"""`llc-calibrate` and `--llc`: what is typed decides the chains, a picture and a proposal come out, refusals are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from pythia_geometry.cli import app
from pythia_geometry.commands.llc_trials import Trials, run_trials
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.measures import LLC_SETTINGS
from pythia_geometry.runs.llc_option import as_text, read_llc
from pythia_geometry.runs.request import Request
from tests.runs.test_surface_walk import text_beside
from tests.suites_on_disk import tiny_suite

QUICK = "chains=2,burn_in=4,batch=16"


def test_trials_give_a_table_a_picture_and_a_proposal(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0, 4))
    out = tmp_path / "out"
    trials = Trials(str(suite.folder), "4", (1e-4,), (10.0, 100.0), (16, 24), QUICK, text=text_beside(suite))
    assert run_trials(trials, str(out)) is False, "random weights are not at a minimum"
    (kept,) = out.glob("results/*.json")
    record = json.loads(kept.read_text())
    assert "No setting is sound" in json.dumps(record) and "not at a minimum" in json.dumps(record)
    assert (out / "llc-calibration.png").stat().st_size > 1000 and (out / "llc-calibration.svg").exists()


def test_what_is_refused_is_said_in_one_line_before_anything_is_computed(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0, 4))
    model = str(suite.folder)
    for more, words in (
        (["--steps", "much"], "expected numbers joined by commas"),
        (["--draws", "2", "--text", text_beside(suite)], "at least 16 draws"),
        (["--steps=-1", "--text", text_beside(suite)], "step and n_beta above 0"),
        (["--at", "0,4", "--text", text_beside(suite)], "must name one step"),
        ([], "pass --text FILE"),
        (["--llc", "warmth=1"], "expected key=value with one of: step"),
    ):
        found = CliRunner().invoke(app, ["llc-calibrate", model, *more, "--out", str(tmp_path / "out")])
        assert isinstance(found.exception, PythiaGeometryError) and words in str(found.exception), more


def test_settings_are_read_and_said_again() -> None:
    settings = read_llc("localisation=50, chains=4,preconditioned=true,only=gpt_neox.layers.0")
    assert (settings["localisation"], settings["chains"], settings["preconditioned"]) == (50.0, 4, True)
    assert read_llc(as_text(settings)) == settings and as_text(LLC_SETTINGS) == ""
    (measure,) = Request(measures=("llc",), llc="localisation=50").chosen
    assert json.loads(measure.settings_text)["localisation_over_n_beta"] == 50 / 300


@pytest.mark.parametrize("text", ["chains=two", "preconditioned=maybe", "draws=3", "step=0", "chains"])
def test_settings_that_no_chain_can_run_with_are_refused(text: str) -> None:
    with pytest.raises(PythiaGeometryError):
        Request(llc=text)


def test_a_block_alone_can_be_sampled_and_a_wrong_name_is_a_reason(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0,))
    given = {"measures": ("rankme", "llc"), "text": text_beside(suite)}
    tables = [
        suite.walk(tmp_path / "run", llc=f"{QUICK},draws=16,only={name}", **given).geometry
        for name in ("gpt_neox.layers.0+gpt_neox.final_layer_norm", "no_such_part")
    ]
    block, wrong = (pd.DataFrame(t[t["measure"] == "llc"]).iloc[-1] for t in tables)
    whole = sum(1 for _ in tables)
    assert whole == 2 and block["ceiling"] < 3300 and "no parameter's name begins so" in wrong["reason"]

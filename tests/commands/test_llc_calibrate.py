"""`llc-calibrate` and `--llc`: what is typed decides the chains, a picture and a proposal come out, refusals are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pythia_geometry.cli import app
from pythia_geometry.commands.llc_trials import Trials, run_trials
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.measures import LLC_SETTINGS
from pythia_geometry.runs.llc_option import as_text, read_llc
from pythia_geometry.runs.plan import make_plan
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
    assert "text text.txt: 6 examples" in json.dumps(record), "of which loss the surface is"
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
        (["--steps", "nan", "--text", text_beside(suite)], "all of them finite"),
        (["--localisations", "inf", "--text", text_beside(suite)], "all of them finite"),
        (["--draws", "inf", "--text", text_beside(suite)], "expected whole numbers"),
        (["--draws", "nan", "--text", text_beside(suite)], "expected whole numbers"),
        (["--draws", "16.5", "--text", text_beside(suite)], "expected whole numbers"),
        (["--draws", "1e20", "--text", text_beside(suite)], "100,000,000 at most"),
        (["--draws", "", "--text", text_beside(suite)], "expected numbers joined by commas"),
        (["--at", "soon", "--text", text_beside(suite)], "--at does not understand 'soon'"),
        (["--llc", "only=head:9.9", "--text", text_beside(suite)], "the model has blocks 1 to 2"),
    ):
        found = CliRunner().invoke(app, ["llc-calibrate", model, *more, "--out", str(tmp_path / "out")])
        assert isinstance(found.exception, PythiaGeometryError) and words in str(found.exception), more


def test_settings_are_read_and_said_again() -> None:
    settings = read_llc("localisation=50, chains=4,preconditioned=true,only=gpt_neox.layers.0")
    assert (settings["localisation"], settings["chains"], settings["preconditioned"]) == (50.0, 4, True)
    assert read_llc(as_text(settings)) == settings and as_text(LLC_SETTINGS) == ""
    (measure,) = Request(measures=("llc",), llc="localisation=50").chosen
    assert json.loads(measure.settings_text)["localisation_over_n_beta"] == 50 / 300


REFUSED = [
    *("chains=two", "preconditioned=maybe", "draws=3", "step=0", "chains", "step=1e-5,step=1e-6"),
    *(f"{key}={value}" for key in ("step", "n_beta", "localisation") for value in ("nan", "inf", "-1")),
    *(f"{key}=-1" for key in ("seed", "burn_in", "draws", "chains", "batch")),
    *("draws=0", "chains=99999999999", "preconditioned=true,burn_in=0"),
]


@pytest.mark.parametrize("text", REFUSED)
def test_settings_that_no_chain_can_run_with_are_refused(text: str) -> None:
    with pytest.raises(PythiaGeometryError):
        Request(llc=text)


def test_a_block_alone_can_be_sampled(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0,))
    only = "gpt_neox.layers.0+gpt_neox.final_layer_norm"
    given = {"measures": ("rankme", "llc"), "text": text_beside(suite), "llc": f"{QUICK},draws=16,only={only}"}
    found = suite.walk(tmp_path / "run", **given).geometry
    assert found.loc[found["measure"] == "llc", "ceiling"].iloc[0] < 3300


@pytest.mark.parametrize("only", ["no_such_part", "gpt_neox.layers.0+no_such_part", "+", "head:9.9", "head:0.0"])
def test_a_part_that_is_not_there_is_refused_before_the_walk(tmp_path: Path, only: str) -> None:
    suite = tiny_suite(tmp_path, (0,))
    with pytest.raises(PythiaGeometryError, match="--llc only="):
        make_plan(suite.request(measures=("llc",), text=text_beside(suite), llc=f"only={only}"))

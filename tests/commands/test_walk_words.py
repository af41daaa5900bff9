"""What a walk says of dear measures: their cost before, from one measured step, and after it what may be believed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from pythia_geometry.cli import app
from pythia_geometry.measures import MEASURES
from pythia_geometry.runs.dear_cost import dear_seconds, dear_words
from pythia_geometry.runs.plan import make_plan
from tests.runs.test_surface_walk import text_beside
from tests.suites_on_disk import tiny_suite


def test_the_plan_says_the_cost_and_the_end_says_what_may_be_believed(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0, 4))
    words = ["--measures", "rankme,cka_previous,noise_scale,gradient_cosine", "--text", text_beside(suite)]
    said = CliRunner().invoke(app, suite.arguments(tmp_path / "run", *words)).output
    line = next(line for line in said.splitlines() if "will take about" in line)
    assert line.startswith("tiny: gradient_cosine, noise_scale will take about") and "at 2 checkpoints" in line
    assert "from one measured step of 32 examples" in line
    assert "Which numbers may be believed" in said and "there is no previous step" in said
    kept = pd.read_csv(tmp_path / "run" / "belief.csv").set_index("measure")
    assert kept.loc["cka_previous", "believed"] == 8 and kept.loc["cka_previous", "rows so"] == 8
    assert kept.loc["rankme", "why not"] != kept.loc["rankme", "why not"], "nothing speaks against it"


def test_shared_work_is_counted_once_and_chains_by_their_steps(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0, 4))
    (run,) = make_plan(suite.request(measures=("llc",), text=text_beside(suite))).runs
    both = [MEASURES["noise_scale"], MEASURES["fisher_rank"]]
    assert dear_seconds(run, both, 2.0) == dear_seconds(run, both[:1], 2.0) == 2.0 * 2 * 6 / 32
    llc = MEASURES["llc"]
    assert dear_seconds(run, [llc, MEASURES["llc_task_rise"]], 1.0) == 2 * 6480 * 8 / 32 + 45 * 6 / 32


def test_nothing_is_said_where_nothing_dear_will_be_taken(tmp_path: Path) -> None:
    suite = tiny_suite(tmp_path, (0, 4))
    for changes in ({"measures": ("rankme",)}, {"measures": ("noise_scale",)}):
        request = suite.request(**changes)
        (run,) = make_plan(request).runs
        assert dear_words(run, request, run.usable, 1e9) == ""

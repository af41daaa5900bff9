"""The page as text: whole, offline, and every hostile name still text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pythia_geometry.report.page.inputs import Source
from pythia_geometry.report.page.page import page
from pythia_geometry.store.results import Result
from tests.report.tables import make_tables

HOSTILE = "</script><img src=x onerror=\"alert(1)\"> & 'quoted' =1+1"


def held(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def source(folder: Path, *tasks: str, results: dict[str, Result] | None = None) -> Source:
    return Source(folder, "", make_tables(tasks), results or {})


def test_page_needs_no_network_and_names_hold_no_markup(tmp_path: Path) -> None:
    verdict = pd.DataFrame([{"model": HOSTILE, "measure": "rankme", "verdict": "no", "reasons": HOSTILE}])
    html = page([source(tmp_path, HOSTILE, "beta", results={"precursors": Result("precursors", verdict)})])
    ours = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)  # Vega's code names such tags
    for mark in ("<img", "<link", 'src="', "url("):
        assert mark not in ours
    assert ours.count("</script>") == 1  # the data's own
    assert any(HOSTILE in task for task in held(html)["packed"]["names"]["task"])


def test_missing_results_say_what_makes_them(tmp_path: Path) -> None:
    html = page([source(tmp_path, "alpha")])
    for name in ("compare", "precursors", "power", "calibrate", "doctor"):
        assert f"pythia-geom {name} " in html


def test_kept_result_is_shown_as_it_is(tmp_path: Path) -> None:
    claims = pd.DataFrame(
        [{"id": "C1", "claim": "it falls", "evidence": "lab", "verdict": "replicates", "value": "0.5"}]
    )
    html = page([source(tmp_path, "alpha", results={"claims": Result("claims", claims)})])
    assert "Of the published claims, lab says: 1 replicates." in html
    assert "pythia-geom compare" in html  # what to type next


def test_steps_that_are_not_ok_and_values_that_are_missing_are_said(tmp_path: Path) -> None:
    tables = make_tables(("alpha",))
    tables.geometry.loc[:4, "value"] = float("nan")
    bad = {"suite": "s", "model": "m", "seed": 0, "step": 8, "status": "wrong", "detail": "serves step 4 <b>"}
    checkpoints = pd.DataFrame([bad]).reindex(columns=tables.checkpoints.columns).astype(tables.checkpoints.dtypes)
    html = page([Source(tmp_path, "", replace(tables, checkpoints=checkpoints))])
    assert "serves step 4 &lt;b&gt;" in html
    assert "5 could not be computed" in html


def test_two_runs_stand_side_by_side(tmp_path: Path) -> None:
    one, two = (Source(tmp_path / name, f"{name}: ", make_tables(("alpha",))) for name in ("one", "two"))
    assert held(page([one, two]))["packed"]["names"]["run"] == ["one: m", "two: m"]

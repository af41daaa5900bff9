"""The page in a real browser with the network off: drawn, chosen in, read by keys, downloaded from."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.report.page.inputs import Source
from pythia_geometry.report.page.page import page
from pythia_geometry.store.results import Result
from pythia_geometry.store.tables import Tables
from tests.report.browser import opened, ready
from tests.report.tables import make_tables

HOSTILE = "=1+1</script><b>'\"&"


MODEL = "m<img src=x onerror=alert(1)>"
AXE = Path(__file__).parent / "axe-core-4.14.1.min.js.gz"
"""axe-core of Deque Systems, MPL 2.0, from npm: only these tests use it."""


def hostile_tables() -> Tables:
    """Names that are markup, a formula or quotes; a number that is missing, one that warns, and one that is there twice."""
    tables = make_tables((HOSTILE, "beta", "gamma"), seeds=(0, 1))
    for frame in (tables.geometry, tables.behaviour):
        frame["model"], frame["suite"] = MODEL, HOSTILE
    tables.geometry.loc[2, ["value", "error", "reason"]] = [np.nan, np.nan, "<i>no number</i>"]
    tables.geometry.loc[10, "reason"] = "=HYPERLINK()"
    return replace(tables, geometry=pd.concat([tables.geometry, tables.geometry.tail(1)], ignore_index=True))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("page")
    file = folder / "report.html"
    names = ("model", "measure", "metric", "verdict", "reasons", "says")
    leg = dict.fromkeys(names, HOSTILE) | {"lag": 0.3, "lower": 0.1, "upper": 0.5, "p_specific": 0.01}
    claim = dict.fromkeys(("id", "claim", "source", "says", "note", "evidence", "verdict", "value", "decides"), HOSTILE)
    rate = {"model": MODEL, "measure": HOSTILE, "rule": HOSTILE, "own": 0.5, "controls": 0.4, "one global curve": 1.0}
    frames = {
        "precursors": leg, "precursors-legs": leg, "precursors-rates": rate, "claims": claim,
        "claims-rows": {"claim": HOSTILE, "evidence": HOSTILE, "task": HOSTILE},
        "doctor": {"run": MODEL, "step": 4, "verdict": HOSTILE},
    }  # fmt: skip
    results = {name: Result(name, pd.DataFrame([row])) for name, row in frames.items()}
    source = Source(Path("run"), "", hostile_tables(), results, ("<u>power is damaged</u>",))
    file.write_text(page([source]), "utf-8")
    with opened(file, folder / "profile", "--window-size=1400,1000") as shown:
        ready(shown)
        yield shown


def test_every_figure_is_drawn_without_an_error(browser: Any) -> None:
    drawn = browser.execute_script("return page.figures.map(f => [f.id, !!f.view, f.shown.length])")
    assert len(drawn) >= 5
    assert all(has_view and n for _, has_view, n in drawn), drawn
    assert [entry["message"] for entry in browser.get_log("browser")] == []  # no warning either


def test_choosers_change_what_is_shown(browser: Any) -> None:
    shown = browser.execute_async_script("""
        const done = arguments[0], f = page.figures.find(f => f.id === "maps");
        const select = f.home.parentElement.querySelector("select[name=task]");
        select.value = "p/beta";
        select.dispatchEvent(new Event("change"));
        f.drawn.then(() => done([...new Set(f.shown.map(r => r.task))]));""")
    assert shown == ["p/beta"]


def test_arrow_keys_read_values_and_mark_the_step_in_every_line_chart(browser: Any) -> None:
    said, marked = browser.execute_async_script("""
        const done = arguments[0], f = page.figures.find(f => f.id === "collapse");
        for (let i = 0; i < 3; i++) f.home.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
        f.pointed.then(() => done([f.read.textContent, page.figures.filter(f => f.kind === "lines").map(f => f.view.data("cursor")[0].step)]));""")
    assert said.startswith("step 2: ")
    assert set(marked) == {2}


def test_csv_holds_what_is_shown_and_no_formula(browser: Any) -> None:
    text, n = browser.execute_script("""
        const f = page.figures.find(f => f.id === "anything");
        const rows = page.decoded(page.matching({}), ["task"]);
        return [page.csv(rows), rows.length];""")
    assert n == 2 * (8 * 3 * 4 * 2 + 8 * 3 * 2) + 1
    assert len(text.splitlines()) == n + 1
    assert not any(field.startswith("=") for line in text.splitlines() for field in line.split(","))


def test_formula_names_get_an_apostrophe(browser: Any) -> None:
    line = browser.execute_script('return page.csv([{task: "=1+1", run: "-2", value: -3}]).split("\\r\\n")[1]')
    assert line.startswith("'-2,,,'=1+1,,-3,")


def test_page_is_no_wider_than_a_phone(browser: Any) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= 392


def test_every_number_of_the_page_is_in_the_tables_and_the_other_way_round(browser: Any) -> None:
    """As the browser decodes them, against the tables themselves: rounded to 5 digits, errors to 2."""
    shown = browser.execute_script("return page.decoded(page.matching({}), [])")
    tables = hostile_tables()
    runs = {0: MODEL, 1: f"{MODEL}-seed1"}
    rows = [
        (runs[r.seed], r.measure, r.layer, f"{r.probe}/{r.task}", r.step, r.value, r.error, r.n, r.ceiling, None, r.reason)
        for r in tables.geometry.itertuples()
    ] + [
        (runs[r.seed], r.metric, "answers", f"{r.probe}/{r.task}", r.step, r.value, r.error, r.n, None, r.chance, r.reason)
        for r in tables.behaviour.itertuples()
    ]  # fmt: skip
    digits = {5: 5, 6: 2, 8: 5, 9: 5}
    expected = sorted(
        (
            tuple(
                None if v != v else float(f"{v:.{digits[i] - 1}e}") if i in digits and v is not None else v
                for i, v in enumerate(row)
            )
            for row in rows
        ),
        key=str,
    )
    names = ("run", "what", "site", "task", "step", "value", "error", "n", "ceiling", "chance", "reason")
    decoded = [
        tuple(float(v) if i in digits and v is not None else v for i, v in enumerate(r[n] for n in names))
        for r in shown
    ]
    assert sorted(decoded, key=str) == expected


def test_no_name_becomes_markup_and_what_is_missing_is_said(browser: Any) -> None:
    browser.execute_script("""
        for (const f of page.figures) { f.details.open = true; f.table(); }
        for (const d of document.querySelectorAll("details")) d.open = true;""")
    assert (
        browser.execute_script(
            "return document.querySelectorAll('main img, main b, main i, main u, main script').length"
        )
        == 0
    )
    words = browser.execute_script("return document.body.textContent")
    for expected in (
        HOSTILE,
        MODEL,
        "<i>no number</i>",
        "<u>power is damaged</u>",
        "1 say again what another row says",
    ):
        assert expected in words
    said = browser.execute_script("return page.figures.map(f => f.said.textContent).join(' ')")
    assert "could not be computed and are not drawn" in said


def test_slider_reads_values_as_the_keys_do(browser: Any) -> None:
    said, spoken = browser.execute_async_script("""
        const done = arguments[0], f = page.figures.find(f => f.id === "behaviour");
        f.slider.value = 3;
        f.slider.dispatchEvent(new Event("input"));
        f.pointed.then(() => done([f.read.textContent, f.slider.getAttribute("aria-valuetext")]));""")
    assert said.startswith("step 4: ")
    assert spoken == "step 4"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Any, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.execute_script(gzip.decompress(AXE.read_bytes()).decode())
    found = browser.execute_async_script("""
        const done = arguments[0];
        axe.run(document).then(r => done(r.violations.map(v => [v.id, v.impact, v.nodes.length, v.nodes[0].html.slice(0, 200)])));""")
    assert [fault for fault in found if fault[1] in ("serious", "critical")] == []

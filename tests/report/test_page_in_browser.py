"""The page in a real browser with the network off: drawn, chosen in, read by keys, downloaded from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pythia_geometry.report.page.inputs import Source
from pythia_geometry.report.page.page import page
from tests.report.browser import opened, ready
from tests.report.tables import make_tables

HOSTILE = "=1+1</script><b>'\"&"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("page")
    file = folder / "report.html"
    file.write_text(page([Source(Path("run"), "", make_tables((HOSTILE, "beta", "gamma"), seeds=(0, 1)))]), "utf-8")
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
    assert n == 2 * (8 * 3 * 4 * 2 + 8 * 3 * 2)
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
    tables = make_tables((HOSTILE, "beta", "gamma"), seeds=(0, 1))
    runs = {0: "m", 1: "m-seed1"}
    rows = [
        (runs[r.seed], r.measure, r.layer, f"{r.probe}/{r.task}", r.step, r.value, r.error, r.n, r.ceiling, None, r.reason)
        for r in tables.geometry.itertuples()
    ] + [
        (runs[r.seed], r.metric, "answers", f"{r.probe}/{r.task}", r.step, r.value, r.error, r.n, None, r.chance, r.reason)
        for r in tables.behaviour.itertuples()
    ]  # fmt: skip
    digits = {5: 5, 6: 2, 8: 5, 9: 5}
    expected = sorted(
        tuple(float(f"{v:.{digits[i] - 1}e}") if i in digits and v is not None else v for i, v in enumerate(row))
        for row in rows
    )
    names = ("run", "what", "site", "task", "step", "value", "error", "n", "ceiling", "chance", "reason")
    assert sorted(tuple(row[name] for name in names) for row in shown) == expected

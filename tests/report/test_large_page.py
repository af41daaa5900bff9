"""The largest run on one page: small enough to send, and every number the table's, rounded as the page says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pythia_geometry.report.page.inputs import Source
from pythia_geometry.report.page.page import page
from tests.report.browser import opened, ready
from tests.report.large import large_tables

EVERY = 997
"""One row of so many is compared one by one; counts and sums are of all."""


@pytest.mark.slow
def test_one_million_eight_hundred_thousand_values(tmp_path: Path) -> None:
    """Times are printed by `scripts/bench_page.py`."""
    tables = large_tables()
    geometry = tables.geometry
    file = tmp_path / "report.html"
    file.write_text(page([Source(Path("run"), "", tables)]), "utf-8")
    assert len(geometry) == 1_848_000
    assert file.stat().st_size < 8_000_000
    assert "rounded to 4 significant digits (errors to 2)" in file.read_text("utf-8")
    with opened(file, tmp_path / "profile", "--window-size=1400,1000") as browser:
        ready(browser, 300)
        assert browser.get_log("browser") == []
        count, missing, total, some = browser.execute_script(f"""
            const {{points}} = page, n = points.rows.step.length, some = [];
            let missing = 0, total = 0;
            for (let s = 0; s < points.series.start.length; s++)
                for (let i = points.series.start[s]; i < points.series.start[s] + points.series.count[s]; i++) {{
                    const v = points.rows.value(i);
                    if (v === null) missing++; else total += v;
                    if (i % {EVERY} === 0) some.push([points.names.what[points.series.what[s]], points.names.site[points.series.site[s]],
                        points.names.task[points.series.task[s]], points.rows.step[i], v, points.rows.error(i), points.names.reason[points.rows.reason[i]]]);
                }}
            return [n, missing, total, some];""")
    assert count == len(geometry)
    assert missing == int(geometry["value"].isna().sum()) > 0
    assert total == pytest.approx(float(geometry["value"].sum()), rel=1e-4)
    held = geometry.set_index(["measure", "layer", "task", "step"])[["value", "error", "reason"]]
    for what, site, task, step, value, error, reason in some:
        there = held.loc[(what, site, task.partition("/")[2], step)]
        assert reason == there["reason"]
        for shown, true, digits in ((value, there["value"], 4), (error, there["error"], 2)):
            assert (shown is None) == bool(np.isnan(true))
            assert shown is None or shown == float(f"{true:.{digits - 1}e}")

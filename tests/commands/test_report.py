"""A walk ends with the page; written again it is still the folder's own, and a page elsewhere leaves the folder alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pythia_geometry.cli import app
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.report.page.page import save_page
from pythia_geometry.store.checking import check
from tests.suites_on_disk import tiny_suite


def test_a_walk_ends_with_a_page_that_check_knows(tmp_path: Path) -> None:
    suite, run = tiny_suite(tmp_path, (0, 4)), tmp_path / "run"
    said = CliRunner().invoke(app, suite.arguments(run, "--measures", "rankme")).output
    page = run / "report.html"
    assert f"page     {page}" in said.replace("\n", "")
    assert f"pythia-geom precursors {run}" in page.read_text("utf-8")
    (run / "rows").mkdir()
    (run / "rows" / "C1-lab.csv").write_text("as compare --out writes it")
    for _ in range(2):  # written again, its checksum is written again
        health = check(run)
        assert health.is_whole
        assert health.foreign == []
        assert save_page([run]) == page
    page.write_text("cut", "utf-8")
    assert list(check(run).damaged) == ["report.html"]
    elsewhere = save_page([run], tmp_path / "sent.html")
    assert elsewhere.stat().st_size > 100_000
    with pytest.raises(PythiaGeometryError, match="ends in .html"):
        save_page([run], tmp_path / "sent.pdf")

"""The page that tells how to add a measure is right: its code runs, and a walk computes what it adds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pythia_geometry.measures import MEASURES
from tests.suites_on_disk import tiny_suite

PAGE = Path(__file__).resolve().parents[1] / "docs" / "add-a-measure.md"


def test_the_pages_example_is_walked_and_kept_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    added = dict(MEASURES)
    monkeypatch.setattr("pythia_geometry.measures.MEASURES", added)
    exec(compile(code, str(PAGE), "exec"), {})
    suite = tiny_suite(tmp_path, (0, 4))
    found = suite.walk(tmp_path / "run", measures=("rankme", "first_share")).geometry
    shares = found[found["measure"] == "first_share"]
    assert len(shares) == (found["measure"] == "rankme").sum() > 0
    assert shares["value"].between(0, 1).all()
    again = suite.walk(tmp_path / "run", measures=("rankme", "first_share")).geometry
    assert np.array_equal(again["value"], found["value"])

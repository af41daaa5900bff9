"""Names at the ends of lines: beside their lines, in their order, never one over another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.report.line_ends import GAP, line_ends


def ends(last: list[float], log: bool = False, height: float = 84) -> list[dict]:
    rows = pd.DataFrame(
        [
            {"name": f"set/t{i}", "step": step, "value": value, "low": value, "high": value, "chance": np.nan}
            for i, end in enumerate(last)
            for step, value in ((0, 1.0), (10, end))
        ]
    )
    return line_ends(rows, height, log)


@pytest.mark.parametrize("last", [[1.0, 1.0, 1.0], [5.0, 5.0, 2.0, 2.0], [9.0, 8.99, 8.98, 1.0, 1.01]])
@pytest.mark.parametrize("log", [False, True])
def test_names_are_apart_and_inside(last: list[float], log: bool) -> None:
    found = ends([*last, 20.0], log)
    span = np.log([1.0, 20.0]) if log else np.array([1.0, 20.0])
    places = np.array([np.log(e["value"]) if log else e["value"] for e in found])
    points = np.sort((places - span[0]) / (span[1] - span[0]) * 84)
    assert np.diff(points).min() >= GAP - 1e-9
    assert points.min() > -1e-9
    assert points.max() < 84 + 1e-9


def test_a_name_with_room_stands_at_its_line() -> None:
    assert {e["label"]: e["value"] for e in ends([2.0, 20.0])} == pytest.approx({"t0": 2.0, "t1": 20.0})


def test_lines_without_a_range_have_no_names() -> None:
    assert ends([1.0]) == []

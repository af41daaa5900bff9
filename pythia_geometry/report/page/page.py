"""The report: one HTML file that opens offline and shows what run folders hold. It computes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.report.drawing import bundle
from pythia_geometry.report.marks import cells, cursor, lines, spans
from pythia_geometry.report.page.figures_list import CELLS, LINES, figure_list
from pythia_geometry.report.page.fixed import fixed_charts, shaded
from pythia_geometry.report.page.html_parts import text
from pythia_geometry.report.page.inputs import Source, all_points, read_sources
from pythia_geometry.report.page.packing import ERROR_DIGITS, pack, pack_bytes
from pythia_geometry.report.page.sections import Section, sections
from pythia_geometry.report.points import scale_of, unit_of
from pythia_geometry.report.style import MAX_LINES
from pythia_geometry.store.manifest_file import REPORT
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.writing import disk_errors, replacing
from pythia_geometry.typed_path import typed_path

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; img-src data: blob:"
"""Nothing is fetched, whatever stands in the page. Vega makes functions of its own expressions, hence `unsafe-eval`."""
_SCRIPTS = ("decode.js", "figure.js", "start.js")
_BUNDLE = "window.vegaEmbed = vegaEmbed;"


def save_page(runs: Sequence[str | Path], out: str | Path = "") -> Path:
    """Writes the report of run folders.

    Args:
        runs: Run folders.
        out: The file; `report.html` in the first run folder where empty.

    Returns:
        The file.

    Raises:
        PythiaGeometryError: If a folder is no run, nothing is measured, or `out` is no `.html`.
        MachineError: If it cannot be written.
    """
    target = typed_path(out) if out else typed_path(runs[0]) / REPORT
    if target.suffix.lower() not in (".html", ".htm") or target.is_dir():
        raise PythiaGeometryError(f"--out {out}: expected a file that ends in .html")
    content = page(read_sources(runs))
    if not out:
        RunFolder(target.parent).write_text(REPORT, content)  # with its checksum, for `pythia-geom check`
        return target
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return target


def page(sources: Sequence[Source]) -> str:
    """The report as HTML."""
    points = all_points(sources)
    figures = figure_list(points)
    fixed = fixed_charts(sources)
    shown = sections(sources, {figure["id"] for figure in [*figures, *fixed]})
    packed = pack(points)
    data = {
        "packed": packed, "figures": figures, "specs": _specs(), "most": MAX_LINES, "fixed": fixed,
        "units": {what: unit_of(what) for what in packed["names"]["what"]},
        "scales": {what: scale_of(what) for what in packed["names"]["what"]},
        "spans": shaded(sources), "vega": _vega(),
    }  # fmt: skip
    title = ", ".join(points["run"].unique())
    return _html(
        title if len(title) < 80 else f"{points['run'].nunique()} runs", shown, data, _rounding(packed, points)
    )


@cache
def _vega() -> str:
    return pack_bytes(bundle(_BUNDLE).encode())


@cache
def _specs() -> dict[str, Any]:
    """Vega-Lite with placeholders, valid but never meant, for what the choosers decide; `figure.js` knows them."""
    rows = alt.NamedData("rows")
    y, steps = ("%TITLE%", "sqrt"), ([-1], -1)
    charts = {
        LINES: alt.layer(spans(), lines(rows, y, steps, several=False), cursor()),
        "seeds": alt.layer(spans(), lines(rows, y, steps, several=True), cursor()),
        CELLS: cells(rows, y),
    }
    whole = {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    return {name: chart.to_dict(validate=False) | whole for name, chart in charts.items()}


def _rounding(packed: dict[str, Any], points: pd.DataFrame) -> str:
    return (
        f"This page holds {len(points):,} numbers, rounded to {packed['digits']} significant digits (errors to "
        f"{ERROR_DIGITS}); the run folder's Parquet tables hold them whole. It computes none. Made by pythia-geometry "
        f"{version('pythia-geometry')}."
    )


def _html(title: str, shown: Sequence[Section], data: dict[str, Any], rounding: str) -> str:
    here = files("pythia_geometry.report.page") / "static"
    css, *scripts = ((here / name).read_text(encoding="utf-8") for name in ("page.css", *_SCRIPTS))
    links = " ".join(f'<a href="#{s.id}">{text(s.title)}</a>' for s in shown)
    body = "\n".join(
        f'<section id="{s.id}" aria-labelledby="{s.id}-title">'
        f'<h2 id="{s.id}-title">{text(s.title)}</h2>{s.content}</section>'
        for s in shown
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{text(title)} – pythia-geometry</title>
<style>{css}</style>
</head>
<body>
<header><h1>{text(title)}</h1><nav aria-label="sections">{links}</nav></header>
<main>
<p id="failed" role="alert"></p>
{body}
</main>
<footer><p class="note">{text(rounding)}</p></footer>
<script type="application/json" id="data">{_inert(data)}</script>
<script>{_closed("".join(scripts))}</script>
</body>
</html>
"""


def _inert(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _closed(script: str) -> str:
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")

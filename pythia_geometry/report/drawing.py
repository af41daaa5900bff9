"""Charts as PNG, SVG and PDF. Where address space is short the library that draws dies: there it draws apart."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import vl_convert

from pythia_geometry.errors import MachineError

PNG, SVG, PDF = "png", "svg", "pdf"
FORMATS = (f".{PDF}", f".{SVG}", f".{PNG}")
_PRINT_SCALE = 4.0
"""Of a PNG for print: 288 dots an inch."""

_APART = """
import base64, json, sys
from pythia_geometry.report.drawing import drawn
spec, endings, scale = json.load(sys.stdin)
print(json.dumps({k: base64.b64encode(v).decode() for k, v in drawn(spec, endings, scale).items()}))
"""
_BUNDLED_APART = "import json, sys, vl_convert; print(json.dumps(vl_convert.javascript_bundle(json.load(sys.stdin))))"


def save(chart: Any) -> dict[str, bytes]:
    """The chart as PNG and SVG, by file ending; needs no browser.

    Raises:
        MachineError: If this process may have too little address space (`ulimit -v`) for the library that draws.
    """
    return _anywhere(chart.to_dict(), (PNG, SVG), 2)


def save_as(chart: Any, ending: str) -> bytes:
    """The chart for print, in one of `FORMATS`.

    Raises:
        MachineError: As `save`.
    """
    kind = ending.lstrip(".")
    return _anywhere(chart.to_dict(), (kind,), _PRINT_SCALE)[kind]


def bundle(script: str) -> str:
    """Vega, Vega-Lite and Vega-Embed with a script that uses them, as one script for a browser.

    Raises:
        MachineError: As `save`.
    """
    if not _is_limited():
        return str(vl_convert.javascript_bundle(script))
    return str(json.loads(_apart(_BUNDLED_APART, json.dumps(script))))


def drawn(spec: dict[str, Any], endings: Sequence[str], scale: float) -> dict[str, bytes]:
    """The chart of a specification."""
    draw = {
        PNG: lambda: vl_convert.vegalite_to_png(spec, scale=scale),
        SVG: lambda: vl_convert.vegalite_to_svg(spec).encode(),
        PDF: lambda: vl_convert.vegalite_to_pdf(spec),
    }
    return {ending: draw[ending]() for ending in endings}


def _anywhere(spec: dict[str, Any], endings: Sequence[str], scale: float) -> dict[str, bytes]:
    return _drawn_apart(spec, endings, scale) if _is_limited() else drawn(spec, endings, scale)


def _is_limited() -> bool:
    """Whether the system bounds this process's address space."""
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _drawn_apart(spec: dict[str, Any], endings: Sequence[str], scale: float) -> dict[str, bytes]:
    """The same in another process, which may die of it."""
    made = json.loads(_apart(_APART, json.dumps([spec, list(endings), scale])))
    return {ending: base64.b64decode(content) for ending, content in made.items()}


def _apart(program: str, given: str) -> str:
    command = [sys.executable, "-c", program]
    made = subprocess.run(command, input=given, capture_output=True, text=True)  # noqa: S603 - our own text
    if made.returncode != 0:
        raise MachineError(
            "The pictures cannot be drawn: the library that draws them needs more address space than this shell allows "
            "(ulimit -v). Tables and verdicts are whole. For pictures, type the same command after: ulimit -v unlimited"
        )
    return made.stdout

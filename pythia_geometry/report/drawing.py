"""Charts as PNG and SVG. The library that draws dies by a signal where address space is short: there it draws apart."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import vl_convert

from pythia_geometry.errors import MachineError

_APART = """
import base64, json, sys
from pythia_geometry.report.drawing import drawn
print(json.dumps({k: base64.b64encode(v).decode() for k, v in drawn(json.load(sys.stdin)).items()}))
"""


def save(chart: Any) -> dict[str, bytes]:
    """The chart as PNG and SVG, by file ending; needs no browser.

    Raises:
        MachineError: If this process may have too little address space (`ulimit -v`) for the library that draws.
    """
    spec = chart.to_dict()
    return _drawn_apart(spec) if _is_limited() else drawn(spec)


def drawn(spec: dict[str, Any]) -> dict[str, bytes]:
    """The chart of a specification."""
    return {
        "png": vl_convert.vegalite_to_png(spec, scale=2),
        "svg": vl_convert.vegalite_to_svg(spec).encode(),
    }


def _is_limited() -> bool:
    """Whether the system bounds this process's address space."""
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _drawn_apart(spec: dict[str, Any]) -> dict[str, bytes]:
    """The same in another process, which may die of it."""
    import base64

    command = [sys.executable, "-c", _APART]
    made = subprocess.run(command, input=json.dumps(spec), capture_output=True, text=True)  # noqa: S603 - our own text
    if made.returncode != 0:
        raise MachineError(
            "The pictures cannot be drawn: the library that draws them needs more address space than this shell allows "
            "(ulimit -v). Tables and verdicts are whole. For pictures, type the same command after: ulimit -v unlimited"
        )
    return {ending: base64.b64decode(content) for ending, content in json.loads(made.stdout).items()}

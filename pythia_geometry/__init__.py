"""pythia-geometry: a language model's training run, read as geometry.

    import pythia_geometry as pg

    suite = pg.pythia("160m")                        # or pg.local("my-suite"), pg.offline()
    result = pg.measure(suite, pg.probes("core"), steps="log", out="runs/pythia-160m")
    result.geometry                                  # pandas: one number a row
    result.behaviour

The public names load when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pythia_geometry.api import (
        calibrate,
        compare,
        doctor,
        hub,
        local,
        measure,
        offline,
        power,
        precursors,
        probes,
        pythia,
        read,
        summary,
    )
    from pythia_geometry.errors import PythiaGeometryError
    from pythia_geometry.runs.request import Request

_HOMES = {
    "PythiaGeometryError": "errors",
    "Request": "runs.request",
    **dict.fromkeys(("hub", "local", "measure", "offline", "probes", "pythia", "read", "summary"), "api"),
    **dict.fromkeys(("calibrate", "compare", "doctor", "power", "precursors"), "api"),
}

__all__ = [
    "PythiaGeometryError",
    "Request",
    "calibrate",
    "compare",
    "doctor",
    "hub",
    "local",
    "measure",
    "offline",
    "power",
    "precursors",
    "probes",
    "pythia",
    "read",
    "summary",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)

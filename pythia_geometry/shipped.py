"""Where the data that ships lies: probe sets and small trained suites."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_folder() -> Path:
    """The `data/` folder: inside an installed package, beside it in a checkout."""
    installed = _PACKAGE / "data"
    return installed if installed.is_dir() else _PACKAGE.parent / "data"


def shipped_suite(name: str) -> Path | None:
    """The folder of a suite that ships, such as `offline`; None where none has this name."""
    return next((folder for folder in (data_folder() / "suites").iterdir() if folder.name == name), None)

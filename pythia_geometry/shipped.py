"""Where the data that ships lies: probe sets and small trained suites."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_folder() -> Path:
    """The `data/` folder: inside an installed package, beside it in a checkout."""
    installed = _PACKAGE / "data"
    return installed if installed.is_dir() else _PACKAGE.parent / "data"


def shipped_suites() -> dict[str, Path]:
    """By name, the folders of the suites that ship: `offline`, `language`."""
    return {
        folder.name: folder for folder in sorted((data_folder() / "suites").iterdir(), reverse=True) if folder.is_dir()
    }

"""What the tables say, in the words of docs/attention.md."""

from __future__ import annotations

from pathlib import Path


def report(folder: Path) -> str:
    """To be printed."""
    return str(folder)

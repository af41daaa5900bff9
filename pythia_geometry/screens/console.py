"""The terminal, or the file that stands in its place."""

from __future__ import annotations

from rich.console import Console

WIDE = 160  # columns, where nobody watches a terminal: tables in a log must not be broken


def open_console(quiet: bool = False) -> Console:
    """A console as wide as the terminal, or wide where there is none.

    Args:
        quiet: Whether to print nothing.
    """
    return Console(quiet=quiet, width=None if Console().is_terminal else WIDE)

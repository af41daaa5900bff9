"""The terminal, or the file that stands in its place."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from pythia_geometry.errors import OutputClosedError

WIDE = 160  # columns, where nobody watches a terminal: tables in a log must not be broken


class _Heard(Console):
    """A console that stops the command, with a word, when nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Called by rich, whose own ends the process with code 1 and says nothing."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputClosedError("Stopped, since nobody reads the output any more. What a walk has finished is kept")


def open_console(quiet: bool = False) -> Console:
    """A console as wide as the terminal, or wide where there is none.

    Args:
        quiet: Whether to print nothing.
    """
    return _Heard(quiet=quiet, width=None if Console().is_terminal else WIDE)

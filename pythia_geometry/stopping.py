"""SIGTERM, which schedulers send some seconds before they kill, does what Ctrl-C does."""

from __future__ import annotations

import signal
from types import FrameType

from pythia_geometry.errors import EXIT_INTERRUPTED, EXIT_TERMINATED

_received: list[int] = []


def stop_on_sigterm() -> None:
    """From now on SIGTERM raises KeyboardInterrupt, once: what is being put away then is not disturbed again."""
    _received.clear()
    signal.signal(signal.SIGTERM, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _received.append(number)
    raise KeyboardInterrupt


def exit_code() -> int:
    """The exit code of a command that was stopped: 143 by SIGTERM, 130 by Ctrl-C."""
    return EXIT_TERMINATED if _received else EXIT_INTERRUPTED

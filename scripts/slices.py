"""Long work in slices: a call that stops after some minutes, and the CPU time of all calls together."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from pythia_geometry.store.writing import replacing


class Spent:
    """CPU seconds of one run over all the calls it took, in a small file; the time since the last note is lost."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.before = float(file.read_text()) if file.exists() else 0.0
        self.clock = time.process_time()

    def note(self) -> float:
        """Writes and returns the seconds up to now."""
        seconds = self.before + time.process_time() - self.clock
        with replacing(self.file) as temporary:  # a slice may end in the middle of this
            temporary.write_text(f"{seconds:.1f}\n")
        return seconds


class SliceEndedError(BaseException):
    """The slice is over."""


def stop_after(minutes: float) -> None:
    """Raises SliceEndedError in the middle of whatever is going on: all of it continues from what is on disk."""

    def stop(*_: object) -> None:
        raise SliceEndedError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)

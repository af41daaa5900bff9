"""How fast bodies go out: one rate for all connections together."""

import threading
import time
from collections.abc import Iterator

_PIECES_A_SECOND = 20


class Bandwidth:
    """A pipe of a fixed rate that all bodies share, or of no limit.

    Args:
        bytes_per_second: The rate; None for no limit.
        closing: Set when the server stops, so that nobody waits any longer.
    """

    def __init__(self, bytes_per_second: float | None, closing: threading.Event) -> None:
        self.bytes_per_second = bytes_per_second
        self._closing = closing
        self._lock = threading.Lock()
        self._free_at = 0.0

    def pace(self, chunk: bytes) -> Iterator[bytes]:
        """The chunk in pieces, each given out once the pipe has had the time to carry it."""
        if self.bytes_per_second is None:
            yield chunk
            return
        size = max(1, int(self.bytes_per_second / _PIECES_A_SECOND))
        for offset in range(0, len(chunk), size):
            piece = chunk[offset : offset + size]
            self._closing.wait(self._reserve(len(piece)))
            yield piece

    def _reserve(self, length: int) -> float:
        """Take a place in the pipe for ``length`` bytes; returns the seconds until they are through."""
        rate = self.bytes_per_second
        if rate is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._free_at = max(now, self._free_at) + length / rate
            return self._free_at - now

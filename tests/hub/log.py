"""What was asked and what was sent."""

import threading
from dataclasses import dataclass


@dataclass
class Record:
    """One request and its answer. ``sent`` grows while the body goes out.

    Attributes:
        method: ``GET``, ``HEAD`` or ``POST``.
        path: Path with query, as the client sent it.
        status: Status of the answer; 0 if the connection was reset before the headers.
        length: Bytes of body announced (0 for HEAD).
        sent: Bytes of body handed to the network.
        range: The Range header, or None.
        repository: Name of the repository, if the request found one.
        label: ``branch`` or ``branch/file``, also where the request names a commit or a hash.
        fault: Action of the fault that was applied, or None.
        started: When the request came in, on the clock of ``time.monotonic``.
    """

    method: str
    path: str
    status: int
    length: int
    sent: int
    range: str | None
    repository: str
    label: str
    fault: str | None
    started: float

    @property
    def is_download(self) -> bool:
        """Whether all of a file, or all of the asked range of it, was sent."""
        is_file = "/resolve/" in self.path or self.path.startswith("/cdn/")
        return self.method == "GET" and is_file and self.status in (200, 206) and self.sent == self.length


class RequestLog:
    """The requests of a Hub in the order in which they came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[Record] = []

    def add(self, record: Record) -> None:
        """Append a record; done before the answer goes out, so that a client never outruns the log."""
        with self._lock:
            self._records.append(record)

    def clear(self) -> None:
        """Forget everything so far."""
        with self._lock:
            self._records.clear()

    def select(self, method: str | None = None, contains: str = "") -> list[Record]:
        """The records of a method whose path or label contains a text."""
        with self._lock:
            records = list(self._records)
        return [
            record
            for record in records
            if method in (None, record.method) and (contains in record.path or contains in record.label)
        ]

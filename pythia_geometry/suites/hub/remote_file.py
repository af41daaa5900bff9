"""Parts of one file of a commit, straight into memory: continued where they broke off.

The Hub answers a question for a large file with the address of a storage server. That address is kept while it
answers, so a second part costs one request and not two; after any fault the Hub is asked again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import httpx2

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import CORRUPT, FAILED, NEVER, Stopped
from pythia_geometry.suites.hub.asking import Ask, TooSlowError, raise_for_status, streamed
from pythia_geometry.suites.hub.download import PROGRESS
from pythia_geometry.suites.hub.errors import told
from pythia_geometry.suites.hub.patience import patiently

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class RemoteFile:
    """One file, by commit, so that no two parts can come from two versions.

    What comes cannot be checked against the sha256 that the Hub lists, which is of the whole file. Its size is: each
    answer to a Range request states it.
    """

    def __init__(self, url: str, hub: str, size: int, name: str) -> None:
        """Asks nothing yet.

        Args:
            url: Address at the Hub.
            hub: The Hub's own address.
            size: Bytes that the Hub lists.
            name: How messages name it.
        """
        self.url, self.hub, self.size, self.name = url, hub, size, name
        self._storage = ""

    def read_into(self, start: int, into: memoryview, stop: Event = NEVER) -> None:
        """Fills `into` with the bytes from `start` on.

        Raises:
            Stopped: If `stop` was set.
            CheckpointError: If they cannot be had; if the server sends something else than the range (it is not
                read, since it may be the whole file); if the file has another size than the Hub lists.
        """
        have = 0

        def rest() -> None:
            nonlocal have
            with self._answer(start + have, start + len(into)) as answer:
                for chunk in answer.iter_bytes():
                    if have + len(chunk) > len(into):
                        raise httpx2.RemoteProtocolError(f"more than the {len(into)} bytes that were asked for")
                    into[have : have + len(chunk)] = chunk
                    have += len(chunk)
                    if stop.is_set():
                        raise Stopped
                if have < len(into):
                    raise httpx2.RemoteProtocolError(f"{have} of {len(into)} bytes came")

        with told(self.name):
            while have < len(into):
                before = have
                try:
                    patiently(rest, stop)
                except httpx2.TransportError as error:
                    if have - before < PROGRESS or isinstance(error, TooSlowError):
                        raise

    def read(self, start: int, stop: int, wish: Event = NEVER) -> bytes:
        """A small part; raises what `read_into` does."""
        into = bytearray(stop - start)
        self.read_into(start, memoryview(into), wish)
        return bytes(into)

    @contextmanager
    def _answer(self, start: int, stop: int) -> Iterator[httpx2.Response]:
        """The answer to one question for a range, checked to be that range of a file of the listed size."""
        storage, self._storage = self._storage, ""
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        with streamed(storage or self.url, headers, Ask(self.hub), token=not storage) as answer:
            if storage and answer.is_client_error and answer.status_code != httpx2.codes.TOO_MANY_REQUESTS:
                raise httpx2.RemoteProtocolError("the address that the Hub gave has expired")
            raise_for_status(answer)
            self._check(answer, start)
            yield answer
            self._storage = str(answer.url) if answer.history or storage else ""

    def _check(self, answer: httpx2.Response, start: int) -> None:
        if answer.status_code != httpx2.codes.PARTIAL_CONTENT:
            raise CheckpointError(
                f"{self.name}: the server does not send parts of files (status {answer.status_code}). Type the same "
                "command without --fetch ranges",
                FAILED,
            )
        told = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if told is None or int(told[1]) != start:
            raise httpx2.RemoteProtocolError(f"not the part from byte {start} on")
        if int(told[2]) != self.size:
            raise CheckpointError(f"{self.name} has {told[2]} bytes, the Hub lists {self.size}", CORRUPT)

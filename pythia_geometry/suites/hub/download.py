"""One file of a commit, over plain HTTP: continued where it broke off, also by another process.

The client's own download starts over after a reset or a kill, because its temporary name is unique to each
process. Here what has arrived stays in `<name>.part` beside the file, and the next attempt asks for the rest.
"""

from __future__ import annotations

from pathlib import Path
from threading import Event

import httpx2

from pythia_geometry.suites.checkpoint import NEVER, Stopped
from pythia_geometry.suites.hub.asking import SECONDS, Ask, TooSlowError, raise_for_status, streamed
from pythia_geometry.suites.hub.patience import patiently
from pythia_geometry.suites.layout.index import MOST

PART = ".part"
PROGRESS = 16 * 2**20
"""Bytes that must arrive for the faults before them to be forgotten: bounds the requests for one file."""


def download(url: str, hub: str, to: Path, size: int | None = None, stop: Event = NEVER) -> None:
    """Fetches a file, or the rest of one.

    Its content is not checked: that is the caller's, who knows the sha256.

    Args:
        url: Address at the Hub, by commit, so that no two attempts can mix two versions.
        hub: The Hub's own address.
        to: Where it goes; in one piece or not at all.
        size: Bytes it must have, where known; else it is small.
        stop: Ends the download.

    Raises:
        Stopped: If `stop` was set; the part that has arrived stays.
        HfHubHTTPError: If the Hub refuses for good.
        httpx2.TransportError: If no answer comes any more.
        OSError: If the disk gives out.
    """
    part = to.with_name(to.name + PART)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    while True:
        before = _size(part)
        try:
            patiently(lambda: _fetch_rest(url, hub, part, size, stop), stop)
            break
        except httpx2.TransportError as error:
            if _size(part) - before < PROGRESS or isinstance(error, TooSlowError):
                raise
    part.replace(to)


def _fetch_rest(url: str, hub: str, part: Path, size: int | None, stop: Event) -> None:
    """One request for what is missing, appended as it comes."""
    have = _size(part) if size is not None else 0
    if have == size:
        return
    headers = {"Range": f"bytes={have}-"} if have > 0 else {}
    ask = Ask(hub, MOST, 4 * SECONDS) if size is None else Ask(hub)
    with streamed(url, headers, ask) as answer:
        raise_for_status(answer)
        continued = answer.status_code == httpx2.codes.PARTIAL_CONTENT
        with part.open("ab" if continued else "wb", buffering=0) as stream:  # a kill loses nothing that came
            for chunk in answer.iter_bytes():
                stream.write(chunk)
                if stop.is_set():
                    raise Stopped
                if size is not None and stream.tell() > size:
                    stream.truncate(0)
                    raise httpx2.RemoteProtocolError(f"more than the {size} bytes that the Hub lists")
    if size is not None and _size(part) != size:
        raise httpx2.RemoteProtocolError(f"{_size(part)} bytes, the Hub lists {size}")


def _size(path: Path) -> int:
    return path.stat().st_size

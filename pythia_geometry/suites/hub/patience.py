"""How long to wait for the Hub: which faults pass, when to ask again, and when to give up.

The client itself never retries a reset, nor any fault while listing branches; its listing of files has no
time-out, whatever the client was built with (docs/decisions/0003-hub-client.md). So every request of a walk
goes through `patiently`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from threading import Event
from typing import TypeVar

import httpx2
from huggingface_hub import is_offline_mode
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # exported lazily

from pythia_geometry.suites.checkpoint import NEVER, Stopped
from pythia_geometry.suites.hub.asking import TooSlowError

T = TypeVar("T")

REFUSALS = 10  # answers such as 429 and 503 in a row: 55 seconds, or as long as the Hub names
BREAKS = 4  # resets, time-outs and no connection in a row: 7 seconds and the time-outs
LONGEST_PAUSE = 8.0
LONGEST_ASKED = 300.0  # the Hub counts requests in windows of five minutes

_PASSING = frozenset({408, 429, 500, 502, 503, 504})


def patiently(call: Callable[[], T], stop: Event = NEVER) -> T:
    """Repeats a call over resets, time-outs, 429 and 5xx, waiting 1, 2, 4, 8, 8 … seconds or as the Hub asks.

    Args:
        call: One request, or several that may be made again.
        stop: Ends a wait.

    Raises:
        Stopped: If `stop` was set during a wait.
        HfHubHTTPError: After `REFUSALS` refusals, or where the Hub asks to wait longer than five minutes.
        httpx2.TransportError: After `BREAKS` requests without an answer.
    """
    refusals = breaks = 0
    while True:
        try:
            return call()
        except (HfHubHTTPError, httpx2.TransportError) as error:
            answer = getattr(error, "response", None)  # the client also has HTTP errors without one
            asked = 0.0 if answer is None else _asked_to_wait(answer.headers)
            refusals, breaks = (refusals, breaks + 1) if answer is None else (refusals + 1, breaks)
            is_final = (answer is not None and answer.status_code not in _PASSING) or isinstance(error, TooSlowError)
            if is_final or refusals >= REFUSALS or breaks >= BREAKS or asked > LONGEST_ASKED or is_offline_mode():
                raise
        pause(max(min(2.0 ** (refusals + breaks - 1), LONGEST_PAUSE), asked), stop)


def pause(seconds: float, stop: Event) -> None:
    """Waits.

    Raises:
        Stopped: If `stop` is set meanwhile.
    """
    if stop.wait(seconds):
        raise Stopped


def _asked_to_wait(headers: Mapping[str, str]) -> float:
    """Seconds that a refusal names: `Retry-After` (a number or a date), or the rate limit's next window."""
    named, window = headers.get("Retry-After", "").strip(), 0.0
    try:
        limit = parse_ratelimit_headers(headers)
        window = float(limit.reset_in_seconds) if limit is not None and limit.remaining == 0 else 0.0
        if named.isascii() and named.isdigit():
            return max(float(named), window)
        return max(parsedate_to_datetime(named).timestamp() - time.time(), window)
    except (ValueError, TypeError, OverflowError):
        return window

"""Every request to the Hub: bounded in time and in size, the token for the Hub alone, no header that leads elsewhere.

A server can drip a byte a second, never end, send the client round in circles, name another host for the next page, or
an ETag with `../` in it, which the client would make a path. So the client's own session is given two hooks, which do
nothing but while one of this package's calls is under way.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from typing import Any, TypeVar

import httpx2
from huggingface_hub import constants, get_session, hf_raise_for_status
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # exported lazily

T = TypeVar("T")

SECONDS = 30.0
"""For one small answer, a page of a listing or a config, or for the head of a large one."""

PAGE = 32 * 2**20
"""Most bytes of a page of a listing."""

REFUSAL = 2**16
"""Bytes that a redirect or a refusal may have, however little was asked for."""

PACE = (30.0, 30 * 1024)
"""A large file must bring so many bytes in so many seconds."""

NO_ANSWER = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OfflineModeIsEnabled)
"""No answer, or none that can be used; the client's own `HfHubHTTPError` is one of them."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r'(?:W/)?"?[A-Za-z0-9][A-Za-z0-9._\-]{0,127}"?')


class GarbledError(httpx2.RemoteProtocolError):
    """An answer that cannot be understood."""


class TooSlowError(httpx2.ReadTimeout):
    """An answer that comes, and will not have come in any useful time: asking again would take as long."""


@dataclass(frozen=True)
class Ask:
    """What one call allows.

    Attributes:
        hub: Address of the Hub: its origin alone gets the token.
        most: Bytes of an answer.
        seconds: For the whole of an answer; None where a pace is enough.
    """

    hub: str
    most: int | None = None
    seconds: float | None = None
    began: float = field(default_factory=time.monotonic)


_under_way: ContextVar[Ask | None] = ContextVar("ask", default=None)


def get_json(url: str, hub: str) -> tuple[Any, str | None]:
    """One page of JSON, and the address of the next.

    Raises:
        HfHubHTTPError: If the Hub refuses.
        GarbledError: If it is no JSON, or longer than any listing.
        httpx2.TransportError: If there is no answer.
    """

    def read() -> tuple[Any, str | None]:
        with streamed(url, {}, Ask(hub, PAGE, SECONDS)) as answer:
            raise_for_status(answer)
            content = b"".join(_up_to(answer.iter_bytes(), PAGE))
            following = answer.links.get("next", {}).get("url")
            return json.loads(content), following and str(answer.url.join(following))

    try:
        return within(SECONDS, read)
    except (ValueError, RecursionError, httpx2.DecodingError, httpx2.InvalidURL) as error:
        raise GarbledError(f"{url} was answered with something that is no listing") from error


@contextmanager
def streamed(url: str, headers: Mapping[str, str], ask: Ask, token: bool = True) -> Iterator[httpx2.Response]:
    """The answer to one question, its body still to come.

    Args:
        url: Address.
        headers: More of them; what comes is asked for as it is, not packed.
        ask: What is allowed.
        token: Whether the user's token goes along, to the Hub.
    """
    wanted = {"Accept-Encoding": "identity", **headers}
    session = _guarded()
    request = session.build_request(
        "GET", url, headers=build_hf_headers(headers=wanted) if token else wanted,
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT if ask.seconds is None else constants.HF_HUB_ETAG_TIMEOUT,
    )  # fmt: skip
    with asking(ask):
        answer = within(SECONDS, partial(session.send, request, stream=True, follow_redirects=True))
        try:
            yield answer
        finally:
            answer.close()


def raise_for_status(response: httpx2.Response) -> None:
    """The client's own errors for an answer that is one; a garbled one counts as none.

    Raises:
        HfHubHTTPError: If the Hub refuses.
        GarbledError: If it cannot be read.
    """
    try:
        hf_raise_for_status(response)
    except ValueError as error:
        raise GarbledError(f"{response.url.host} sent a garbled answer") from error


@contextmanager
def asking(ask: Ask) -> Iterator[None]:
    """What the client asks for meanwhile, itself or for us, is held to what is allowed."""
    _guarded()
    before = _under_way.set(ask)
    try:
        yield
    finally:
        _under_way.reset(before)


def within(seconds: float, call: Callable[[], T]) -> T:
    """The outcome of a call that may take so long; a server can keep one waiting by a byte of a header a second.

    Raises:
        TooSlowError: If it takes longer; it is left to itself.
    """
    done: list[T] = []
    failed: list[BaseException] = []
    is_late = False

    def run() -> None:
        try:
            found = call()
            if is_late and isinstance(found, httpx2.Response):
                found.close()
            done.append(found)
        except BaseException as error:
            failed.append(error)

    thread = Thread(target=copy_context().run, args=(run,), name="ask", daemon=True)
    thread.start()
    thread.join(seconds)
    is_late = thread.is_alive()
    if failed:
        raise failed[0]
    if done:
        return done[0]
    raise TooSlowError(f"no whole answer within {seconds:.0f} s")


def _up_to(chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
    """The chunks, as long as there are not too many bytes of them."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise GarbledError(f"more than {most:,} bytes")
        yield chunk


# -- hooks --------------------------------------------------------------------------------------------------


def _guarded() -> httpx2.Client:
    """The client's session with the hooks."""
    session = get_session()
    hooks = session.event_hooks
    if _before not in hooks["request"]:
        session.event_hooks = {"request": [*hooks["request"], _before], "response": [*hooks["response"], _after]}
    return session


def _before(request: httpx2.Request) -> None:
    """No token for anybody but the Hub."""
    ask = _under_way.get()
    if ask is not None and "Authorization" in request.headers and _origin(request.url) != _origin(httpx2.URL(ask.hub)):
        del request.headers["Authorization"]


def _after(response: httpx2.Response) -> None:
    """Refuses headers that the client would make paths of; bounds the body that follows."""
    ask = _under_way.get()
    if ask is None:
        return
    if response.request.method == "HEAD":
        for name, form in (("X-Repo-Commit", _COMMIT), ("X-Linked-ETag", _ETAG), ("ETag", _ETAG)):
            said = response.headers.get(name)
            if said is not None and not form.fullmatch(said):
                raise GarbledError(f"{response.request.url.host} sent the {name} {said[:60]!r}, which is none")
    assert isinstance(response.stream, httpx2.SyncByteStream)
    response.stream = _Bounded(response.stream, ask)


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


class _Bounded(httpx2.SyncByteStream):
    """A body that ends with an error where it is too long or too slow."""

    def __init__(self, stream: httpx2.SyncByteStream, ask: Ask) -> None:
        self._stream, self._ask = stream, ask
        self._most = None if ask.most is None else max(ask.most, REFUSAL)

    def __iter__(self) -> Iterator[bytes]:
        size, since, before = 0, time.monotonic(), 0
        for chunk in self._stream:
            size += len(chunk)
            now = time.monotonic()
            if self._most is not None and size > self._most:
                raise GarbledError(f"more than {self._most:,} bytes")
            if self._ask.seconds is not None and now - self._ask.began > self._ask.seconds:
                raise TooSlowError(f"no whole answer within {self._ask.seconds:.0f} s")
            if now - since > PACE[0]:
                if size - before < PACE[1]:
                    raise TooSlowError(f"{size - before} bytes in {now - since:.0f} s")
                since, before = now, size
            yield chunk

    def close(self) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

"""The HTTP server: a Hugging Face Hub on 127.0.0.1 with a log, faults and a bandwidth."""

import contextlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.hub.api import Answer, HubApi, Request, json_answer
from tests.hub.bandwidth import Bandwidth
from tests.hub.faults import Fault, Faults
from tests.hub.log import Record, RequestLog
from tests.hub.repository import Repository


class LocalHub:
    """A Hub for one test: starts on entering, serves from threads, stops without a trace on leaving.

    Two ports serve the same repositories: ``endpoint`` is the Hub, ``cdn_endpoint`` is where it sends clients
    for large files.

    Args:
        repositories: What to serve; more can come later with ``add``.
        page_size: Entries on a page of a tree listing.
        bandwidth: Bytes a second of all bodies together; None for no limit. Can be set at any time.
        port: Port of ``endpoint``; 0 picks a free one.

    Attributes:
        faults: Rules that spoil answers, an ordinary list.

    Example:
        >>> with LocalHub([Repository("EleutherAI/pythia-14m")]) as hub:
        ...     hub.endpoint.startswith("http://127.0.0.1:")
        True
    """

    def __init__(
        self,
        repositories: Iterable[Repository] = (),
        *,
        page_size: int = 1000,
        bandwidth: float | None = None,
        port: int = 0,
    ) -> None:
        self.repositories: dict[str, Repository] = {}
        self.faults: list[Fault] = []
        self.closing = threading.Event()
        self.errors: list[BaseException] = []
        self._log = RequestLog()
        self._fault_picker = Faults()
        self._pipe = Bandwidth(bandwidth, self.closing)
        self._servers = [_Server(self, port), _Server(self, 0)]
        self._threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
            for server in self._servers
        ]
        self.endpoint, self.cdn_endpoint = (server.address for server in self._servers)
        self._api = HubApi(self.repositories, page_size, self.endpoint, self.cdn_endpoint)
        for repository in repositories:
            self.add(repository)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.stop()
            thread.join()
        if self.errors and error is None:
            raise RuntimeError("The local Hub failed while answering; see the cause.") from self.errors[0]

    def add(self, repository: Repository) -> None:
        """Serve a repository."""
        self.repositories[repository.name] = repository

    @property
    def bandwidth(self) -> float | None:
        """Bytes a second of all bodies together, or None."""
        return self._pipe.bytes_per_second

    @bandwidth.setter
    def bandwidth(self, bytes_per_second: float | None) -> None:
        self._pipe.bytes_per_second = bytes_per_second

    @property
    def bytes_sent(self) -> int:
        """Bytes of all bodies since the log was cleared."""
        return sum(record.sent for record in self._log.select())

    def requests(self, method: str | None = None, contains: str = "") -> list[Record]:
        """The requests so far, by method and by a text in their path or label (``branch/file``)."""
        return self._log.select(method, contains)

    def downloaded_files(self, repository: str | None = None) -> list[str]:
        """The files sent, as ``branch/file``, one for each body (or range) that went out whole."""
        return [
            record.label
            for record in self._log.select("GET")
            if record.is_download and repository in (None, record.repository)
        ]

    def clear_log(self) -> None:
        """Forget the requests so far."""
        self._log.clear()

    def prepare(self, request: Request) -> tuple[Answer, Fault | None, Record]:
        """What to answer, how to spoil it, and the record of it: logged before a byte goes out."""
        answer = self._api.answer(request)
        fault = self._fault_picker.due(self.faults, request, answer)
        if fault is not None and fault.action == "status":
            answer = json_answer(
                {"error": f"Injected fault: {fault.status}"},
                fault.status,
                fault.headers,
                answer.repository,
                answer.label,
            )
        record = Record(
            method=request.method,
            path=request.target,
            status=answer.status,
            length=0 if request.method == "HEAD" else answer.length,
            sent=0,
            range=request.headers.get("Range"),
            repository=answer.repository,
            label=answer.label,
            fault=None if fault is None else fault.action,
            started=time.monotonic(),
        )
        self._log.add(record)
        return answer, fault, record

    def send_paced(self, handler: BaseHTTPRequestHandler, chunk: bytes, record: Record) -> None:
        """Write a chunk of a body at the speed of the Hub's bandwidth."""
        for piece in self._pipe.pace(chunk):
            record.sent += len(piece)
            handler.wfile.write(piece)


class _Server(ThreadingHTTPServer):
    """A listening port. Knows its open connections, so that stopping waits for no idle client."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, hub: LocalHub, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.hub = hub
        self.connections: set[socket.socket] = set()
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        """Stop listening, hang up on every client, wait for the threads to end."""
        self.shutdown()
        with self.lock:
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection before its thread starts: ``stop`` then misses none."""
        with self.lock:
            self.connections.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Forget the connection."""
        with self.lock:
            self.connections.discard(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep an unexpected error for the test to see; the base class would print it."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):
            self.hub.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    """Reads requests of one connection and sends the Hub's answers, whole or spoiled."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the Hub keeps its own log."""

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        headers = {name.title(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, self.path, headers, body)
        answer, fault, record = self.server.hub.prepare(request)
        if fault is not None and fault.action == "reset" and not fault.in_body:
            # Noted before the client can see the end of it: a test reads the record at once.
            record.status = 0
        if fault is None or fault.in_body or self._goes_on_after(fault):
            self._send_headers(answer)
            self._send_body(answer, fault, record)

    def _send_headers(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(answer.length))
        self.end_headers()

    def _send_body(self, answer: Answer, fault: Fault | None, record: Record) -> None:
        if self.command == "HEAD":
            return
        place = fault.place(answer) if fault is not None and fault.in_body else None
        position = 0
        for chunk in answer.chunks():
            end = position + len(chunk)
            if fault is not None and place is not None and position <= place < end:
                before, after = chunk[: place - position], chunk[place - position :]
                self.server.hub.send_paced(self, before, record)
                if not self._goes_on_after(fault):
                    return
                chunk = _flipped(after) if fault.action == "corrupt" else after
            self.server.hub.send_paced(self, chunk, record)
            position = end

    def _goes_on_after(self, fault: Fault) -> bool:
        """Do what the fault does to the connection at this point; False if that was the end of it."""
        if fault.action == "stall":
            self.server.hub.closing.wait(fault.seconds)
        elif fault.action == "truncate":
            self.close_connection = True
        elif fault.action == "reset":
            self._reset()
        return fault.action not in ("truncate", "reset")

    def _reset(self) -> None:
        """Close the connection so that the client sees a reset (RST) and not an orderly end (FIN)."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()


def _flipped(chunk: bytes) -> bytes:
    return bytes([chunk[0] ^ 0xFF]) + chunk[1:]

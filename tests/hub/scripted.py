"""A server that answers as a test says, also what no Hub would: for what must not be trusted."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Said:
    """One answer: the body in pieces; without a length where its end is the connection's."""

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ScriptedServer:
    """An address, and what was asked there: method, path, and headers in Title-Case."""

    address: str
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def drip(self, body: bytes, seconds: float = 0.1) -> Iterator[bytes]:
        """A byte, and after a while the next."""
        for byte in body:
            if self.closing.wait(seconds):
                return
            yield bytes([byte])

    def endless(self, piece: bytes = b" " * 65536) -> Iterator[bytes]:
        """The same for ever."""
        while not self.closing.is_set():
            yield piece

    def paths(self) -> list[str]:
        """What was asked for."""
        return [path for _, path, _ in self.asked]


@contextmanager
def scripted(answer: Callable[[str, ScriptedServer], Said]) -> Iterator[ScriptedServer]:
    """Serves what a function of the path says, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            server.asked.append((self.command, self.path, {k.title(): v for k, v in self.headers.items()}))
            said = answer(self.path, server)
            with suppress(OSError):
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                whole = isinstance(said.body, bytes)
                if whole:
                    self.send_header("Content-Length", str(len(said.body)))
                else:
                    self.send_header("Connection", "close")
                self.end_headers()
                if self.command == "GET":
                    for piece in (said.body,) if isinstance(said.body, bytes) else said.body:
                        self.wfile.write(piece)
                self.close_connection = not whole

        do_HEAD = do_GET

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = ScriptedServer(f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        http.shutdown()
        http.server_close()
        thread.join()
        time.sleep(0.02)

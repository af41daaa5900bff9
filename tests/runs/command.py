"""The real command in a process of its own, stopped from outside, and what lives on after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MARK = "PYTHIA_GEOMETRY_TEST"
SECONDS = 120.0
STOPPED = "\nStopped. What was finished is kept: type the same command to continue.\n"
HEARS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""For a child's first line: a shell's background jobs, of which the tests may be one, ignore SIGINT, and so do theirs."""


@dataclass
class Command:
    """`pythia-geom` with these words, in a process group of its own, as a shell starts it.

    `before` is Python that runs first. All its descendants carry its mark in their environment: they are found also where their parent is gone.
    """

    words: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    before: str = ""
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        code = f"{HEARS_CTRL_C}\n{self.before}\nimport sys\nfrom pythia_geometry.cli import main\nsys.argv = {['pythia-geom', *self.words]!r}\nmain()"
        environment = {**self.environment, MARK: self.mark, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=pipe, stderr=pipe, text=True, process_group=0
        )

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *error: object) -> None:
        """Ends it where the test has failed."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)

    def wait_until(self, happened: Callable[[], object], within: float = SECONDS) -> None:
        deadline = time.monotonic() + within
        while not happened():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def signal(self, number: signal.Signals, everybody: bool = False) -> tuple[int, str]:
        """Sends a signal, to the whole process group as a terminal does or to one; exit code and stderr."""
        (os.killpg if everybody else os.kill)(self.process.pid, number)
        return self.end()

    def end(self) -> tuple[int, str]:
        """Waits for its end; exit code and stderr."""
        _, said = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, said

    def alive(self) -> dict[int, str]:
        """Its process and all descendants that live, with their command lines."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it has just ended, or is another user's
                continue
        return found

    def assert_nobody_lives(self, within: float = 5.0) -> None:
        deadline = time.monotonic() + within
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.alive() == {}


def parts(out: Path) -> int:
    """Finished pieces of work in a run folder and its shards, also while they are being moved."""
    folders = [Path(folder) for folder, _, names in os.walk(out) if "items.json" in names]
    return len([folder for folder in folders if ".tmp-" not in str(folder)])

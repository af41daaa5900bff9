"""The process of one device: walks a shard, tells what happens, and ends when the process that started it does.

Started by `devices.py` alone, with the number of a pipe's file descriptor. It imports what is heavy only after it has
begun to watch the pipe.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from pythia_geometry.errors import PythiaGeometryError

STAGE, FINISHED, DAMAGED, LOST, TRIED, ERROR = "stage", "finished", "damaged", "lost", "tried", "error"


class Told:
    """Progress for the process at the other end of the pipe."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def stage(self, checkpoint: str, stage: str) -> None:
        """Passes it on."""
        self.say(STAGE, checkpoint, stage)

    def finished(self, checkpoint: str, detail: str) -> None:
        """Passes it on."""
        self.say(FINISHED, checkpoint, detail)

    def damaged(self, file: str, why: str) -> None:
        """Passes it on."""
        self.say(DAMAGED, file, why)

    def lost(self, checkpoint: str, count: int) -> None:
        """Passes it on."""
        self.say(LOST, checkpoint, count)

    def say(self, kind: str, *what: Any) -> None:
        """Sends one message; where nobody is left to hear it, this process ends."""
        try:
            self.pipe.send((kind, *what))
        except OSError:
            os._exit(0)


def main() -> None:
    """Reads the work off the pipe, and walks it."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all processes of a job; the one at the other end decides
        signal.signal(number, signal.SIG_IGN)
    pipe = Connection(int(sys.argv[1]))
    try:
        work = pipe.recv_bytes()
    except EOFError:
        return
    Thread(target=_end_with_the_other, args=(pipe,), daemon=True).start()
    told = Told(pipe)
    try:
        from pythia_geometry.runs.many.shards import walk_shard

        plan, shard, out = pickle.loads(work)  # noqa: S301 - from the process that started this one
        told.say(TRIED, walk_shard(plan, shard, out, told))
    except PythiaGeometryError as error:
        told.say(ERROR, error)
    except Exception:
        told.say(ERROR, RuntimeError(traceback.format_exc()))


def _end_with_the_other(pipe: Connection) -> None:
    """Ends this process at once when the pipe closes, however the other one died: a kill loses nothing."""
    try:
        pipe.recv_bytes()
    except (EOFError, OSError):
        os._exit(0)


if __name__ == "__main__":
    main()

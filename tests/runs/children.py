"""Walks in processes of their own, forked from a server that has torch and the package loaded."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from pythia_geometry.runs.local import walk
from pythia_geometry.runs.plan import make_plan
from pythia_geometry.runs.request import Request

PRELOADED = [
    "torch",
    "accelerate",
    "transformers.models.gpt_neox.modeling_gpt_neox",
    "pythia_geometry.runs.local",
    "tests.runs.children",
]


def forkserver() -> ForkServerContext:
    """A context whose children start in a fraction of a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start(request: Request, out: Path, kill_at: int | None = None) -> tuple[BaseProcess, Connection]:
    """Starts a walk; the connection gets a word when it begins and one when it is through."""
    ours, theirs = forkserver().Pipe(duplex=False)
    child = forkserver().Process(target=_walk, args=(request, out, theirs, kill_at))
    child.start()
    theirs.close()
    return child, ours


def _walk(request: Request, out: Path, told: Connection, kill_at: int | None) -> None:
    told.send("begins")
    if kill_at is None:
        walk(make_plan(request), out)
    else:
        with pytest.MonkeyPatch.context() as patch, counted(patch, kill_at, _die):
            walk(make_plan(request), out)
    told.send("done")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Stopped(BaseException):
    """The stop that a test puts before a write."""


def stop() -> None:
    """Raises."""
    raise Stopped


@contextmanager
def counted(patch: pytest.MonkeyPatch, at: int, then: Callable[[], None]) -> Iterator[list[str]]:
    """Counts what a walk commits (renames and removals of finished files); does `then` before the `at`-th."""
    seen: list[str] = []

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(Path, name)

        def call(self: Path, *args: Any, **options: Any) -> Any:
            if name != "unlink" or (not self.name.startswith(".tmp-") and self.exists()):
                seen.append(f"{name} {self.name}")
                if len(seen) == at:
                    then()
            return real(self, *args, **options)

        return call

    with patch.context() as inner:
        for name in ("replace", "rename", "unlink"):
            inner.setattr(Path, name, watched(name))
        yield seen

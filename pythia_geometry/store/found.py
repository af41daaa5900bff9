"""What a folder of a run was found to hold: what is whole, what is damaged, what is not the run's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from pythia_geometry.errors import DamagedError

T = TypeVar("T")
OTHER_NAME = "a copy under another name; left out"
LABEL = re.compile(r".+@step\d+")
"""How checkpoints are named, and copies that sync tools and file managers make of their files mostly are not."""


@dataclass(frozen=True)
class Found(Generic[T]):
    """The files of one kind.

    Attributes:
        whole: By path, what was read.
        damaged: By path, what is wrong.
        foreign: Copies under a name that is not theirs, as sync tools leave.
    """

    whole: dict[Path, T] = field(default_factory=dict)
    damaged: dict[Path, str] = field(default_factory=dict)
    foreign: list[Path] = field(default_factory=list)


def sorted_out(paths: Sequence[Path], read: Callable[[Path], T | None]) -> Found[T]:
    """Reads files one by one.

    Args:
        paths: The files.
        read: Gives the content, or None for a copy under another name; raises `DamagedError`.
    """
    found: Found[T] = Found()
    for path in paths:
        try:
            content = read(path)
        except DamagedError as error:
            found.damaged[path] = str(error)
            continue
        if content is None:
            found.foreign.append(path)
        else:
            found.whole[path] = content
    return found

"""The training mixture that a suite states: its task-levels, from which step each counts, and problems as in training.

A suite states it in `suite.json`; a lab run of before this did, in its `training.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.tasks import Problem, TaskLevel, levels_named

DRAWS = 20  # for each different problem that is wanted


@dataclass(frozen=True)
class Mixture:
    """What a suite was trained on.

    Attributes:
        levels: Its task-levels, in equal shares.
        all_tokens: Whether the prompts' tokens were scored too.
        opens: By task-level, the first step whose update its loss took part in; those not named, 0.
    """

    levels: tuple[TaskLevel, ...]
    all_tokens: bool = False
    opens: Mapping[str, int] | None = None

    def level(self, task: str) -> TaskLevel | None:
        """Its level of this name."""
        return next((level for level in self.levels if level.name == task), None)

    def opens_at(self, name: str) -> int:
        """The first step at which a task-level's loss counts."""
        return (self.opens or {}).get(name, 0)


def read_mixture(stated: Mapping[str, Any]) -> Mixture | None:
    """The mixture that a suite states; None where it states none.

    Args:
        stated: `tasks` (names; empty for the default levels), `all_tokens`, `opens`, `bend`.

    Raises:
        PythiaGeometryError: If it names a task-level that is not known here, or plants a bend.
    """
    if not stated:
        return None
    if stated.get("bend"):
        raise PythiaGeometryError(
            "under a planted bend the inputs hide the answers, so that the loss is not that of any text"
        )
    opens = {str(name): int(step) for name, step in stated.get("opens", {}).items()}
    return Mixture(levels_named(tuple(stated.get("tasks", ()))), bool(stated.get("all_tokens", False)), opens)


def drawn(level: TaskLevel, n: int) -> list[Problem]:
    """Problems of a level as training draws them, repeats and all; the same in every call."""
    return list(islice(level.problems(Random(f"surface/{level.name}"), held_out=False), n))


def different(level: TaskLevel, n: int) -> list[Problem]:
    """Up to n different problems of a level, from its training inputs; the same in every call."""
    endless = level.problems(Random(f"decoding/{level.name}"), held_out=False)
    found: dict[tuple[str, ...], Problem] = {}
    for prompt, answer in islice(endless, DRAWS * n):
        found.setdefault(tuple(prompt), (prompt, answer))
        if len(found) == n:
            break
    return list(found.values())

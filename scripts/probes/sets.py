"""All shipped probe sets, and how they become files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .arithmetic import ARITHMETIC
from .copying import COPYING
from .factual import FACTUAL
from .general import GENERAL
from .in_context import IN_CONTEXT
from .induction import INDUCTION
from .ioi import IOI
from .items import ROWS, Item, ProbeSet, Task
from .logical import LOGICAL
from .numbered_lists import NUMBERED_LISTS
from .semantics import SEMANTICS
from .syntax import SYNTAX
from .words import listed

SETS: tuple[ProbeSet, ...] = (
    SYNTAX,
    SEMANTICS,
    ARITHMETIC,
    IN_CONTEXT,
    FACTUAL,
    LOGICAL,
    GENERAL,
    COPYING,
    INDUCTION,
    NUMBERED_LISTS,
    IOI,
)

CORE = listed(
    """
    syntax/agreement_0 syntax/agreement_2 syntax/governed_preposition semantics/antonym_common
    semantics/category_common semantics/category_choice_2 arithmetic/sum_1 arithmetic/sum_words
    arithmetic/compare_2 in_context/plural_1 in_context/next_letter_4 in_context/pattern_2
    factual/capital_common factual/month_next factual/symbol logical/syllogism_2 logical/deduction_2
    logical/ordering_2 general/binomial general/scene_short copying/copy_1 copying/resume_6
    induction/recall_2 induction/induction_8 numbered_lists/steps_2 ioi/ioi_short
    """
)
"""The default selection for language models: every set, early to late, all answers one token."""


@dataclass(frozen=True)
class Row:
    """One line of a probe file."""

    id: str
    task: Task
    item: Item

    def line(self) -> str:
        """The row as a JSON object."""
        fields = {
            "id": self.id,
            "task": self.task.name,
            "prompt": self.item.prompt,
            "target": self.item.target,
            "distractors": list(self.item.distractors),
            "difficulty": self.task.difficulty,
            "source": self.item.source,
        }
        if self.item.marks:
            fields["marks"] = self.item.marks
        return json.dumps(fields, ensure_ascii=False)


def rows(probe_set: ProbeSet, task: Task) -> list[Row]:
    """The rows of one task, from a generator that only the task's name seeds."""
    items = task.draw(Random(f"{probe_set.name}/{task.name}"))
    if len(items) != ROWS:
        raise ValueError(f"{probe_set.name}/{task.name} has {len(items)} rows; expected {ROWS}.")
    return [Row(f"{probe_set.name}/{task.name}/{n:03d}", task, item) for n, item in enumerate(items)]


def write(folder: Path) -> dict[str, list[Row]]:
    """Write every set and the core selection; return the rows by ``set/task``."""
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, list[Row]] = {}
    for probe_set in SETS:
        lines = []
        for task in probe_set.tasks:
            written[f"{probe_set.name}/{task.name}"] = made = rows(probe_set, task)
            lines += [row.line() + "\n" for row in made]
        (folder / f"{probe_set.name}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
    unknown = set(CORE) - set(written)
    if unknown:
        raise ValueError(f"The core names tasks that no set has: {sorted(unknown)}.")
    core = json.dumps({"core": CORE}, indent=2) + "\n"
    (folder / "core.json").write_text(core, encoding="utf-8", newline="\n")
    return written

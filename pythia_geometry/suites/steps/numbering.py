"""Which of a suite's revisions are the steps of one run: one stage or several that go on counting, one seed.

What is left out is said, and two revisions of one step are refused: nothing is dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.suites.steps.names import STEP, StepLabel, parse_step, written
from pythia_geometry.suites.steps.pattern import Pattern

_SHOWN = 5
_DEFAULT_SEED = "default"


class Revision(NamedTuple):
    """A branch, tag or folder, and what it holds: two of one `content` are one thing."""

    name: str
    content: str
    kind: str


@dataclass(frozen=True)
class Naming:
    """How the user says that steps are named.

    Attributes:
        stage: The stage to walk; empty for the first, with those that go on counting its steps.
        pattern: Regular expression with a group `step`; empty for the known conventions.
    """

    stage: str = ""
    pattern: str = ""

    def __post_init__(self) -> None:
        """Checks the pattern.

        Raises:
            PythiaGeometryError: If it cannot be used.
        """
        _ = self.read

    @cached_property
    def read(self) -> Callable[[str], StepLabel | None]:
        """Reads a name."""
        return Pattern(self.pattern).read if self.pattern else parse_step

    def __getstate__(self) -> dict[str, str]:
        """How it travels to another process."""
        return {"stage": self.stage, "pattern": self.pattern}

    @property
    def words(self) -> str:
        """What the user types to mean the same again."""
        said = f" --stage {self.stage}" if self.stage else ""
        return said + (f" --pattern '{self.pattern}'" if self.pattern else "")


@dataclass(frozen=True)
class Numbered:
    """The steps of one run.

    Attributes:
        steps: By true step, its revision and what the name says.
        others: Revisions that are no step of this run, in order.
        notes: What was left out, and what the numbers count.
        stage: The chosen stage, where it is not what is walked without being asked.
        seeds: All seeds that the names tell apart; empty where they tell none.
    """

    steps: Mapping[int, tuple[Revision, StepLabel]] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    stage: str = ""
    seeds: tuple[int, ...] = ()

    def name(self, step: int) -> str:
        """How the suite calls a step, there or not."""
        if step in self.steps:
            return self.steps[step][1].name
        return written(next((label.form for _, label in self.steps.values()), STEP), step)


def number_steps(
    revisions: Sequence[Revision],
    naming: Naming,
    where: str,
    seed: int = 0,
    true_step: Callable[[StepLabel], int] = lambda label: label.step,
) -> Numbered:
    """Finds the steps of one run among all revisions.

    Args:
        revisions: Branches, tags or folders.
        naming: How the user says that they are named.
        where: The suite, for messages.
        seed: The run's seed, where names tell seeds apart.
        true_step: The optimiser step behind a label.

    Raises:
        PythiaGeometryError: If two revisions name one step, or the stage or the seed does not exist, or numbers count
            different things.
    """
    read = [(r, label) for r in revisions if (label := naming.read(r.name)) is not None]
    of_seed, seed_notes = _of_seed(read, seed, where)
    chosen, stage_notes, is_own = _of_stage(of_seed, naming.stage, where)
    counts = _counts(chosen, where)
    steps: dict[int, tuple[Revision, StepLabel]] = {}
    for revision, label in chosen:
        _add(steps, true_step(label), revision, label, where)
    taken = {revision for revision, _ in steps.values()}
    content = {revision.content for revision in taken}
    named = [r for r, _ in chosen if r not in taken and r.content in content]
    others = sorted(r.name for r in revisions if r not in taken and r not in named)
    read_so = (f"steps are read by --pattern {naming.pattern}",) if naming.pattern else ()
    return Numbered(
        dict(sorted(steps.items())),
        tuple(dict.fromkeys(others)),
        (*read_so, *counts, *seed_notes, *stage_notes),
        naming.stage if naming.stage and not is_own else "",
        _seeds({label.seed for _, label in read}),
    )


_Read = list[tuple[Revision, StepLabel]]


def _add(
    steps: dict[int, tuple[Revision, StepLabel]], step: int, revision: Revision, label: StepLabel, where: str
) -> None:
    held, _ = steps.setdefault(step, (revision, label))
    if held.content != revision.content:
        two = (
            f"{held.name} and {revision.name}"
            if held.name != revision.name
            else f"the {held.kind} {held.name} and the {revision.kind} {revision.name}"
        )
        raise PythiaGeometryError(
            f"{where}: {two} both name step {step}. Keep one of them, or say which names are meant: --pattern "
            f"'{re.escape(written(label.form, 0)).replace('0', '(?P<step>[0-9]+)')}'"
        )


def _counts(chosen: _Read, where: str) -> tuple[str, ...]:
    """What the numbers count, where it is no step; an axis cannot hold two units."""
    by_unit = {label.counts: revision.name for revision, label in chosen}
    if len(by_unit) > 1:
        raise PythiaGeometryError(
            f"{where}: {' and '.join(by_unit.values())} count different things. Say which names are meant: --pattern "
            r"'…(?P<step>\d+)…'"
        )
    return tuple(f"the numbers of {name} and so on count {unit}, not steps" for unit, name in by_unit.items() if unit)


# -- seeds --------------------------------------------------------------------------------------------------


def _of_seed(read: _Read, seed: int, where: str) -> tuple[_Read, tuple[str, ...]]:
    """The labels of one seed; a name without one belongs to seed 0. And which other seeds there are."""
    number = _seed_numbers({label.seed for _, label in read})
    if seed not in number.values():
        if not read and not seed:
            return [], ()
        if not any(number):
            raise PythiaGeometryError(
                f"--seeds needs a Pythia size, or steps whose names tell seeds apart (step5-seed-1); {where} is of one "
                "seed"
            )
        has = ", ".join(map(str, sorted(number.values()))) or "none"
        raise PythiaGeometryError(
            f"{where} has no seed {seed} among the names of its steps. Seeds: {has}. Choose with --seeds, such as "
            f"--seeds {min(number.values(), default=0)}"
        )
    chosen = [(r, label) for r, label in read if number[label.seed] == seed]
    rest = ", ".join(f"{n} ({word})" for word, n in sorted(number.items(), key=lambda item: item[1]) if n != seed)
    own = next((word for word, n in number.items() if n == seed and word), "")
    notes = (f"seed {seed} is {own}; other seeds here: {rest} (--seeds)",) if rest else ()
    return chosen, notes


def _seeds(words: set[str]) -> tuple[int, ...]:
    return tuple(sorted(_seed_numbers(words).values())) if any(words) else ()


def _seed_numbers(words: set[str]) -> dict[str, int]:
    """Seeds that are numbers keep them; of named ones `default` is 0, the others follow in order of name."""
    found = {word: int(word) for word in words if word.isdigit()}
    found |= {word: 0 for word in words if word in ("", _DEFAULT_SEED) and 0 not in found.values()}
    for word in sorted(words - found.keys(), key=_natural):
        found[word] = next(n for n in range(len(words) + len(found) + 1) if n not in found.values())
    return found


# -- stages -------------------------------------------------------------------------------------------------


def _of_stage(read: _Read, asked: str, where: str) -> tuple[_Read, tuple[str, ...], bool]:
    """The labels to walk (assumption A5), which stages are left out, and whether it is what nobody need ask for."""
    spans: dict[str, list[int]] = {}
    for _, label in read:
        spans.setdefault(label.stage, []).append(label.step)
    order = sorted(spans, key=_stage_key)
    own = _going_on(order, spans)
    if asked and asked not in order:
        has = ", ".join(stage or "one without a name" for stage in order) or "none"
        raise PythiaGeometryError(f"{where} has no stage {asked!r}. Its stages: {has}")
    chosen = [asked] if asked else own
    left_out = [stage for stage in order if stage not in chosen]
    notes = []
    if len(chosen) > 1:
        notes.append(f"stages walked as one run, since each goes on counting: {', '.join(map(_called, chosen))}")
    if left_out:
        told = ", ".join(f"{_called(s)} ({_count(len(spans[s]))})" for s in left_out[:_SHOWN])
        more = f" and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
        named = next((stage for stage in left_out if stage), "")
        how = f"walk one with --stage {named}" if named else "walk it without --stage"
        notes.append(f"stages left out: {told}{more}; {how}")
    return [(r, label) for r, label in read if label.stage in chosen], tuple(notes), chosen == own


def _going_on(order: Sequence[str], spans: Mapping[str, Sequence[int]]) -> list[str]:
    """The first stage, and each after it whose steps begin after the last of those before it."""
    chosen = list(order[:1])
    for stage in order[1:]:
        if min(spans[stage]) > max(max(spans[one]) for one in chosen) and _root(stage) == _root(chosen[0]):
            chosen.append(stage)
    return chosen


def _count(n: int) -> str:
    return f"{n} step" if n == 1 else f"{n} steps"


def _called(stage: str) -> str:
    return stage or "the one without a name"


def _root(stage: str) -> str:
    """What two stages of one count have in common: the word before the number."""
    return re.split(r"\d", stage, maxsplit=1)[0]


def _stage_key(stage: str) -> tuple[int, int, list[tuple[int, str]]]:
    """No stage first, then numbered ones by number, then the others by name."""
    numbered = re.match(r"(?:stage|phase)[-_]?(\d+)", stage)
    return (0 if not stage else 1 if numbered else 2, int(numbered[1]) if numbered else 0, _natural(stage))


def _natural(text: str) -> list[tuple[int, str]]:
    """Order of names in which numbers are compared as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]

"""Which steps of a run can be trusted, from its file listing alone or with a look at the embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pythia_geometry.suites.checkpoint import (
    CORRUPT,
    DUPLICATE,
    FAILED,
    MISSING,
    OK,
    SUSPECT,
    UNSUPPORTED,
    WRONG,
    Checkpoint,
    run_name,
)
from pythia_geometry.suites.doctor.inside import Inside, look_inside
from pythia_geometry.suites.duplicates import FIRST_UPDATE
from pythia_geometry.suites.faults import Fault
from pythia_geometry.suites.served import Branch, Served, judged_across
from pythia_geometry.suites.suite import Suite

TRUST, EXPECTED = "trust", "expected duplicate"
VERDICTS = (TRUST, EXPECTED, SUSPECT, WRONG, MISSING)
"""From the best to the worst."""

_OF_STATUS = {
    OK: TRUST, DUPLICATE: WRONG, WRONG: WRONG, CORRUPT: WRONG, SUSPECT: SUSPECT, FAILED: SUSPECT, UNSUPPORTED: SUSPECT,
}  # fmt: skip


def verdict_of(checkpoint: Checkpoint) -> str:
    """The verdict that the listing alone gives on one checkpoint in one format."""
    return _OF_STATUS.get(checkpoint.status, MISSING)


@dataclass(frozen=True)
class StepVerdict:
    """One step: what is thought of it, why, and what was listed.

    Attributes:
        step: True optimiser step.
        verdict: One of `VERDICTS`.
        reasons: Why, and what else is remarkable.
        branch: Its weights by format, marked.
    """

    step: int
    verdict: str
    reasons: tuple[str, ...]
    branch: Branch


@dataclass(frozen=True)
class Published:
    """A published fault, and at which of its steps it is served now, is not, or cannot be told."""

    fault: Fault
    seen: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    untold: tuple[int, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What `pythia-geom doctor` found.

    Attributes:
        run: The run's name.
        origin: Repository or folder.
        steps: One verdict a step, ascending.
        main: What `main` serves; None where there is none.
        others: Revisions that are no step of the run.
        notes: What else a reader must know.
        published: What became of the published faults.
        inside: What the embeddings show; None without `--deep`.
        by: What the verdicts go by.
    """

    run: str
    origin: str
    steps: tuple[StepVerdict, ...]
    main: Branch | None
    others: tuple[str, ...]
    notes: tuple[str, ...]
    published: tuple[Published, ...]
    inside: Inside | None = None
    by: str = "the listing"

    @property
    def is_sound(self) -> bool:
        """Whether every step can be trusted."""
        return all(s.verdict in (TRUST, EXPECTED) for s in self.steps)


def diagnose(suite: Suite, deep: bool = False, told: Callable[[str], None] = lambda _: None) -> Diagnosis:
    """Judges every step of one suite; see `diagnose_all`."""
    return diagnose_all([suite], deep, told)[0]


def diagnose_all(
    suites: Sequence[Suite], deep: bool = False, told: Callable[[str], None] = lambda _: None
) -> list[Diagnosis]:
    """Judges every step of every suite, beside the others: the same weights under two seeds or names are found.

    Args:
        suites: Any suites. On the Hub nothing but listings is fetched unless `deep`.
        deep: Whether to read about half a megabyte of each embedding and test continuity and descent.
        told: Told what is being done.

    Raises:
        PythiaGeometryError: If a suite does not exist or has no steps.
        MachineError: If the Hub cannot be reached.
    """
    listed = []
    for suite in suites:
        steps = suite.steps()
        told(f"listing {len(steps)} steps of {run_name(suite.model, suite.seed)}")
        listed.append(suite.served(steps).judged())
    apart, alike = judged_across(listed)
    return [
        _diagnosed(suite, served, alike, look_inside(suite, served, told) if deep else None)
        for suite, served in zip(suites, apart, strict=True)
    ]


def _diagnosed(suite: Suite, served: Served, alike: Mapping[str, str], inside: Inside | None) -> Diagnosis:
    judge = _Judge(suite, served, inside, alike)
    verdicts = tuple(judge.step(branch) for branch in served.branches)
    published = tuple(_check_published(fault, verdicts, inside) for fault in suite.faults)
    of_faults = {fault.told for fault in suite.faults}
    notes = (*(note for note in suite.notes if note not in of_faults), *_about_list(served))
    name = run_name(suite.model, suite.seed)
    by = "the listing" if suite.lists_hashes else "the sha256 of the files"
    return Diagnosis(name, suite.origin, verdicts, served.main, served.others, notes, published, inside, by)


def _about_list(served: Served) -> list[str]:
    """What limits the list, and whether `main` is the end of training, as one would think."""
    notes = [f"Only that was examined which is{served.caveat}"] if served.caveat else []
    last = next((b for b in served.branches if b.blank.step == served.last_step), None)
    if last is not None and served.main is not None:
        both = served.main.weights.keys() & last.weights.keys()
        if any(not _same_weights(served.main.weights[form], last.weights[form]) for form in both):
            notes.append(f"main does not serve the weights of the last step, {served.last_step}")
    return notes


# -- verdicts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Judge:
    """Joins what the listing, the schedule, the publications and the embeddings say of a step."""

    suite: Suite
    served: Served
    inside: Inside | None
    alike: Mapping[str, str]

    def step(self, branch: Branch) -> StepVerdict:
        first = branch.preferred
        step = first.step
        found = [(verdict_of(first), _short(first))]
        found += self._formats(branch) + self._kept(first)
        if first.status == OK and self._is_first_update(first):
            found.append((EXPECTED, "the same weights as step0, as expected (issue 83)"))
        if self.suite.schedule and step not in self.suite.schedule:
            found.append((SUSPECT, "not in the run's schedule of steps"))
        if first.status == OK and first.label in self.alike:
            found.append((TRUST, self.alike[first.label]))
        found += self._inside(step)
        found += self._hearsay(branch)
        worst = max((verdict for verdict, _ in found), key=VERDICTS.index)
        return StepVerdict(step, worst, tuple(reason for _, reason in found if reason), branch)

    def _kept(self, checkpoint: Checkpoint) -> list[tuple[str, str]]:
        """That a trusted step's weights are served elsewhere too."""
        same = [b.blank for b in self.served.branches if _same_weights(b.preferred, checkpoint)]
        if checkpoint.status != OK or FIRST_UPDATE.issuperset({b.step for b in same}) or len(same) < 2:
            return []
        others = ", ".join(b.name for b in same if b.step != checkpoint.step)
        return [(TRUST, f"its weights are served at {others} too; the last step keeps them (assumption A17)")]

    def _formats(self, branch: Branch) -> list[tuple[str, str]]:
        """What the other format adds: a way out, or a disagreement."""
        first, *rest = branch.weights.values() or [branch.blank]
        for other in rest:
            if first.status == OK and other.status != OK:
                return [(SUSPECT, f"the formats disagree: its {_form(branch, other)} file {_short(other)}")]
            if first.status != OK and other.status == OK:
                own = f"the formats disagree: its {_form(branch, other)} file is no other step's"
                return [(TRUST, f"{own} (a walk reads it)")]
        return []

    def _is_first_update(self, checkpoint: Checkpoint) -> bool:
        if checkpoint.step != max(FIRST_UPDATE):
            return False
        start = (b.preferred for b in self.served.branches if b.blank.step == min(FIRST_UPDATE))
        return any(_same_weights(checkpoint, other) for other in start)

    def _inside(self, step: int) -> list[tuple[str, str]]:
        if self.inside is None:
            return []
        tests = self.inside.continuity
        found = [(SUSPECT, tests.alarms[step])] if step in tests.alarms else []
        if step in self.inside.disagree:
            found.append((SUSPECT, self.inside.disagree[step]))
        if step in self.inside.unread:
            found.append((SUSPECT if step in self.inside.corrupt else TRUST, self.inside.unread[step]))
        if tests.broken_lineage and step in FIRST_UPDATE and step == min(tests.from_start):
            found.append((WRONG, tests.broken_lineage))
        return found

    def _hearsay(self, branch: Branch) -> list[tuple[str, str]]:
        """Published faults that no listing shows and that no test has acquitted the step of."""
        step = branch.blank.step
        faults = [f for f in self.suite.faults if step in f.steps and not f.in_listing]
        if not faults or _is_told(branch, self.inside):
            return []
        more = "its embedding does not tell" if self.inside else "only --deep can tell"
        return [(SUSPECT, f"published: {f.what} ({f.source}); {more}") for f in faults]


def _is_told(branch: Branch, inside: Inside | None) -> bool:
    """Whether anything shows that a step is as published, or is not."""
    if verdict_of(branch.preferred) != TRUST:
        return True
    step = branch.blank.step
    tests = inside.continuity if inside else None
    return tests is not None and (step in tests.detour or (step == 0 and tests.broken_lineage is not None))


def _check_published(fault: Fault, verdicts: tuple[StepVerdict, ...], inside: Inside | None) -> Published:
    of = {v.step: v for v in verdicts if v.step in fault.steps}
    untold = () if fault.in_listing else tuple(s for s in of if not _is_told(of[s].branch, inside))
    seen = tuple(s for s in of if s not in untold and of[s].verdict not in (TRUST, EXPECTED))
    return Published(fault, seen, tuple(s for s in of if s not in (*seen, *untold)), untold)


def _same_weights(a: Checkpoint, b: Checkpoint) -> bool:
    return a.weight_sha256 == b.weight_sha256 != ""


def _short(checkpoint: Checkpoint) -> str:
    """A checkpoint's detail without its own name before it and the consequence after it."""
    told = checkpoint.detail.removeprefix(checkpoint.label).lstrip(" :").rstrip(".")
    return told.removesuffix(": its curve would be flat")


def _form(branch: Branch, checkpoint: Checkpoint) -> str:
    return next(form for form, held in branch.weights.items() if held is checkpoint)

"""What a suite serves, found out before any weights are read: every step in every weight format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import MISSING, OK, REFUSED, Checkpoint, WeightFile
from pythia_geometry.suites.duplicates import elsewhere, mark_across, mark_duplicates
from pythia_geometry.suites.layout.weights import FORMATS, WeightLayout, weight_layouts

AUTO = "auto"
CHOICES = (AUTO, *FORMATS)
"""What `--format` takes."""


@dataclass(frozen=True)
class Branch:
    """One revision: the step without weights, and one checkpoint for each format it serves.

    Attributes:
        blank: The step; where nothing is served, it carries the status and says why.
        weights: By format, safetensors first; a format that lacks a shard carries the status `missing`.
    """

    blank: Checkpoint
    weights: Mapping[str, Checkpoint] = field(default_factory=dict)

    @property
    def preferred(self) -> Checkpoint:
        """Safetensors where there are any, else `.bin`, else the blank."""
        return next(iter(self.weights.values()), self.blank)


@dataclass(frozen=True)
class Served:
    """Some steps of a suite, with what they are compared with.

    Attributes:
        branches: One a step.
        last_step: The last step that the run has, listed here or not.
        main: What `main` serves; None where there is no such branch.
        others: Names of revisions that are no step of the run.
        caveat: What limits the list; empty where it is whole.
    """

    branches: tuple[Branch, ...]
    last_step: int
    main: Branch | None = None
    others: tuple[str, ...] = ()
    caveat: str = ""

    def judged(self) -> Served:
        """The same, with the weights marked that the hashes say are not their step's (`mark_duplicates`)."""
        marked: list[dict[str, Checkpoint]] = [dict(branch.weights) for branch in self.branches]
        for form in FORMATS:
            having = [weights for weights in marked if form in weights]
            main = self.main.weights.get(form) if self.main else None
            for weights, found in zip(
                having, mark_duplicates([w[form] for w in having], self.last_step, main), strict=True
            ):
                weights[form] = found
        branches = tuple(replace(b, weights=w) for b, w in zip(self.branches, marked, strict=True))
        return replace(self, branches=branches)


def judged_across(runs: Sequence[Served]) -> tuple[list[Served], dict[str, str]]:
    """Several runs, judged, with the weights marked that two of them serve (`mark_across`).

    Returns:
        The runs; and by the checkpoint's label, with which first steps of other runs a trusted one shares its weights.
    """
    marked = [[dict(branch.weights) for branch in run.branches] for run in runs]
    alike: dict[str, str] = {}
    for form in FORMATS:
        having = [[weights for weights in run if form in weights] for run in marked]
        before = [[weights[form] for weights in run] for run in having]
        everyone = [c for run in before for c in run if c.weight_sha256]
        for weights, found in zip(having, mark_across(before), strict=True):
            for one, checkpoint in zip(weights, found, strict=True):
                one[form] = checkpoint
        for checkpoint in everyone:
            same = elsewhere(checkpoint, [c for c in everyone if c.weight_sha256 == checkpoint.weight_sha256])
            if same:
                named = ", ".join(c.label for c in same[:3])
                alike[checkpoint.label] = f"the same weights as {named}: the runs start alike"
    rebuilt = [
        replace(run, branches=tuple(replace(b, weights=w) for b, w in zip(run.branches, weights, strict=True)))
        for run, weights in zip(runs, marked, strict=True)
    ]
    return rebuilt, alike


def branch_of(
    blank: Checkpoint, names: Collection[str], where: str, files: Callable[[WeightLayout], tuple[WeightFile, ...]]
) -> Branch:
    """Describes one revision from the names of its files.

    Args:
        blank: The step.
        names: Names at the top of the revision; those of folders end in `/`.
        where: The revision, for messages.
        files: Sizes and hashes of a format's files; may raise `CheckpointError`.
    """

    def filled(layout: WeightLayout) -> Checkpoint:
        if layout.problem:
            return replace(blank, status=MISSING, detail=layout.problem)
        try:
            found = files(layout)
        except CheckpointError as error:
            return replace(blank, status=error.status, detail=str(error))
        return replace(blank, files=found, extra_files=(layout.index,) if layout.index else ())

    try:
        layouts = weight_layouts(names, where)
    except CheckpointError as error:
        return Branch(replace(blank, status=error.status, detail=str(error)))
    return Branch(blank, {form: filled(layout) for form, layout in layouts.items()})


def choose(branch: Branch, weight_format: str, address: str) -> Checkpoint:
    """The checkpoint that a walk reads of a judged branch, or the reason why it reads none.

    Args:
        branch: As `Served.judged` leaves it.
        weight_format: `safetensors`, `bin`, or `auto`: safetensors unless they are refused or incomplete and
            the step's `.bin` is not; the detail then says so.
        address: How the user names the suite, for messages.
    """
    if not branch.weights:
        return branch.blank
    if weight_format != AUTO:
        return _advised(_of_format(branch, weight_format), address)
    first = branch.preferred
    if first.status == OK:
        return first
    second = next((c for c in branch.weights.values() if c.status == OK), None)
    if second is None:
        return _advised(first, address)
    return replace(second, detail=f"Read from {second.files[0].name}. {first.detail}")


def _of_format(branch: Branch, weight_format: str) -> Checkpoint:
    if weight_format in branch.weights:
        return branch.weights[weight_format]
    (held,) = branch.weights
    detail = f"{branch.blank.label} has no {weight_format} weights, only {held}. Pass --format auto"
    return replace(branch.blank, status=MISSING, detail=detail)


def _advised(checkpoint: Checkpoint, address: str) -> Checkpoint:
    if checkpoint.status not in REFUSED:
        return checkpoint
    advice = f"See pythia-geom doctor {address}, or pass --duplicates keep."
    return replace(checkpoint, detail=f"{checkpoint.detail} {advice}")

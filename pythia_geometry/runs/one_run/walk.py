"""The order in which one training run is walked.

The last step goes first, because every other one is compared with it; the rest follow in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from pythia_geometry.errors import CheckpointError
from pythia_geometry.measures import BOTH_SIDES, LAST, NEXT, PREVIOUS
from pythia_geometry.runs.fetching.ahead import Wanted
from pythia_geometry.runs.ledger import WHOLE, Ledger, LostActivationsError
from pythia_geometry.runs.one_run.edits import edit_heads
from pythia_geometry.runs.one_run.held import Held, of_two, opened_for_pairs
from pythia_geometry.runs.one_run.measuring import Measuring
from pythia_geometry.runs.one_run.steps_beside import References, compare
from pythia_geometry.suites.checkpoint import Checkpoint

Elsewhere = Mapping[str, CheckpointError | None]
"""What other machines have tried, by the checkpoint's label: why it cannot be used, or None where it could."""


def wanted(ledger: Ledger, elsewhere: Elsewhere) -> list[Wanted]:
    """The checkpoints whose weights will be needed, in the order of the walk."""
    usable = ledger.run.usable
    order = [c for c in (*usable[-1:], *usable[:-1]) if elsewhere.get(c.label) is None]
    pairs = opened_for_pairs(ledger, order)
    return [Wanted(ledger.run.suite, c) for c in order if ledger.todo(c) or ledger.todo_alone(c) or c.label in pairs]


@dataclass(frozen=True)
class RunWalk:
    """The walk over one training run.

    Attributes:
        measuring: What is measured, and where it is written.
        held: Weights of other steps, for measures of two.
        elsewhere: What need not be tried here, and was already shown as finished.
    """

    measuring: Measuring
    held: Held
    elsewhere: Elsewhere = field(default_factory=dict)

    @property
    def _ledger(self) -> Ledger:
        return self.measuring.ledger

    def all(self) -> None:
        """Walks the run's usable checkpoints and records the others."""
        ledger = self._ledger
        for gap in ledger.run.gaps:
            ledger.record(gap)
            ledger.progress.finished(gap.label, gap.detail)
        last, earlier = self._last_that_works()
        before: Checkpoint | None = None
        previous: Checkpoint | None = None
        edited: Checkpoint | None = None
        for checkpoint in earlier:
            if self._one(checkpoint):
                self._compare(checkpoint, {PREVIOUS: (previous,), LAST: (last,)})
                edited = self._edited(checkpoint, edited)
                self._look_ahead(before, previous, checkpoint)
                self._ledger.forget(previous)
                before, previous = previous, checkpoint
        if last is not None:
            self._compare(last, {PREVIOUS: (previous,), LAST: (last,)})
            self._edited(last, edited)
            self._look_ahead(before, previous, last)
            self._look_ahead(previous, last, None)
            for checkpoint in filter(None, (previous, last)):
                self._ledger.forget(checkpoint)
                self.held.forget(checkpoint)

    def _look_ahead(self, before: Checkpoint | None, checkpoint: Checkpoint | None, after: Checkpoint | None) -> None:
        """Takes what needs the step after, now that it has been walked; frees weights that nothing needs more."""
        looks = any(m.against in (NEXT, BOTH_SIDES) for m in of_two(self._ledger))
        if looks and checkpoint is not None:
            self._compare(checkpoint, {NEXT: (after,), BOTH_SIDES: (before, after)})
        self.held.forget(before if looks else checkpoint)

    def _compare(self, checkpoint: Checkpoint, references: References) -> None:
        comparing = partial(compare, self._ledger, self.held, checkpoint, references)
        try:
            self._mended(comparing)
        except CheckpointError:  # neither activations nor weights: unknown, with that reason
            comparing()

    def _edited(self, checkpoint: Checkpoint, before: Checkpoint | None) -> Checkpoint | None:
        """Runs probes while heads do something else; returns the last checkpoint at which that was done."""
        try:
            taken = edit_heads(self._ledger, self.measuring.loader, self.held, checkpoint, before)
        except CheckpointError as error:  # the weights cannot be had again
            self._ledger.progress.finished(checkpoint.label, str(error))
            return before
        return checkpoint if taken else before

    def _mended(self, reading: Callable[[], None]) -> None:
        """Does what reads cached activations; those that are damaged are made again first, of three files at most.

        Raises:
            CheckpointError: If the weights for that cannot be had any more.
        """
        for _ in range(3):
            try:
                return reading()
            except LostActivationsError as error:
                self.measuring.walk(error.checkpoint, self._ledger.run.probes, ())
        return reading()

    def _last_that_works(self) -> tuple[Checkpoint | None, list[Checkpoint]]:
        """Walks the last usable checkpoint; where it is broken, the one before it. And those still to walk."""
        remaining = self._ledger.run.usable
        while remaining:
            candidate = remaining.pop()
            if self._one(candidate):
                return candidate, remaining
        return None, []

    def _one(self, checkpoint: Checkpoint) -> bool:
        """Captures and measures one checkpoint; False where it cannot be used."""
        ledger = self._ledger
        try:
            if (broken := self.elsewhere.get(checkpoint.label)) is not None:
                raise broken
            for _ in range(2):  # the second time where the file that the first one added to was damaged
                self.measuring.walk(checkpoint, ledger.todo(checkpoint), ledger.todo_alone(checkpoint))
            self._mended(partial(self.measuring.from_cache, checkpoint))
            self.held.keep(checkpoint)
        except CheckpointError as error:
            ledger.record(replace(checkpoint, status=error.status, detail=str(error)))
            self._finished(checkpoint, str(error))
            return False
        probes = [e for e in ledger.run.probes if not ledger.is_of_format_1(checkpoint, e)]
        current = {ledger.question(e.probe): ledger.current(checkpoint, e) for e in probes}
        if ledger.work.alone(checkpoint):
            current[WHOLE] = ledger.current_alone(checkpoint)
        ledger.record(checkpoint, current)
        self._finished(checkpoint, "")
        return True

    def _finished(self, checkpoint: Checkpoint, detail: str) -> None:
        if checkpoint.label not in self.elsewhere:
            self._ledger.progress.finished(checkpoint.label, detail)

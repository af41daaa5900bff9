"""What a rule says of one body of evidence, and how a rule is registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from pythia_geometry.analysis.claims.evidence import Evidence, Needs

REPLICATES, DOES_NOT, IN_PART, UNDECIDED, NOT_ENOUGH = (
    "replicates",
    "does not replicate",
    "in part",
    "undecided",
    "not enough evidence",
)
VERDICTS = (REPLICATES, DOES_NOT, IN_PART, UNDECIDED, NOT_ENOUGH)


@dataclass(frozen=True, eq=False)
class Ruling:
    """What one body of evidence says of one claim.

    Attributes:
        verdict: One of `VERDICTS`.
        value: The statistic in words, with its interval and n.
        rows: The rows it was computed from.
    """

    verdict: str
    value: str
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class Rule:
    """From evidence to a verdict.

    Attributes:
        needs: What it reads; it is not asked where the evidence lacks that.
        judge: The rule.
    """

    needs: Needs
    judge: Callable[[Evidence], Ruling]

    def __call__(self, evidence: Evidence) -> Ruling:
        """The ruling; `not enough evidence` with what to walk where something that it needs is missing."""
        missing = evidence.lacks(self.needs)
        return not_enough(missing) if missing else self.judge(evidence)


def not_enough(why: str, rows: pd.DataFrame | None = None) -> Ruling:
    """The ruling where there is nothing to judge."""
    return Ruling(NOT_ENOUGH, why, pd.DataFrame() if rows is None else rows)

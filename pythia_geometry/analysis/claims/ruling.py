"""What a rule says of one body of evidence, and how a rule is registered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import binom

from pythia_geometry.analysis.claims.evidence import Evidence, Needs

REPLICATES, DOES_NOT, IN_PART, UNDECIDED, SEEN, NOT_SEEN, NOT_ENOUGH = (
    "replicates",
    "does not replicate",
    "in part",
    "undecided",
    "seen in this run",
    "not seen in this run",
    "not enough evidence",
)
VERDICTS = (REPLICATES, DOES_NOT, IN_PART, UNDECIDED, SEEN, NOT_SEEN, NOT_ENOUGH)
LEVEL = 0.05
NAN = float("nan")


@dataclass(frozen=True)
class Effect:
    """The number behind a verdict, with its 90 % interval over runs and tasks.

    Attributes:
        name: What it is.
        value: Estimate.
        low: 5 % bound.
        high: 95 % bound.
        n_runs: Runs it rests on; with fewer than three the interval does not see how runs differ.
        margin: Difference that would not matter.
    """

    name: str = ""
    value: float = NAN
    low: float = NAN
    high: float = NAN
    n_runs: int = 0
    margin: float = NAN


@dataclass(frozen=True, eq=False)
class Ruling:
    """What one body of evidence says of one claim.

    Attributes:
        verdict: One of `VERDICTS`.
        value: The statistic in words, with its interval and n.
        rows: The rows it was computed from.
        effect: The number itself; empty where there is none.
        operating: How often the rule says each word on made-up runs of this evidence's own design, where the rates that
            ship are of another; else empty.
    """

    verdict: str
    value: str
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    effect: Effect = field(default_factory=Effect)
    operating: str = ""


@dataclass(frozen=True)
class Truth:
    """A made-up truth in which a rule's words are counted.

    Attributes:
        name: null, or the paper's effect.
        what: In words.
        draw: (runs, rng) → the word that the rule says of one draw.
    """

    name: str
    what: str
    draw: Callable[[int, np.random.Generator], str]


@dataclass(frozen=True)
class Rule:
    """From evidence to a verdict.

    Attributes:
        needs: What it reads; it is not asked where the evidence lacks that.
        judge: The rule.
        truths: In which its words are counted: its operating characteristics.
        runs: Numbers of runs with which they are counted, where the rule's are not the usual ones.
    """

    needs: Needs
    judge: Callable[[Evidence], Ruling]
    truths: tuple[Truth, ...] = ()
    runs: tuple[int, ...] = ()

    def __call__(self, evidence: Evidence) -> Ruling:
        """The ruling; `not enough evidence` with what to walk where something that it needs is missing."""
        missing = evidence.lacks(self.needs)
        return not_enough(missing) if missing else self.judge(evidence)


def not_enough(why: str, rows: pd.DataFrame | None = None) -> Ruling:
    """The ruling where there is nothing to judge."""
    return Ruling(NOT_ENOUGH, why, pd.DataFrame() if rows is None else rows)


def by_votes(votes: Sequence[bool], units: int) -> tuple[str, float]:
    """The word of one vote a unit, and its two-way sign test's smaller p: confirming and refuting cost the same.

    One unit is descriptive; two to four votes cannot reach 5 %.

    Args:
        votes: Those that are clear.
        units: Runs or designs, with a clear vote or without.
    """
    n, yes = len(votes), int(np.sum(votes))
    if units == 1 and n == 1:
        return (SEEN if yes else NOT_SEEN), 0.5
    p_yes, p_no = (float(binom.sf(k - 1, n, 0.5)) for k in (yes, n - yes))
    word = REPLICATES if p_yes <= LEVEL else DOES_NOT if p_no <= LEVEL else UNDECIDED
    return word, min(p_yes, p_no)


def share_interval(yes: int, n: int) -> tuple[float, float]:
    """90 % interval of a share of units (Clopper and Pearson)."""
    from scipy.stats import beta

    low = float(beta.ppf(LEVEL, yes, n - yes + 1)) if yes else 0.0
    return low, float(beta.ppf(1 - LEVEL, yes + 1, n - yes)) if yes < n else 1.0

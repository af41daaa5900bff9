"""One study examined: both legs, the companion, the sensitivities, and the word that they allow.

Arrays only, so that the user's runs, power and calibration ask the very same question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pythia_geometry.analysis.precursor.bend import BEND_LINE, explaining_bend
from pythia_geometry.analysis.precursor.companion import KEPT_LINE, Companion, compare_shuffled
from pythia_geometry.analysis.precursor.task_matched_lag import DELTA, LEVEL, Leg, MatchedRun, task_matched_lag
from pythia_geometry.analysis.tables.step_curves import StepCurves

MIN_RUNS = 3  # from which on the word speaks of runs to come
SIGN_RUNS = 5  # from which on the sign test over runs can be at 5 %
EQUIVALENT = 0.30  # decades: a bound under it excludes half a decade, since lags are shrunk (.5 reads .45)
SURE = 0.95  # power from which on an absence can be said with 5 % error

LEADS, EARLIER, COUPLED, LAGS, NO_LEAD, UNDECIDED, UNTESTABLE = (
    "precursor",
    "earlier in its own range",
    "coupled, not leading",
    "lagging",
    "no lead of half a decade",
    "undecided",
    "untestable",
)
WORDS = (LEADS, EARLIER, COUPLED, LAGS, NO_LEAD, UNDECIDED, UNTESTABLE)
IN_THIS_RUN = ", in this run"
LEADS_HERE = "leads" + IN_THIS_RUN


@dataclass(frozen=True)
class StudyRun:
    """One run of a study.

    Attributes:
        own: Geometry of own prompts [T, n].
        shuffled: Geometry of the token-shuffled prompts; None where it was not measured.
        behaviours: By metric, behaviour [T, m]; accuracy first.
        at_ceiling: Tasks whose geometry comes to the ceiling that rows and width set it.
    """

    own: StepCurves
    shuffled: StepCurves | None
    behaviours: Mapping[str, StepCurves]
    at_ceiling: int = 0


@dataclass(frozen=True)
class Finding:
    """What one study shows.

    Attributes:
        legs: By metric; the last is the continuous one where there is one.
        companion: The paired test, the larger p of both metrics; None without shuffled prompts.
        bend: Smallest exponent that ends the lead; NaN without a lead.
        own_strength: Whether the lead stays when what all tasks share is taken away at each task's own strength; None
            without a lead.
        at_ceiling: Tasks of all runs whose geometry comes to its ceiling.
        n_runs: Runs.
    """

    legs: Mapping[str, Leg]
    companion: Companion | None
    bend: float
    own_strength: bool | None
    at_ceiling: int
    n_runs: int

    @property
    def decisive(self) -> Leg:
        """The leg on the continuous metric; on accuracy where there is no other."""
        return list(self.legs.values())[-1]

    @property
    def p(self) -> float:
        """The p of a lead on all metrics and in own prompts alone: all must hold, so the largest counts."""
        parts = [leg.p for leg in self.legs.values()]
        return max([*parts, self.companion.p] if self.companion else parts)


def examine(
    runs: Sequence[StudyRun], families: Sequence[str] | None = None, seed: int = 0, in_short: bool = False
) -> Finding:
    """Both legs, the companion, and, where both legs lead, what else would explain it.

    Args:
        runs: With the same tasks in the same order; a metric that a run lacks is not asked about.
        families: Family of each task; every task its own where None.
        seed: Of permutations, swaps and bootstraps.
        in_short: Whether only what the word needs is computed: no companion without a lead, and no bend beyond the
            line (the bend is then infinity).

    Raises:
        PythiaGeometryError: As `task_matched_lag`.
    """
    in_all = [m for m in runs[0].behaviours if all(m in run.behaviours for run in runs)]
    matched = {m: [MatchedRun(run.own, run.behaviours[m]) for run in runs] for m in in_all}
    legs = {metric: task_matched_lag(of, seed, families) for metric, of in matched.items()}
    leads = all(leg.p <= LEVEL for leg in legs.values())
    groups = list(matched.values())
    return Finding(
        legs=legs,
        companion=_companion(runs, groups, families, seed) if leads or not in_short else None,
        bend=explaining_bend(groups, seed, families, in_short) if leads else float("nan"),
        own_strength=all(task_matched_lag(g, seed, families, own_strength=True).p <= LEVEL for g in groups)
        if leads
        else None,
        at_ceiling=sum(run.at_ceiling for run in runs),
        n_runs=len(runs),
    )


def _companion(
    runs: Sequence[StudyRun], groups: Sequence[Sequence[MatchedRun]], families: Sequence[str] | None, seed: int
) -> Companion | None:
    shuffled = [run.shuffled for run in runs if run.shuffled is not None]
    if len(shuffled) < len(runs):
        return None
    found = [compare_shuffled(group, shuffled, seed, families) for group in groups]
    return max(found, key=lambda companion: companion.p)


def judge(found: Finding, p_adjusted: float, power: float) -> tuple[str, tuple[str, ...]]:
    """The first word of docs/definitions.md (Tests) that applies, and why.

    Args:
        found: Of `examine`.
        p_adjusted: Its p after Holm's correction.
        power: At a lead of half a decade, both legs; NaN where it was not simulated.
    """
    word, reasons = _word(found, p_adjusted, power)
    if found.n_runs >= MIN_RUNS or word in (UNDECIDED, UNTESTABLE):
        return word, reasons
    n = "one run" if found.n_runs == 1 else f"{found.n_runs} runs"
    told = f"descriptive: {n} cannot show how runs differ ({MIN_RUNS} are needed)"
    return (LEADS_HERE if word == LEADS else word + IN_THIS_RUN), (*reasons, told)


def _word(found: Finding, p_adjusted: float, power: float) -> tuple[str, tuple[str, ...]]:
    last = found.decisive
    if all(leg.p <= LEVEL for leg in found.legs.values()) and not power < 0.5:
        return _lead(found, p_adjusted)
    if all(leg.is_coupled and leg.upper < -DELTA for leg in found.legs.values()):
        return LAGS, (f"behaviour moves first: 95 % bounds under −{DELTA:g} decade on every metric",)
    if last.is_coupled and last.upper < EQUIVALENT:
        return COUPLED, (f"own pairs match best, and a lead of ×3.2 is excluded (95 % bound {last.upper:+.2f})",)
    if power < 0.5:
        return UNTESTABLE, (f"power at a lead of half a decade is {power:.2f}, less than 0.5",)
    if not last.is_coupled and power >= SURE:
        return NO_LEAD, (
            f"no coupling (p {last.p_specific:.3f}), and power at half a decade is {power:.2f} if geometry rises in "
            "every task",
        )
    shown = "; ".join(f"{metric}: {_doubt(leg)}" for metric, leg in found.legs.items())
    return UNDECIDED, (f"neither a lead nor its absence is shown ({shown})",)


def _doubt(leg: Leg) -> str:
    if not leg.is_coupled:
        return f"specificity p {leg.p_specific:.3f}"
    low = leg.lower if np.isnan(leg.runs_lower) else min(leg.lower, leg.runs_lower)
    return f"lag {leg.lag:+.2f}, from {low:+.2f} to {leg.upper:+.2f}"


def _lead(found: Finding, p_adjusted: float) -> tuple[str, tuple[str, ...]]:
    """A lead on every metric at 5 %: what else must hold before it is called one."""
    if len(found.legs) < 2:
        return UNDECIDED, (
            "accuracy leads, but no continuous metric was measured in every run: a metric of several right tokens "
            "looks the same",
        )
    if found.bend < BEND_LINE:
        return EARLIER, (f"a bent scale would do: r^{found.bend:g} of its own range no longer leads",)
    if not found.own_strength:
        return EARLIER, ("one event of all tasks whose size differs between tasks would do",)
    if found.at_ceiling:
        return EARLIER, (
            f"geometry comes to its ceiling in {found.at_ceiling} curves: a measure that ends there is early by itself",
        )
    if found.companion is None:
        return UNDECIDED, (
            "all metrics lead, but the token-shuffled companion is missing: walk again with "
            "--probes NAME,NAME:shuffled",
        )
    if not found.companion.is_specific:
        kept = found.companion
        return UNDECIDED, (
            f"the shuffled prompts may lead too: paired p {kept.p:.3f}, they keep {kept.kept:.2f} of the timing "
            f"({kept.kept_low:+.2f} to {kept.kept_high:+.2f}; under {KEPT_LINE:g} is needed)",
        )
    if p_adjusted > LEVEL:
        return UNDECIDED, (f"p {p_adjusted:.3f} after Holm's correction for measures and models",)
    if found.n_runs >= SIGN_RUNS and max(leg.p_sign for leg in found.legs.values()) > LEVEL:
        return UNDECIDED, ("too few of the runs lead by themselves (sign test)",)
    end = "no power of its own range up to r^10" if np.isinf(found.bend) else f"only r^{found.bend:g} of its own range"
    return LEADS, (
        f"all metrics lead, the shuffled prompts do not, and {end} would explain it: earlier in its own range",
    )

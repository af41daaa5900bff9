"""S3 to S7: how hard a sparse pattern is to find, on the tables of the patterns lab.

Rules, arms and lines were written down before any run (docs/decisions/0015-patterns-lab.md). The unit is a run; every
test is the permutation log-rank, and runs that did not emerge are censored. Source: Baherwani et al. 2026 (arXiv
2606.25010).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pythia_geometry.analysis.claims.evidence import Evidence, Needs
from pythia_geometry.analysis.claims.pattern_runs import BASE_SPARSITY, FORMS
from pythia_geometry.analysis.claims.pattern_truths import SEEDS, truths
from pythia_geometry.analysis.claims.ruling import (
    DOES_NOT,
    IN_PART,
    LEVEL,
    REPLICATES,
    UNDECIDED,
    Effect,
    Rule,
    Ruling,
    not_enough,
)
from pythia_geometry.analysis.events.survival import kaplan_meier, log_rank

MIN_SEEDS = 4
SIZES = (12, 8)  # the larger decides where all arms of the claim are there
BASE: dict[str, Any] = {
    "task": "linear-map", "size": 8, "sparsity": BASE_SPARSITY, "form": FORMS[0], "network": "transformer", "layers": 1,
    "heads": 8, "width": 128, "head_width": 16, "batch": 128, "rate": 1e-3, "bias": 0.0, "map_seed": 0, "given": "",
}  # fmt: skip
HOLDS, REFUTED, OPEN, LACKS = "holds", "refuted", "open", "lacks"
NO_ORDER = "in no order (no run emerged)"
Arm = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Part:
    """What one form says of a claim.

    Attributes:
        word: holds, refuted, open, or lacks (arms).
        told: The numbers.
        rows: The runs.
    """

    word: str
    told: str
    rows: pd.DataFrame


PartOf = Callable[[pd.DataFrame, str, int], Part]
"""From runs, a form and the size that decides."""


class ArmMissingError(Exception):
    """An arm that a rule needs is not in the tables."""


def chosen(runs: pd.DataFrame, arms: Sequence[Arm]) -> pd.DataFrame:
    """Runs of arms, each named by what differs from the base arm, with a column `place` of the arm; censored alike.

    All are censored at the smallest budget among the arms in which a run did not emerge.

    Raises:
        ArmMissingError: If an arm has fewer than four runs.
    """
    parts = []
    for place, arm in enumerate(arms):
        rows = runs
        for name, value in (BASE | dict(arm)).items():
            rows = rows[rows[name] == value]
        if rows["seed"].nunique() < MIN_SEEDS:
            said = ", ".join(f"{name} {value}" for name, value in arm.items())
            raise ArmMissingError(f"{len(rows)} runs of {said}; needs {MIN_SEEDS}")
        parts.append(rows.assign(place=place))
    found = pd.concat(parts, ignore_index=True)
    if (open_ended := found.loc[found["by"].isna(), "last"]).size:
        budget = float(open_ended.min())
        found["by"] = found["by"].where(found["by"] <= budget)
        found["last"] = budget
    return found


def earlier(rows: pd.DataFrame, score: ArrayLike, strata: Sequence[object] | None = None) -> tuple[bool, float]:
    """Whether runs of arms with a higher score (by `place`) emerge earlier, and its log-rank p: NaN if none emerged."""
    given = np.asarray(score, dtype=float)[rows["place"].to_numpy()]
    found = log_rank(rows["by"], rows["last"], given, strata)
    return found.statistic > 0, found.p


def medians(rows: pd.DataFrame, names: Sequence[object]) -> str:
    """Kaplan–Meier medians of the arms, in words."""
    told = []
    for place, name in enumerate(names):
        runs = rows[rows["place"] == place]
        median = median_of(runs)
        said = f"{median:,.0f}" if np.isfinite(median) else f"over {runs['last'].max():,.0f}"
        told.append(f"{name}: {said} ({runs['by'].notna().sum()}/{len(runs)})")
    return ", ".join(told)


def median_of(runs: pd.DataFrame) -> float:
    """Kaplan–Meier median step of some runs; NaN where fewer than half emerged."""
    return kaplan_meier(runs["by"], runs["last"]).median


def _word(tests: Sequence[tuple[bool, float]]) -> str:
    """Holds where every test has its direction at 5 %, refuted where one has the other."""
    if any(not is_right and p <= LEVEL for is_right, p in tests):
        return REFUTED
    return HOLDS if all(is_right and p <= LEVEL for is_right, p in tests) else OPEN


def _order(test: tuple[bool, float], than: str = "") -> str:
    """A test in words."""
    is_earlier, p = test
    return f"{'earlier' if is_earlier else 'later'}{than}, p = {p:.2g}" if np.isfinite(p) else NO_ORDER


def _when(test: tuple[bool, float]) -> str:
    """The same, p in brackets."""
    order, _, p = _order(test).partition(", ")
    return f"{order} ({p})" if p else order


def _context(runs: pd.DataFrame, form: str, size: int) -> Part:
    """S3: larger S later; medium s later than the ends."""
    sizes = (4, 6, 8, 10, 12)
    by_size = chosen(runs, [{"form": form, "size": size} for size in sizes])
    is_earlier, p = earlier(by_size, np.log2(sizes))
    sparsities = [s for s in (1, 2, 3, 4, 6, 8, 12) if s <= size]
    rows = chosen(runs, [{"form": form, "size": size, "sparsity": s} for s in sparsities])
    medium = [float(size / 4 < s < 3 * size / 4) for s in sparsities]
    ends = [float(s in (1, size)) for s in sparsities]
    kept = rows[[bool(medium[place] or ends[place]) for place in rows["place"]]]
    medium_earlier, medium_p = earlier(kept, medium)
    told = (
        f"S {medians(by_size, sizes)}, larger {_order((is_earlier, p))}; at S = {size} by s "
        f"{medians(rows, sparsities)}, medium {_order((medium_earlier, medium_p), ' than the ends')}"
    )
    return Part(_word([(not is_earlier, p), (not medium_earlier, medium_p)]), told, pd.concat([by_size, rows]))


def _automata(runs: pd.DataFrame, form: str, size: int) -> Part:
    """S4: larger S later, of automata."""
    sizes = (4, 6, size)
    fixed: dict[str, Any] = {"task": "automata", "layers": 4, "batch": 32, "form": form}
    rows = chosen(runs, [fixed | {"size": cells} for cells in sizes])
    is_earlier, p = earlier(rows, np.log2(sizes))
    told = f"S {medians(rows, sizes)}, larger {_order((is_earlier, p))}"
    return Part(_word([(not is_earlier, p)]), told, rows)


def _heads(runs: pd.DataFrame, form: str, size: int) -> Part:
    """S5: more heads earlier; wider heads earlier up to a width, and then no more."""
    counts, widths = (1, 2, 4, 8, 16), (2, 4, 8, 16, 32)
    heads = chosen(runs, [{"form": form, "size": size, "head_width": 128 // h, "heads": h} for h in counts])
    wide = chosen(runs, [{"form": form, "size": size, "head_width": width} for width in widths])
    more = earlier(heads, np.log2(counts))
    over_all = earlier(wide, np.log2(widths))
    lower = earlier(wide[wide["place"] < 3], np.log2(widths))
    widest, next_widest = (median_of(wide[wide["place"] == place]) for place in (4, 3))
    # Width 32 that never emerges (NaN) is later than any median that is known.
    has_stopped = bool(np.isfinite(next_widest) and not widest < 2 / 3 * next_widest)
    word = _word([more, min(over_all, lower, key=lambda test: test[1] if np.isfinite(test[1]) else np.inf)])
    told = (
        f"S = {size}, heads {medians(heads, counts)}, more {_when(more)}; S = {size}, head width "
        f"{medians(wide, widths)}, wider {_when(over_all)}, lower three {_when(lower)}, 32 against 16 "
        f"{'no longer helps' if has_stopped else 'still helps or is not known'}"
    )
    return Part(OPEN if word == HOLDS and not has_stopped else word, told, pd.concat([heads, wide]))


def _mixer(runs: pd.DataFrame, form: str, size: int) -> Part:
    """S6: a mixer of as many parameters earlier, within s."""
    networks, sparsities = ("transformer", "mixer"), (3, 4, 6)
    arms = [{"form": form, "size": size, "network": n, "sparsity": s} for s in sparsities for n in networks]
    rows = chosen(runs, arms)
    test = earlier(rows, [0, 1] * len(sparsities), rows["sparsity"].tolist())
    names = [f"s = {s} {network}" for s in sparsities for network in networks]
    return Part(_word([test]), f"S = {size}, {medians(rows, names)}; mixer {_when(test)}", rows)


def _bias(runs: pd.DataFrame, form: str, size: int) -> Part:
    """S7: the bias c·A removes the plateau, at both rates."""
    parts, shown, words = [], [], []
    for rate in (1e-3, 3e-3):
        rows = chosen(runs, [{"form": form, "size": size, "rate": rate, "bias": c} for c in STRENGTHS])
        test = earlier(rows, [float(c > 0) for c in STRENGTHS])
        without, with_it = (rows[rows["place"] == place] for place in (0, 2))
        bound = median_of(without) if np.isfinite(median_of(without)) else float(without["last"].max())
        is_gone = bool(median_of(with_it) <= bound / 3)
        ratio = "at most" if is_gone else "over" if np.isfinite(median_of(with_it)) else "not known to be at most"
        word = _word([test])
        words.append(OPEN if word == HOLDS and not is_gone else word)
        parts.append(
            f"S = {size}, rate {rate:g}: c {medians(rows, [f'{c:g}' for c in STRENGTHS])}, c > 0 {_when(test)}, "
            f"c = 3 {ratio} a third"
        )
        shown.append(rows)
    word = words[0] if words[0] == words[1] else PARTLY if HOLDS in words else REFUTED if REFUTED in words else OPEN
    return Part(word, "; ".join(parts), pd.concat(shown))


PARTLY = "holds at one rate"
STRENGTHS = (0.0, 1.0, 3.0, 10.0)


def _judge(of_form: PartOf, forms: Sequence[str], sizes: Sequence[int]) -> Callable[[Evidence], Ruling]:
    """At the largest size at which all arms of the claim are there, in every form: no size decides half of it."""

    def judge(evidence: Evidence) -> Ruling:
        runs = evidence.patterns
        if runs.empty:
            return not_enough("needs the patterns lab, which ships with the lab: --reference lab")
        for size in sizes:
            parts = {form: _of_form(of_form, runs, form, size) for form in forms}
            if all(part.word != LACKS for part in parts.values()):
                break
        return _together(parts)

    return judge


def _of_form(of_form: PartOf, runs: pd.DataFrame, form: str, size: int) -> Part:
    try:
        return of_form(runs, form, size)
    except ArmMissingError as missing:
        return Part(LACKS, f"{missing}, python scripts/patterns_reference.py --all", pd.DataFrame())


def _together(parts: Mapping[str, Part]) -> Ruling:
    """Both forms must hold; one, or one rate, is in part. Where a form lacks arms there is no verdict."""
    words = [part.word for part in parts.values()]
    told = "; ".join(f"{form}: {part.told}" if len(parts) > 1 else part.told for form, part in parts.items())
    rows = pd.concat([part.rows for part in parts.values()], ignore_index=True)
    if LACKS in words:
        return not_enough(told, rows)
    n_seeds = int(rows.groupby("arm")["seed"].nunique().min())
    if set(words) == {HOLDS}:
        word = REPLICATES
    elif HOLDS in words or PARTLY in words:
        word = IN_PART
    else:
        word = DOES_NOT if REFUTED in words else UNDECIDED
    return Ruling(word, told, rows, Effect(n_runs=n_seeds))


def _rule(of_form: PartOf, forms: Sequence[str], effect: str, sizes: Sequence[int] = SIZES) -> Rule:
    judge = _judge(of_form, forms, sizes)
    return Rule(Needs(), judge, truths(judge, BASE, FORMS, effect), SEEDS)


RULES = {
    "context": _rule(_context, FORMS, "S to the power 2.5, medium s three times later"),
    "automata": _rule(_automata, FORMS[:1], "twice as late at twice the size", sizes=(8,)),
    "head count": _rule(_heads, FORMS, "twice as late with half the heads, or half the width up to 16"),
    "mixer": _rule(_mixer, FORMS[1:], "the mixer twice as early"),
    "supplied": _rule(_bias, FORMS, "ten times as early with the bias, at both rates"),
}

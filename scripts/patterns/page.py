"""The generated part of docs/attention.md on the patterns lab: a verdict a claim, and the medians of every arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from patterns.report import NOTHING, cost, foretold, given, moved, together
from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.heads import CLOSE, abruptness
from pythia_geometry.analysis.claims.pattern_runs import base_arm, base_arms, read_runs
from pythia_geometry.analysis.claims.patterns import BASE, FORMS, HOLDS, STRENGTHS, median_of
from pythia_geometry.analysis.claims.rules import RULES
from pythia_geometry.analysis.claims.ruling import Ruling
from pythia_geometry.analysis.claims.table import Claim, read_claims
from pythia_geometry.analysis.events.coincidence import COINCIDES, NOT_TESTABLE, Coincidence
from pythia_geometry.lab.patterns.linear_map import LinearMap

PARTLY = "coincides, further apart"
SIZES, SPARSITIES, RATES = (8, 12), (1, 2, 3, 4, 6, 8, 12), (1e-3, 3e-3)
SOURCES = ("Baherwani 2026", "GaganGutta reproduction")
Row = tuple[str, Mapping[str, Any]]


def page(folder: Path) -> str:
    """Markdown: the table of claims, then a section a claim."""
    runs = read_runs(folder)
    return NOTHING if runs.empty else "\n".join(_page(folder, runs))


def _page(folder: Path, runs: pd.DataFrame) -> Iterator[str]:
    found = _rulings(runs)
    yield "| claim | the paper | the reproduction | here, in the lab |"
    yield "|---|---|---|---|"
    for claim in read_claims():
        if claim.id == "S1":
            here = "Pythia: [heads.md](heads.md#s1-and-s2), needs the walks; lab: below, without a verdict of its own"
        elif claim.id in found:
            here = f"**{found[claim.id].verdict}**"
        else:
            continue
        paper, repeated = (_said(claim, source) for source in SOURCES)
        yield f"| {claim.id} {claim.claim} | {paper} | {repeated} | {here} |"
    yield "\nA cell below is the Kaplan–Meier median step of emergence, [of the seeds, the smallest and the largest; from seven on the second and the"
    yield "last but one], and how many of the seeds emerged. These ranges hold the median with 88 % (four seeds) and 93 % (eight)."
    yield "\n### S1: when runs emerge\n"
    yield "| base arm | median | first, last | scatter of one output over the seeds that reach it (accuracy of .9), decades (sd) | share of an output's rise within a doubling of steps | mass on the parents, first and last |"
    yield "|---|---|---|---|---|---|"
    for name in base_arms(folder):
        yield _emergence(folder, name, runs)
    yield "\n### S2: does the pattern come with the behaviour?\n"
    yield (
        "Per output of a run: steps from the half-way point of the mass on its parents (all heads) to that of the right answer's "
        "probability. p: pattern of another seed; of another output of the run; what is left without both means. Last: whether more "
        "mass, half-way to the first emergence, goes with earlier emergence over seeds.\n"
    )
    yield (
        "| base arm | word | median abs Δ, examinations | within one | p other seed, other output, remainder | runs: pattern first, "
        "tied, behaviour first | outputs tested, behaviour alone | mass foretells: Spearman |"
    )
    yield "|---" * 8 + "|"
    for name in base_arms(folder):
        yield from _coincidence(folder, name)
    for claim, title, tables in _sections():
        ruling = found[claim]
        yield f"\n### {claim}: {title}\n\n**{ruling.verdict}.** {ruling.value}.\n"
        for what, forms, rows in tables:
            yield from _table(runs, what, forms, rows)
    yield "\n### Patterns moved and supplied\n"
    yield from (
        f"* {line}" for part in (moved(folder), given(folder)) for line in part if line and not line.startswith("\n")
    )
    yield "\n### Cost\n"
    yield from (line.strip() for line in cost(folder))


def _said(claim: Claim, source: str) -> str:
    """What a source says of a claim."""
    return "; ".join(f"{one.says} ({one.version})" for one in claim.says if one.source == source) or "–"


def _rulings(runs: pd.DataFrame) -> dict[str, Ruling]:
    evidence = Evidence("lab", pd.DataFrame(), pd.DataFrame(), patterns=runs)
    claims = {claim.id: claim.rule for claim in read_claims()}
    return {claim: RULES[claims[claim]].judge(evidence) for claim in ("S2", "S3", "S4", "S5", "S6", "S7")}


def _said_of(found: Coincidence) -> str:
    if found.label != COINCIDES:
        return found.label
    return HOLDS if found.within_one >= CLOSE else PARTLY


def _coincidence(folder: Path, name: str) -> Iterator[str]:
    at, rho, p = foretold(name, folder)
    for what, found in together(name, folder).items():
        is_all = what == "all outputs"
        nulls = (found.p_other_seed, found.p_other_unit, found.p_remainder)
        tests, counts = ", ".join(_known(one, ".2g") for one in nulls), f"{found.n}"
        if found.label == NOT_TESTABLE:
            tests, counts = _why(found), "0"
        foretells = f"{rho:.2f} at step {at:,.0f} (p = {p:.2g})" if np.isfinite(rho) else "–"
        order, early = found.order, foretells if is_all else ""
        yield (
            f"| {name if is_all else '… ' + what} | {_said_of(found)} | {_known(found.median_distance, '.1f')} | "
            f"{_known(found.within_one, '.0%')} | {tests} | {order.pattern_first}, {order.tied}, {order.behaviour_first} | "
            f"{counts}, {found.behaviour_only} | {early} |"
        )


def _known(value: float, spec: str) -> str:
    """A number, or a dash for one that does not exist."""
    return f"{value:{spec}}" if np.isfinite(value) else "–"


def _why(found: Coincidence) -> str:
    """Why there is no test: what is said of most of its outputs."""
    said = [reason.partition(": ")[2] or reason for reason in found.reasons]
    few = sum("both onsets" in reason for reason in said)
    if few > len(said) / 2:
        return "too few runs have both onsets"
    return "onsets scatter by less than two examinations" if said else "no unit has both onsets"


def _emergence(folder: Path, name: str, runs: pd.DataFrame) -> str:
    readings, _ = base_arm(name, folder)
    mine = runs[runs["arm"] == name]
    curves = readings.rename(columns={"probability": "value"})
    steep = np.nanmedian([abruptness(curve.sort_values("step")) for _, curve in curves.groupby(["seed", "output"])])
    late = readings[readings["accuracy"] >= 0.9].groupby(["seed", "output"])["step"].min().unstack("seed")
    spread = np.log10(late.where(late > 0)).std(axis=1, ddof=1).median()
    ends = [
        readings.sort_values("step").groupby(["seed", "output"])["mass"].agg(which).median()
        for which in ("first", "last")
    ]
    return (
        f"| {name} | {_cell(mine)} | {_known(mine['by'].min(), ',.0f')}, {_known(mine['by'].max(), ',.0f')} | "
        f"{_known(spread, '.2f')} | {_known(steep, '.2f')} | "
        f"{ends[0]:.2f}, {ends[1]:.2f} |"
    )


def _sections() -> list[tuple[str, str, list[tuple[str, Sequence[str], list[Row]]]]]:
    sizes = [(f"S = {size}", {"size": size}) for size in (4, 6, 8, 10, 12, 16, 32)]
    sparse = [(_with_routes(S, s), {"size": S, "sparsity": s}) for S in SIZES for s in SPARSITIES if s <= S]
    heads = [
        (f"S = {S}, {h} heads", {"size": S, "heads": h, "head_width": 128 // h})
        for S in SIZES
        for h in (1, 2, 4, 8, 16)
    ]
    wide = [(f"S = {S}, head width {w}", {"size": S, "head_width": w}) for S in SIZES for w in (2, 4, 8, 16, 32)]
    automata: dict[str, Any] = {"task": "automata", "layers": 4, "batch": 32}
    mixers = [
        (f"S = {S}, s = {s}, {network}", {"size": S, "sparsity": s, "network": network})
        for S in SIZES
        for s in (3, 4, 6)
        for network in ("transformer", "mixer")
    ]
    bias = [
        (f"S = {S}, rate {rate:g}, c = {c:g}", {"size": S, "rate": rate, "bias": c})
        for S in SIZES
        for rate in RATES
        for c in STRENGTHS
    ]
    return [
        (
            "S3",
            "longer contexts, medium sparsity",
            [
                ("size, s = 3", FORMS, sizes),
                ("sparsity (outputs with a shorter route in the leaking form)", FORMS, sparse),
            ],
        ),
        ("S4", "automata", [("size", FORMS[:1], [(f"S = {S}", automata | {"size": S}) for S in (4, 6, 8)])]),
        ("S5", "heads and their width", [("heads at D = 128", FORMS, heads), ("width of 8 heads", FORMS, wide)]),
        ("S6", "a mixer of as many parameters", [("network", FORMS[1:], mixers)]),
        ("S7", "the bias c·A", [("bias", FORMS, bias)]),
    ]


def _with_routes(size: int, sparsity: int) -> str:
    """The arm's name, and how many of its outputs the leaking form lets be had from fewer tokens than s."""
    routes = LinearMap(size, sparsity).shortest_routes()
    return f"S = {size}, s = {sparsity} ({sum(n < sparsity for n in routes)} of {size})"


def _table(runs: pd.DataFrame, what: str, forms: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    yield f"| {what} | {' | '.join(forms if len(forms) > 1 else ['median'])} |"
    yield "|---" * (1 + len(forms)) + "|"
    for name, arm in rows:
        cells = [_cell(_arm(runs, {"form": form} | dict(arm))) for form in forms]
        if any(cell != "–" for cell in cells):
            yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def _arm(runs: pd.DataFrame, arm: Mapping[str, Any]) -> pd.DataFrame:
    for name, value in (BASE | dict(arm)).items():
        runs = runs[runs[name] == value]
    return runs


def _cell(rows: pd.DataFrame) -> str:
    """Median [range] (emerged/seeds); `over` the budget where it was not reached."""
    if rows.empty:
        return "–"
    skip = 0 if len(rows) < 7 else 1
    steps = np.sort(rows["by"].fillna(np.inf))
    last = float(rows["last"].max())

    def said(step: float) -> str:
        return f"{step:,.0f}" if np.isfinite(step) else f"over {last:,.0f}"

    median = median_of(rows)
    middle = said(median if np.isfinite(median) else np.inf)
    return f"{middle} [{said(steps[skip])} – {said(steps[-1 - skip])}], {rows['by'].notna().sum()}/{len(rows)}"

"""The first screen of docs/lab.md: each claim in a sentence with n, interval and power, from the tables alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lab_page import plateau, sizes
from lab_page.designed import CONVENTIONS, Arm
from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.lab_reference import grows_whole
from pythia_geometry.analysis.claims.ruling import NOT_ENOUGH
from pythia_geometry.analysis.claims.table import judge_claims
from pythia_geometry.analysis.precursor.verdict import Verdict

COLUMNS = ["claim", "answer", "numbers", "power"]
OF_SURFACES = ("C5", "C6", "C12")
PLANTED = "planted"
NOT_RUN = "not measured on these runs"


def answers(evidence: Evidence, found: pd.DataFrame, mod: pd.DataFrame, designed: list[Arm]) -> pd.DataFrame:
    """One row a claim; C4 one row a design.

    Args:
        evidence: The usual runs.
        found: Transients by size, from `sizes.transients`.
        mod: MOD's plateau by size, from `plateau.plateaus`.
        designed: Arms of the staggered shelf.
    """
    judged = judge_claims([evidence]).table.set_index("id")
    rows = []
    for claim in ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "C12"):
        title = f"**{claim}** {judged.loc[claim, 'claim']}"
        if claim == "C4":
            rows += [
                (f"{title} ({name})", *_lead(verdict)) for name, verdict in _tested(designed) if PLANTED not in name
            ]
            rows += _usual(evidence)
        elif claim in OF_SURFACES and judged.loc[claim, "verdict"] == NOT_ENOUGH:
            rows.append((title, NOT_RUN, "–", "–"))
        elif claim in OF_SURFACES:
            said, _, _ = judged.loc[claim, "value"].partition(". Beside it")  # the neighbours have a table of their own
            rows.append(
                (title, judged.loc[claim, "verdict"], said.replace(" | ", "; "), judged.loc[claim, "operating"])
            )
        else:
            rows.append((title, judged.loc[claim, "verdict"], judged.loc[claim, "value"], "–"))
            if claim == "C2":
                rows += [*_ratio(found), *_plateau(mod)]
    return pd.DataFrame(rows, columns=COLUMNS)


def checks(designed: list[Arm]) -> pd.DataFrame:
    """One row a planted arm and convention: a check of C4's test and no evidence for the claim."""
    rows = [(name, *_lead(verdict)) for name, verdict in _tested(designed) if PLANTED in name]
    return pd.DataFrame(rows, columns=["what was planted", "the test says", "numbers", "power"])


def _tested(arms: list[Arm]) -> list[tuple[str, Verdict]]:
    """The designed arms, by design and convention."""
    return [(f"{arm.name}, {CONVENTIONS[verdict.measure]}", verdict) for arm in arms for verdict in arm.verdicts]


def _usual(evidence: Evidence) -> list[tuple[str, str, str, str]]:
    """The usual runs, a row a convention: how many models say what."""
    rows = []
    for measure, name in CONVENTIONS.items():
        mine = [verdict for verdict in evidence.precursors[0] if verdict.measure == measure]
        if not mine:
            continue
        models: dict[str, list[str]] = {}
        for verdict in mine:
            models.setdefault(verdict.label, []).append(verdict.model)
        said = "; ".join(f"{label}: {', '.join(which)}" for label, which in models.items())
        n = sum(len(verdict.power.chosen.runs) for verdict in mine)
        power = [verdict.power.decisive for verdict in mine]
        about = f"{len(mine)} models, {n} runs, the hardest level of each of 8 tasks; lags and p below"
        rows.append(
            (f"**C4** the usual runs, {name}", said, about, f"{min(power):.2f} to {max(power):.2f} at half a decade")
        )
    return rows


def _lead(verdict: Verdict) -> tuple[str, str, str]:
    legs = [
        f"{metric} lag {leg.lag:+.2f} ({leg.lower:+.2f} … {leg.upper:+.2f}), p {leg.p_specific:.3f}"
        for metric, leg in (verdict.finding.legs.items() if verdict.finding else ())
    ]
    chosen, decisive = verdict.power.chosen, verdict.power.decisive
    n = f"{len(chosen.runs)} runs × {len(chosen.tasks)} levels"
    power = "–" if np.isnan(decisive) else f"{decisive:.2f} at half a decade"
    return verdict.label, "; ".join([*legs, n]), power


def _ratio(found: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Floor ÷ start, the fairer reading of C2: the floor cannot but follow the value it falls from."""
    if found.empty:
        return []
    own = sizes.own_rate(found)
    return _slopes("transient", sizes.slope_rows({"own rate": own}), own)


def _plateau(mod: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """The paper's own number, MOD's plateau, over sizes."""
    return _slopes("MOD's plateau", plateau.slope_rows(mod), mod[mod["model"].map(grows_whole)])


def _slopes(what: str, rows: pd.DataFrame, of_sizes: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    if rows.empty:
        return []
    sized = sizes.of_several(of_sizes)["parameters"]
    span = sized.max() / sized.min()
    told = []
    for _, row in rows[rows["RankMe"] == "uncentred"].iterrows():
        numbers = f"slope of ln {row['of']} {row['slope a decade']:+.2f} a decade ({row[sizes.WIDER]}, the wider of levels and runs; runs "
        numbers += f"drawn again {row[sizes.DRAWN]}); {row['sizes']} sizes, {row['runs']} runs × {row['levels']} levels"
        told.append((f"C2, {what}: {row['of']}, {span:,.0f}× of parameters", row[sizes.VERDICT], numbers, "–"))
    return told

"""The table of claims: who says what, and what each body of evidence says of it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.operating import operating
from pythia_geometry.analysis.claims.rules import RULES
from pythia_geometry.analysis.claims.ruling import NOT_ENOUGH, Effect, Ruling, not_enough
from pythia_geometry.shipped import data_folder

COLUMNS = [
    "id", "claim", "source", "says", "note", "evidence", "verdict", "value", "effect", "effect_value", "effect_low",
    "effect_high", "n_runs", "operating", "statistic", "decides",
]  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A paper.

    Attributes:
        id: How claims name it.
        cite: Authors, year, arXiv number and versions.
        title: Its title.
    """

    id: str
    cite: str
    title: str


@dataclass(frozen=True)
class Statement:
    """What one version of one source says."""

    source: str
    version: str
    says: str


@dataclass(frozen=True)
class Claim:
    """One published claim, as in `data/claims.toml`.

    Attributes:
        id: C1 to C12.
        claim: In one line.
        says: Who says what, by source and version.
        rule: Name of the rule that decides it; empty where nothing is measured yet.
        statistic: What decides it, in words.
        decides: From the statistic to the verdict, in words.
        note: What a reader must know of the figures of the paper.
    """

    id: str
    claim: str
    says: tuple[Statement, ...]
    rule: str
    statistic: str
    decides: str
    note: str = ""

    @property
    def source(self) -> str:
        """Sources, each once."""
        return ", ".join(dict.fromkeys(statement.source for statement in self.says))

    @property
    def said(self) -> str:
        """What each version says, in one line."""
        return "; ".join(f"{statement.version} {statement.says}" for statement in self.says)


@cache
def read_sources() -> tuple[Source, ...]:
    """All papers that claims or docs name."""
    return tuple(Source(**entry) for entry in _entries("source"))


@cache
def read_claims() -> tuple[Claim, ...]:
    """All claims, in order."""
    return tuple(
        Claim(**{**entry, "says": tuple(Statement(**one) for one in entry["says"])}) for entry in _entries("claim")
    )


@dataclass(frozen=True, eq=False)
class Judged:
    """Every claim on every body of evidence.

    Attributes:
        table: One row a claim and evidence, the columns `COLUMNS`.
        rows: What each verdict was computed from, by (claim, evidence).
        effects: The number behind each verdict, by (claim, evidence).
    """

    table: pd.DataFrame
    rows: dict[tuple[str, str], pd.DataFrame]
    effects: dict[tuple[str, str], Effect]


def judge_claims(evidence: Sequence[Evidence]) -> Judged:
    """Judges every claim on every body of evidence that speaks to it."""
    lines, traced, effects = [], {}, {}
    for claim in read_claims():
        about = {"id": claim.id, "claim": claim.claim, "source": claim.source, "says": claim.said, "note": claim.note}
        about |= {"statistic": claim.statistic, "decides": claim.decides}
        for one in (one for one in evidence if not one.claims or claim.id in one.claims):
            found = _ruling(claim, one)
            effects[claim.id, one.name] = found.effect
            lines.append(about | _line(claim, one, found))
            if len(found.rows):
                traced[claim.id, one.name] = found.rows
    return Judged(pd.DataFrame(lines, columns=COLUMNS), traced, effects)


def _line(claim: Claim, evidence: Evidence, found: Ruling) -> dict[str, Any]:
    effect = found.effect
    rates = found.operating or operating(claim.rule, effect.n_runs) if found.verdict != NOT_ENOUGH else ""
    line: dict[str, Any] = {"evidence": evidence.name, "verdict": found.verdict, "value": found.value}
    line |= {"effect": effect.name, "effect_value": effect.value, "effect_low": effect.low, "effect_high": effect.high}
    return line | {"n_runs": evidence.runs(), "operating": rates}


def _ruling(claim: Claim, evidence: Evidence) -> Ruling:
    return RULES[claim.rule](evidence) if claim.rule else not_enough(claim.decides)


def _entries(kind: str) -> list[dict[str, Any]]:
    text = (data_folder() / "claims.toml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = tomllib.loads(text)[kind]
    return found

"""The table of claims: who says what, and what each body of evidence says of it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.rules import RULES
from pythia_geometry.analysis.claims.ruling import Ruling, not_enough
from pythia_geometry.shipped import data_folder

COLUMNS = ["id", "claim", "source", "says", "evidence", "verdict", "value", "statistic", "decides"]


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
    """

    id: str
    claim: str
    says: tuple[Statement, ...]
    rule: str
    statistic: str
    decides: str

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


def judge_claims(evidence: Sequence[Evidence]) -> tuple[pd.DataFrame, dict[tuple[str, str], pd.DataFrame]]:
    """Every claim on every body of evidence.

    Returns:
        The table, one row a claim and evidence: id, claim, source, says, evidence, verdict, value, statistic, decides;
        and the rows that each verdict was computed from, by (claim, evidence).
    """
    rows, traced = [], {}
    for claim in read_claims():
        about = {"id": claim.id, "claim": claim.claim, "source": claim.source, "says": claim.said}
        about |= {"statistic": claim.statistic, "decides": claim.decides}
        for one in evidence:
            found = _ruling(claim, one)
            rows.append(about | {"evidence": one.name, "verdict": found.verdict, "value": found.value})
            if len(found.rows):
                traced[claim.id, one.name] = found.rows
    return pd.DataFrame(rows, columns=COLUMNS), traced


def _ruling(claim: Claim, evidence: Evidence) -> Ruling:
    return RULES[claim.rule](evidence) if claim.rule else not_enough(claim.decides)


def _entries(kind: str) -> list[dict[str, Any]]:
    text = (data_folder() / "claims.toml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = tomllib.loads(text)[kind]
    return found

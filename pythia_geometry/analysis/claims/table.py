"""The table of claims: what the paper says by version, and what each body of evidence says of it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pandas as pd

from pythia_geometry.analysis.claims.rules import NOT_TESTABLE, RULES, Evidence, Ruling
from pythia_geometry.shipped import data_folder

COLUMNS = ["id", "claim", "v1", "v3", "v4", "evidence", "verdict", "value", "statistic", "rule"]


@dataclass(frozen=True)
class Claim:
    """One published claim, as in `data/claims.toml`.

    Attributes:
        id: C1 to C12.
        claim: In one line.
        v1: What versions 1 and 2 of the paper say.
        v3: What version 3 says.
        v4: What version 4 says.
        statistic: What decides it.
        rule: From the statistic to the verdict.
    """

    id: str
    claim: str
    v1: str
    v3: str
    v4: str
    statistic: str
    rule: str


@cache
def read_claims() -> tuple[Claim, ...]:
    """All claims, in order."""
    text = (data_folder() / "claims.toml").read_text(encoding="utf-8")
    return tuple(Claim(**entry) for entry in tomllib.loads(text)["claim"])


def judge_claims(evidence: Sequence[Evidence]) -> tuple[pd.DataFrame, dict[tuple[str, str], pd.DataFrame]]:
    """Every claim on every body of evidence.

    Returns:
        The table: id, claim, v1, v3, v4, evidence, verdict, value, statistic, rule, one row a claim and evidence; and
        the rows that each verdict was computed from, by (claim, evidence).
    """
    rows, traced = [], {}
    for claim in read_claims():
        for one in evidence:
            rule = RULES.get(claim.id)
            found = rule(one) if rule else Ruling(NOT_TESTABLE, claim.rule, pd.DataFrame())
            rows.append(vars(claim) | {"evidence": one.name, "verdict": found.verdict, "value": found.value})
            if len(found.rows):
                traced[claim.id, one.name] = found.rows
    return pd.DataFrame(rows, columns=COLUMNS), traced

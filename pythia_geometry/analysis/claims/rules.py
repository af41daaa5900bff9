"""Every rule by the name that `data/claims.toml` calls it: a claim of another paper adds its file to this list."""

from __future__ import annotations

from pythia_geometry.analysis.claims import (
    collapse,
    difficulty,
    heads,
    order,
    patterns,
    phases,
    precursor,
    scale,
    surface,
)
from pythia_geometry.analysis.claims.ruling import Rule

RULES: dict[str, Rule] = {}
for family in (collapse, scale, order, precursor, difficulty, heads, patterns, surface, phases):
    RULES |= family.RULES

"""Attention patterns in, numbers a head out. No names, no files, no network, no torch.

Shapes: H heads, Q queries, T tokens of a prompt, N prompts of a probe, L layers.
"""

from pythia_geometry.attention.pattern import HeadPattern, Prompt
from pythia_geometry.attention.reading import HeadReading
from pythia_geometry.attention.scores import (
    SCORES,
    duplicate_token,
    entropy,
    entropy_share,
    induction,
    previous_token,
    sink,
    target_mass,
)

__all__ = [
    "SCORES",
    "HeadPattern",
    "HeadReading",
    "Prompt",
    "duplicate_token",
    "entropy",
    "entropy_share",
    "induction",
    "previous_token",
    "sink",
    "target_mass",
]

"""Attention patterns in, numbers a head out. No names, no files, no network, no torch.

Shapes: H heads, Q queries, T tokens of a prompt, N prompts of a probe, L layers.
"""

from pythia_geometry.attention.copying import copying
from pythia_geometry.attention.head_values import HEAD_MEASURES, HeadValue, head_values
from pythia_geometry.attention.output_rank import output_rank
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
    "HEAD_MEASURES",
    "SCORES",
    "HeadPattern",
    "HeadReading",
    "HeadValue",
    "Prompt",
    "copying",
    "duplicate_token",
    "entropy",
    "entropy_share",
    "head_values",
    "induction",
    "output_rank",
    "previous_token",
    "sink",
    "target_mass",
]

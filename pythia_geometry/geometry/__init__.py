"""Arrays in, numbers out. No names, no files, no network, no torch.

Shapes: n rows (prompts), d columns (residual stream dimensions).
"""

from pythia_geometry.geometry.cloud import Cloud, Estimate
from pythia_geometry.geometry.dimension import twonn
from pythia_geometry.geometry.representation import (
    anisotropy,
    participation_ratio,
    rankme,
    rankme_centred,
    rankme_rownorm,
    stable_rank,
)
from pythia_geometry.geometry.similarity import linear_cka

__all__ = [
    "Cloud",
    "Estimate",
    "anisotropy",
    "linear_cka",
    "participation_ratio",
    "rankme",
    "rankme_centred",
    "rankme_rownorm",
    "stable_rank",
    "twonn",
]

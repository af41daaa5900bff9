"""Small behaviour tables made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
RISE = (0.25, 0.25, 0.25, 0.25, 0.25, 0.3, 0.5, 0.6, 0.65, 0.65)

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "pythia" / "evals"


def needs_published() -> Path:
    """The folder of the published evaluations, or a skip."""
    if not PUBLISHED.is_dir():
        pytest.skip(f"{PUBLISHED} is not there: the published evaluations are no part of the repository")
    return PUBLISHED


def points(values: Sequence[float] = RISE, steps: Sequence[int] = STEPS, **changes: Any) -> pd.DataFrame:
    """One curve as rows of a tidy table."""
    about = {"suite": "s", "model": "m", "seed": 0, "probe": "p", "task": "t", "metric": "accuracy", "reason": ""}
    numbers = {"step": steps, "value": values, "error": 0.01, "n": 1000, "chance": 0.25, "majority": float("nan")}
    return pd.DataFrame({**about, **numbers, "source": "walk"} | changes, index=range(len(steps)))

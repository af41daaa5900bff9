"""Made-up tables of the patterns lab, in which the words of the rules of S3 to S7 are counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.ruling import Ruling, Truth

SEEDS = (4, 8)  # of an arm, as the lab has them
USUAL, SPREAD, BUDGET = 1_000.0, 0.2, 6_000.0  # the reproduction's forty seeds of S = 12: steps 625 to 3,825
SIZE = 12
Arm = Mapping[str, Any]


def arms(base: Arm, forms: Sequence[str]) -> list[dict[str, Any]]:
    """Settings of every arm that a rule of S3 to S7 looks at, at the size that decides."""
    large = {**base, "size": SIZE}
    varied: list[dict[str, Any]] = [{**base, "size": size} for size in (4, 6, 8, 10, SIZE)]
    varied += [large | {"sparsity": s} for s in (1, 2, 4, 6, 8, 12)]
    varied += [large | {"heads": heads, "head_width": 128 // heads} for heads in (1, 2, 4, 16)]
    varied += [large | {"head_width": width} for width in (2, 4, 8, 32)]
    varied += [large | {"rate": rate, "bias": c} for rate, c in product((1e-3, 3e-3), (0.0, 1.0, 3.0, 10.0))][1:]
    found = [arm | {"form": form} for arm in varied for form in forms]
    found += [large | {"form": "masked", "network": "mixer", "sparsity": s} for s in (3, 4, 6)]
    return found + [{**base, "task": "automata", "layers": 4, "batch": 32, "size": size} for size in (4, 6, 8)]


def published(arm: Arm) -> float:
    """Decades by which an arm is later than S = 12, s = 3 with 8 heads of width 16, in the paper's story.

    The sizes are in the reproduction's numbers: 100, 1,900 and 9,000 steps at S = 8, 16 and 32; half the heads twice
    the time. For automata and mixers no number is published: a factor of two for twice the size, and for the mixer.
    """
    if arm["task"] == "automata":
        return float(np.log10(arm["size"] / 8))
    later = 2.5 * np.log10(arm["size"] / SIZE)
    later += 0.5 * (arm["size"] / 4 < arm["sparsity"] < 3 * arm["size"] / 4)
    later += np.log10(8 / arm["heads"]) if arm["heads"] != 8 else np.log10(16 / min(arm["head_width"], 16))
    return float(later - 0.3 * (arm["network"] == "mixer") - 1.0 * (arm["bias"] > 0))


def draw(settings: Sequence[Arm], later: Callable[[Arm], float], n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Runs of all arms, n seeds each, whose onsets scatter around what `later` says."""
    rows = [
        {**arm, "arm": str(place), "seed": seed, "by": USUAL * 10 ** (later(arm) + SPREAD * rng.normal())}
        for place, arm in enumerate(settings)
        for seed in range(n)
    ]
    runs = pd.DataFrame(rows)
    return runs.assign(by=runs["by"].where(runs["by"] <= BUDGET), last=BUDGET)


def truths(judge: Callable[[Evidence], Ruling], base: Arm, forms: Sequence[str], effect: str) -> tuple[Truth, Truth]:
    """The null, in which no setting matters, and the paper's own effect.

    Args:
        judge: The rule.
        base: Settings of the base arm.
        forms: Of the linear map.
        effect: The paper's effect in words.
    """
    settings = arms(base, forms)

    def made_up(later: Callable[[Arm], float]) -> Callable[[int, np.random.Generator], str]:
        def said(n: int, rng: np.random.Generator) -> str:
            nothing = pd.DataFrame()
            return judge(Evidence("made up", nothing, nothing, patterns=draw(settings, later, n, rng))).verdict

        return said

    scatter = f"onsets scatter by {SPREAD:g} decades over seeds"
    return (
        Truth("null", f"{scatter}; no setting matters", made_up(lambda arm: 0.0)),
        Truth("the paper's effect", f"{scatter}; {effect}", made_up(published)),
    )

"""Writes docs/measures.md: the docstring of every measure, and how good the errors are.

    python scripts/build_measures_page.py

About half a minute. The table is measured anew each time from seeded clouds of 128 rows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pythia_geometry.geometry import Estimate, linear_cka, rankme, rankme_centred
from pythia_geometry.measures import MEASURES, RESIDUAL

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator], Array]
ROWS, FRESH = 128, 200
PAGE = Path("docs/measures.md")

INTRODUCTION = """# Measures

Made by `python scripts/build_measures_page.py` from the docstrings. Every measure takes activations [n, d] of n prompts at
one layer and returns value, error (one standard error over prompts), ceiling, n and, where there is something to say, a
reason. All are computed in float64 from the Gram matrix of the smaller side; where singular values under 1e-5 of the
largest could matter, from an SVD.
"""

AGREEMENT = """## How good the errors are

RankMe's error is the delete-one jackknife over prompts, from the one decomposition (`geometry/deletion.py`). Below it is
divided by the same jackknife computed the long way ({rows} decompositions), and by the standard deviation over {fresh}
fresh draws of the cloud. Activations look like the power laws.

| cloud, {rows} rows | RankMe | error / full jackknife | error / true spread | centred: error / full |
|---|---|---|---|---|
"""


def clouds() -> dict[str, Draw]:
    """Ways to draw 128 rows."""
    decay = np.arange(1, 301.0) ** -1
    centre = 5 * np.random.default_rng(7).normal(size=64)
    corners = np.random.default_rng(8).normal(size=(7, 64))
    return {
        "power law 1/k, d = 64": lambda g: g.normal(size=(ROWS, 64)) * decay[:64],
        "power law 1/k, d = 300": lambda g: g.normal(size=(ROWS, 300)) * decay,
        "power law 1/k², d = 300": lambda g: g.normal(size=(ROWS, 300)) * decay**2,
        "power law and a mean 5 times as long": lambda g: g.normal(size=(ROWS, 64)) * decay[:64] + centre,
        "seven clusters": lambda g: corners[g.integers(7, size=ROWS)] + 0.1 * g.normal(size=(ROWS, 64)),
        "heavy-tailed rows": lambda g: g.normal(size=(ROWS, 64)) * g.lognormal(size=(ROWS, 1)),
        "isotropic, d = 64": lambda g: g.normal(size=(ROWS, 64)),
        "isotropic, d = 768": lambda g: g.normal(size=(ROWS, 768)),
    }


def full_jackknife(z: Array, measure: Callable[[Array], Estimate]) -> float:
    """Delete-one jackknife by recomputation."""
    values = np.array([measure(np.delete(z, i, axis=0)).value for i in range(len(z))])
    return float(np.sqrt((len(z) - 1) / len(z) * ((values - values.mean()) ** 2).sum()))


def agreement_row(name: str, draw: Draw) -> str:
    """One line of the table."""
    generator = np.random.default_rng(0)
    z = draw(generator)
    plain, centred = rankme(z), rankme_centred(z)
    spread = np.std([rankme(draw(generator)).value for _ in range(FRESH)])
    return (
        f"| {name} | {plain.value:.1f} | {plain.error / full_jackknife(z, rankme):.4f} "
        f"| {plain.error / spread:.2f} | {centred.error / full_jackknife(z, rankme_centred):.4f} |"
    )


def section(name: str, function: Callable[..., Estimate]) -> str:
    """One measure's docstring as a section."""
    return f"## `{name}`\n\n```text\n{inspect.getdoc(function)}\n```\n"


def main() -> None:
    """Writes the page."""
    sections = [section(m.name, m.compute) for m in MEASURES.values() if m.reads == RESIDUAL and m.default]
    sections.append(section("cka_previous, cka_last", linear_cka))
    table = AGREEMENT.format(rows=ROWS, fresh=FRESH)
    table += "\n".join(agreement_row(name, draw) for name, draw in clouds().items())
    PAGE.write_text("\n".join([INTRODUCTION, table, "", *sections]))
    print(f"{PAGE}: {len(sections)} sections")


if __name__ == "__main__":
    main()

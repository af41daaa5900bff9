"""Do the layers near the output collapse first? One vote a run.

Tasks of one model share its weights and its one transient, and neighbouring layers move together, so neither tasks
nor layers are independent observations: only runs are. Source: docs/definitions.md, "Events".
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest, kendalltau

from pythia_geometry.analysis.events.collapse import COLLAPSES, TRANSIENT
from pythia_geometry.errors import PythiaGeometryError

TOP_DOWN, BOTTOM_UP, TIED, UNTESTABLE = "top-down", "bottom-up", "tied", "untestable"
MAX_EXACT = 7  # layers; 5,040 orders


def depth_order(halfway: NDArray[np.float64], depth: NDArray[np.float64]) -> float:
    """Kendall's τ_b between a layer's depth and when it collapses: −1 where the output side is first.

    How it misleads: a layer that hardly falls has a meaningless time, so only layers that collapse belong here. In
    a fall that takes four steps the order can turn on one checkpoint. Upper layers start higher and have further to
    fall, so part of the order is in the shape of the network, not in learning.

    Args:
        halfway: When half of each layer's fall is done [L].
        depth: Each layer's place, 1 nearest the input [L].

    Returns:
        −1 … 1; NaN for fewer than two layers or where all times are equal.
    """
    if len(halfway) < 2:
        return float("nan")
    return float(kendalltau(depth, halfway).statistic)


def permutation_p(halfway: NDArray[np.float64], depth: NDArray[np.float64]) -> float:
    """Share of orders of the layers with as low a τ. **Anti-conservative**: layers are autocorrelated.

    How it misleads: simulated layers with an autocorrelation of .8 to .95 in depth are called at .26 to .38 instead of
    .05. Reported for comparison with others' numbers; decide by `votes`. NaN for fewer than 2 or more than 7 layers.
    """
    if not 2 <= len(halfway) <= MAX_EXACT or np.isnan(depth_order(halfway, depth)):
        return float("nan")
    i, j = np.triu_indices(len(halfway), 1)
    orders = halfway[np.array(list(permutations(range(len(halfway)))))]
    # τ's numerator: its denominator is the same for every order.
    agree = (np.sign(orders[:, j] - orders[:, i]) * np.sign(depth[j] - depth[i])).sum(axis=1)
    return float((agree <= agree[0]).mean())


def layer_order(collapses: pd.DataFrame, phase: str = TRANSIENT) -> pd.DataFrame:
    """The order of the blocks in every task of every run.

    How it misleads: see `depth_order`; and tasks of one run repeat one event.

    Args:
        collapses: From `collapse.collapses`, one measure. Only blocks (`resid_…`) that collapse are read: the
            final norm is no layer of its own, and a fixed last token makes the embedding constant.
        phase: transient or plateau.

    Returns:
        One row a run and task: model, seed, task, n_layers, tau (−1 top-down), p (anti-conservative), first (the
        layer whose fall is half done first).

    Raises:
        PythiaGeometryError: If the table holds several measures.
    """
    if collapses["measure"].nunique() > 1:
        raise PythiaGeometryError("layer_order reads one measure; select rows of one, such as rankme")
    blocks = collapses[collapses["layer"].str.startswith("resid_") & (collapses["phase"] == phase)]
    rows = []
    for key, layers in blocks.groupby(["model", "seed", "task"], sort=True):
        fallen = layers[layers["label"] == COLLAPSES].sort_values("layer_index")
        halfway, depth = fallen["halfway"].to_numpy(dtype=float), fallen["layer_index"].to_numpy(dtype=float)
        first = str(fallen["layer"].iloc[int(halfway.argmin())]) if len(fallen) else ""
        rows.append([*key, len(fallen), depth_order(halfway, depth), permutation_p(halfway, depth), first])
    return pd.DataFrame(rows, columns=["model", "seed", "task", "n_layers", "tau", "p", "first"])


def votes(order: pd.DataFrame) -> pd.DataFrame:
    """One vote a run: the sign of its tasks' median τ.

    How it misleads: a run with one task that can vote counts as much as one with twenty.

    Returns:
        One row a run: model, seed, n_tasks (with two layers or more that collapse), n_top_down (tasks with τ < 0),
        median_tau, vote (top-down, bottom-up, tied, untestable).
    """
    rows = []
    for (model, seed), tasks in order.groupby(["model", "seed"], sort=True):
        tau = tasks["tau"].dropna()
        middle = float(tau.median()) if len(tau) else float("nan")
        vote = UNTESTABLE if tau.empty else TOP_DOWN if middle < 0 else BOTTOM_UP if middle > 0 else TIED
        rows.append([model, seed, len(tau), int((tau < 0).sum()), middle, vote])
    return pd.DataFrame(rows, columns=["model", "seed", "n_tasks", "n_top_down", "median_tau", "vote"])


def sign_test(voted: pd.DataFrame) -> tuple[int, int, float]:
    """Runs that vote top-down, runs that vote, and the one-sided binomial p of so many by coin flips.

    How it misleads: runs that share an architecture and a data set are replications of one experiment; p speaks of its
    seeds and sizes, not of other architectures. Five runs cannot give less than .031.
    """
    cast = voted[voted["vote"].isin([TOP_DOWN, BOTTOM_UP])]
    n_top = int((cast["vote"] == TOP_DOWN).sum())
    p = binomtest(n_top, len(cast), alternative="greater").pvalue if len(cast) else float("nan")
    return n_top, len(cast), float(p)

"""Three phases of a text's representations: the claims T1 to T3 of arXiv 2509.23024.

Rules and lines: docs/decisions/0014-landscape-claims.md, written before any result. Read are RankMe after the final
norm on a text cloud (`--probes text`), the divergence from bigrams, and the accuracy of other probes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pythia_geometry.analysis.claims.evidence import FINAL_NORM, UNCENTRED, Evidence, Needs
from pythia_geometry.analysis.claims.ruling import Effect, Rule, Ruling, Truth, by_votes, not_enough, share_interval
from pythia_geometry.analysis.events.rules import share_error
from pythia_geometry.analysis.tables.reading import unmarked
from pythia_geometry.analysis.tables.step_curves import running_median

Array = NDArray[np.float64]

TEXT, BIGRAM = "text", "bigram_kl"
FIFTH = float(np.log(1.25))
TENTH = float(np.log(1.1))
FEWEST_STEPS = 12
ERRORS = 3.0


@dataclass(frozen=True)
class Phases:
    """One run's rank on a text, as it falls, rises and falls again.

    Attributes:
        steps: [n].
        rank: ln RankMe, running median of three [n].
        error: Its standard errors [n].
        floor: Index of the lowest in the first half, in log step.
        peak: Index of the highest after the floor.
    """

    steps: Array
    rank: Array
    error: Array
    floor: int
    peak: int

    def differ(self, one: int, two: int, least: float) -> bool:
        """Whether the rank is higher at the second index by so much, and by three errors."""
        gap = self.rank[two] - self.rank[one]
        return bool(gap >= least and gap > ERRORS * np.hypot(self.error[one], self.error[two]))


def phases_of(steps: Array, rank: Array, error: Array) -> Phases:
    """Floor and peak of a curve of RankMe [n]; an error that is not known does not count."""
    smooth = running_median(np.log(rank)[None])[0]
    place = np.log10(steps + 1)
    early = np.flatnonzero(place <= (place[0] + place[-1]) / 2)
    floor = int(early[smooth[early].argmin()])
    peak = floor + int(smooth[floor:].argmax())
    return Phases(steps, smooth, np.nan_to_num(error / rank), floor, peak)


def warms_up(found: Phases) -> bool:
    """T1: the rank falls by a fifth from the first step to its floor."""
    return found.differ(found.floor, 0, FIFTH)


def seeks_entropy(found: Phases, divergence: Array) -> bool:
    """T2: it then rises by a quarter, and bigrams are said best between the floor and the peak."""
    best = int(divergence.argmin())
    return found.differ(found.floor, found.peak, FIFTH) and found.floor <= best <= found.peak


def compresses(found: Phases, accuracy: Array, noise: Array) -> bool:
    """T3: it then falls by a tenth to the last step, while accuracy elsewhere rises by three errors."""
    gap = accuracy[-1] - accuracy[found.peak]
    return found.differ(len(found.rank) - 1, found.peak, TENTH) and bool(
        gap > ERRORS * np.hypot(noise[-1], noise[found.peak])
    )


def warm_up(evidence: Evidence) -> Ruling:
    """T1."""
    return _voted(evidence, "falls by a fifth to its floor", lambda run, _: warms_up(run))


def entropy_seeking(evidence: Evidence) -> Ruling:
    """T2."""

    def vote(run: Phases, beside: Beside) -> bool | None:
        curve = beside.divergence(run.steps)
        return None if curve is None else seeks_entropy(run, curve)

    return _voted(evidence, "rises by a quarter from it, bigrams best meanwhile", vote)


def compression(evidence: Evidence) -> Ruling:
    """T3."""

    def vote(run: Phases, beside: Beside) -> bool | None:
        curves = beside.accuracy(run.steps)
        return None if curves is None else compresses(run, *curves)

    return _voted(evidence, "then falls by a tenth while accuracy rises", vote)


@dataclass(frozen=True, eq=False)
class Beside:
    """What a run's tables hold beside the rank."""

    geometry: pd.DataFrame
    behaviour: pd.DataFrame

    def divergence(self, steps: Array) -> Array | None:
        """Divergence from bigrams at these steps; None where one is missing."""
        rows = self.geometry[self.geometry["measure"] == BIGRAM]
        curve = rows[unmarked(rows)].drop_duplicates("step").set_index("step")["value"].reindex(steps)
        return None if curve.isna().any() else curve.to_numpy(dtype=float)

    def accuracy(self, steps: Array) -> tuple[Array, Array] | None:
        """Mean accuracy of all probes but the text, with its error; None where there is none."""
        rows = self.behaviour if "probe" in self.behaviour else self.behaviour.assign(probe="")
        rows = rows[(rows["metric"] == "accuracy") & (rows["probe"] != TEXT) & rows["value"].notna() & unmarked(rows)]
        share, n, own = (
            rows[name].to_numpy(dtype=float, na_value=np.nan) if name in rows else np.full(len(rows), np.nan)
            for name in ("value", "n", "error")
        )
        rows = rows.assign(error=share_error(share, n, own))
        wide = rows.pivot_table(index="step", columns=["probe", "task"], values="value").reindex(steps)
        wide = wide.loc[:, wide.notna().all()]
        if wide.shape[1] == 0:
            return None
        noise = rows.pivot_table(index="step", columns=["probe", "task"], values="error").reindex(steps)
        noise = noise.reindex(columns=wide.columns).fillna(0.0)
        error = np.sqrt((noise.to_numpy(dtype=float) ** 2).sum(axis=1)) / wide.shape[1]
        return wide.mean(axis=1).to_numpy(dtype=float), error


def of_text(geometry: pd.DataFrame) -> pd.DataFrame:
    """Rows of a text cloud; none of a table that names no probes."""
    return geometry[geometry["probe"] == TEXT] if "probe" in geometry else geometry.iloc[:0]


def _voted(evidence: Evidence, what: str, vote: Callable[[Phases, Beside], bool | None]) -> Ruling:
    """One vote a run, however many texts; none where they differ, or where a run lacks what is read."""
    rows = of_text(evidence.own)
    rows = rows[(rows["measure"] == UNCENTRED) & (rows["layer"] == FINAL_NORM)]
    rows = rows[unmarked(rows) & rows["value"].notna()]
    if rows.empty:
        return not_enough("needs a text cloud, walk --probes text --text FILE --measures representation,n-grams")
    said_by: dict[tuple[str, int], set[bool]] = {}
    lines = []
    for (model, seed, task), curve in rows.groupby(["model", "seed", "task"]):
        curve = curve.sort_values("step")
        texts = said_by.setdefault((str(model), int(str(seed))), set())
        if len(curve) < FEWEST_STEPS:
            continue
        geometry, behaviour = (
            frame[(frame["model"] == model) & (frame["seed"] == seed)]
            for frame in (evidence.geometry, evidence.behaviour)
        )
        steps, rank, error = (curve[name].to_numpy(dtype=float) for name in ("step", "value", "error"))
        run = phases_of(steps, rank, error)
        beside = of_text(geometry)
        said = vote(run, Beside(beside[beside["task"] == task], behaviour))
        about = {
            "model": model,
            "seed": seed,
            "text": task,
            "floor_step": steps[run.floor],
            "peak_step": steps[run.peak],
        }
        lines.append(
            about
            | {"floor": float(np.exp(run.rank[run.floor])), "peak": float(np.exp(run.rank[run.peak])), "vote": said}
        )
        if said is not None:
            texts.add(said)
    table = pd.DataFrame(lines)
    votes = [next(iter(texts)) for texts in said_by.values() if len(texts) == 1]
    if not votes:
        return not_enough(f"needs {FEWEST_STEPS} steps of a text cloud, {BIGRAM}, and other probes", table)
    word, p = by_votes(votes, len(said_by))
    yes, n = sum(votes), len(votes)
    low, high = share_interval(yes, n)
    value = f"RankMe of the text {what} in {yes} of {n} runs ({low:.2f} to {high:.2f}), p {p:.3f}"
    return Ruling(word, value, table, Effect(f"share of runs: {what}", yes / n, low, high, n, 0.2))


def _made_up(
    name: str, shape: tuple[float, float, float], rule: Callable[[Phases, Array, Array, Array], bool]
) -> Truth:
    """Made-up runs of 40 steps: the fall, the rise and the second fall of ln rank, with noise of .05."""

    def drawn(n_runs: int, rng: np.random.Generator) -> str:
        steps = np.unique(np.round(np.geomspace(1, 1e5, 40)))
        x = np.log10(steps) / 5
        votes = []
        for _ in range(n_runs):
            fall, rise, last = shape
            ln_rank = 4 - fall * _step(x, 0.2) + rise * _step(x, 0.5) - last * _step(x, 0.8)
            run = phases_of(
                steps, np.exp(ln_rank + rng.normal(0, 0.05, len(x))), np.full(len(x), 0.05) * np.exp(ln_rank)
            )
            divergence = np.abs(x - (0.45 if rise else rng.random())) + rng.normal(0, 0.02, len(x))
            accuracy = 0.3 * _step(x, 0.7) * bool(last) + rng.normal(0, 0.02, len(x))
            votes.append(rule(run, divergence, accuracy, np.full(len(x), 0.02)))
        return by_votes(votes, n_runs)[0]

    return Truth(
        name, f"falls by {shape[0]:g}, rises by {shape[1]:g}, falls by {shape[2]:g} in ln rank, noise .05", drawn
    )


def _step(x: Array, at: float) -> Array:
    return np.asarray(1 / (1 + np.exp(-40 * (x - at))))


_FLAT, _THREE = (0.0, 0.0, 0.0), (0.8, 0.8, 0.4)
_VOTES: dict[str, tuple[Callable[[Evidence], Ruling], Callable[[Phases, Array, Array, Array], bool]]] = {
    "warm-up": (warm_up, lambda run, divergence, accuracy, noise: warms_up(run)),
    "entropy-seeking": (entropy_seeking, lambda run, divergence, accuracy, noise: seeks_entropy(run, divergence)),
    "compression": (compression, lambda run, divergence, accuracy, noise: compresses(run, accuracy, noise)),
}
RULES = {
    name: Rule(Needs(), judge, (_made_up("null", _FLAT, vote), _made_up("the paper's effect", _THREE, vote)))
    for name, (judge, vote) in _VOTES.items()
}

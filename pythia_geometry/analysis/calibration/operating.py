"""How often each rule of a claim says each of its words: in a null, and where the paper's own effect is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd

from pythia_geometry.analysis.calibration.ledger import ChunkLedger, Moments
from pythia_geometry.analysis.calibration.words import LEGS
from pythia_geometry.analysis.claims.rules import RULES
from pythia_geometry.analysis.claims.ruling import Truth
from pythia_geometry.analysis.events.rules import share_error
from pythia_geometry.analysis.precursor.finding import LEADS, LEADS_HERE

VERSION = 3  # raise when a change moves a number
CHUNK = 50
RUNS = (1, 3, 5, 10)
COLUMNS = ["rule", "truth", "what", "runs", "word", "rate", "se", "draws"]


def calibrate_rules(
    draws: int = 100,
    seed: int = 0,
    folder: str | Path | None = None,
    notify: Callable[[str], object] = str,
    runs: Sequence[int] = RUNS,
) -> pd.DataFrame:
    """Operating characteristics of the claims' rules; those of the lead test are in `calibrate_words`.

    How it misleads: the made-up truths are simple, and a rule is asked of units that are alike; real evidence is
    messier.

    Args:
        draws: Made-up bodies of evidence a rule, truth and number of runs, rounded up to fifties.
        seed: Of the draws.
        folder: Where finished chunks are kept and found again; nowhere where None.
        notify: Told what is computed before each chunk.
        runs: Numbers of units: runs, or designs for the order of layers; a rule may have its own (seeds of an arm).

    Returns:
        One row a rule, truth, number of runs and word: rule, truth, what, runs, word, rate, se, draws.
    """
    ledger = ChunkLedger(Path(folder) if folder else None)
    cells = [(name, t, n) for name, made_up in _distinct().items() for t in made_up for n in RULES[name].runs or runs]
    return pd.DataFrame([row for cell in cells for row in _cell(*cell, draws, seed, ledger, notify)], columns=COLUMNS)


def _distinct() -> dict[str, tuple[Truth, ...]]:
    """Rules with truths of their own, each once."""
    found: dict[str, tuple[Truth, ...]] = {}
    for name, rule in RULES.items():
        if rule.truths and rule.truths not in found.values():
            found[name] = rule.truths
    return found


def _cell(
    rule: str, truth: Truth, n: int, draws: int, seed: int, ledger: ChunkLedger, notify: Callable[[str], object]
) -> list[dict[str, Any]]:
    said: Counter[str] = Counter()
    chunks = -(-draws // CHUNK)
    for chunk in range(chunks):
        key = {"rules": VERSION, "rule": rule, "truth": truth.name, "runs": n, "seed": seed, "chunk": chunk}
        moments = ledger.find(key)
        if moments is None:
            notify(f"{rule}, {truth.name}, {n} runs")
            rng = np.random.default_rng([seed, crc32(f"{rule} {truth.name}".encode()), n, chunk])
            words = Counter(truth.draw(n, rng) for _ in range(CHUNK))
            moments = {word: (float(count), float(count), CHUNK) for word, count in words.items()}
            ledger.add(key, moments)
        said.update(_counts(moments))
    total = CHUNK * chunks
    about = {"rule": rule, "truth": truth.name, "what": truth.what, "runs": n}
    return [
        about | {"word": w, "rate": k / total, "se": _error(k / total, total), "draws": total} for w, k in said.items()
    ]


def _counts(moments: Moments) -> dict[str, int]:
    return {word: int(count) for word, (count, _, _) in moments.items()}


def _error(rate: float, n: int) -> float:
    return float(share_error(np.array(rate), np.array(float(n))))


def of_lead(words: pd.DataFrame) -> pd.DataFrame:
    """The lead test's rows in the form of `calibrate_rules`: its worst null, and a lead of ×2 and of ×3.2.

    The worst null is the world without a lead in which a lead is said most often, then that in which both legs lead
    most often; its words are those of one world, and so add up.
    """
    kept = words[words["grid"].astype(str) == "154"]
    null = kept[kept["lead"].isna() & (kept["forbids"] == "")]
    tables = {
        "null": pd.concat([_worst(rows) for _, rows in null.groupby("runs", sort=False)]) if len(null) else null,
        "the paper's effect": kept[kept["world"] == "LEAD 0.3"],
        "half a decade": kept[kept["world"] == "LEAD 0.5"],
    }
    frames = [table.assign(rule="lead", truth=truth, what=table["truth"]) for truth, table in tables.items()]
    found: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return found[found["word"] != LEGS][COLUMNS]


def _worst(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one world."""
    leads = rows["rate"].where(rows["word"].isin((LEADS, LEADS_HERE)), 0.0).groupby(rows["world"], sort=False).sum()
    legs = rows["rate"].where(rows["word"] == LEGS, 0.0).groupby(rows["world"], sort=False).sum()
    ranked = pd.DataFrame({"leads": leads, "legs": legs}).sort_values(["leads", "legs"], ascending=False, kind="stable")
    is_worst: pd.Series[bool] = rows["world"] == ranked.index[0]
    return rows.loc[is_worst]

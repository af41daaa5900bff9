"""What the tables of the language suite say, by the rules of docs/decisions/0016-language-suite.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from pythia_geometry.analysis.claims.pattern_runs import first_sustained

BEGINS, FORMS = 0.1, 0.5  # share copied
MOST = 3  # of four seeds, from which a task is above chance; fewer seeds cannot show it (decision 0016)
ABOVE, AT, SOME = "above chance", "at chance", "in some seeds"


@dataclass(frozen=True)
class Tables:
    """As they ship, with a column `seed`.

    Attributes:
        progress: Losses and the share copied, by step.
        behaviour: Of the language probes.
        heads: Scores by head, means over the tasks of a probe set.
        text: What the text is, and the loss of unigrams and bigrams.
        records: What made them.
        tokens_per_step: Of training.
    """

    progress: pd.DataFrame
    behaviour: pd.DataFrame
    heads: pd.DataFrame
    text: dict[str, object]
    records: list[dict[str, object]]
    tokens_per_step: int = 2048


def read(folder: Path) -> Tables:
    """Of all seeds that are there."""
    files = sorted(folder.glob("seed*.json"))
    seeds = {int(file.stem[4:]): file for file in files}

    def every(kind: str) -> pd.DataFrame:
        load = pd.read_csv if kind.endswith("csv") else pd.read_parquet
        return pd.concat([load(folder / f"seed{seed}.{kind}").assign(seed=seed) for seed in seeds], ignore_index=True)

    records = [json.loads(file.read_text()) for file in files]
    text = json.loads((folder / "text.json").read_text())
    return Tables(every("progress.csv"), every("behaviour.parquet"), every("heads.parquet"), text, records)


@dataclass(frozen=True)
class Judged:
    """The verdicts.

    Attributes:
        seeds: By seed: bigrams (beaten at), begins, forms (steps, NaN if not), last, and the numbers of the last step.
        tasks: By task: in how many seeds it is above chance, its mean accuracy and chance, and the word.
        tables: What was judged.
    """

    seeds: pd.DataFrame
    tasks: pd.DataFrame
    tables: Tables

    def __str__(self) -> str:
        """All of it, to be printed."""
        return "\n".join(self.lines())

    def is_finished(self, seed: int) -> bool:
        """Whether a seed was trained to its end."""
        return any(one["training"]["seed"] == seed and one["is_finished"] for one in self.tables.records)

    def lines(self) -> Iterator[str]:
        """A line a seed, a word and the cost."""
        text, per_step = self.tables.text, self.tables.tokens_per_step
        yield f"held-out loss of unigrams {text['unigram']:.2f}, of bigrams {text['bigram']:.2f} nats a token"
        for row in self.seeds.itertuples():
            begins, forms = (
                f"at step {step:,.0f} ({step * per_step / 1e6:.2f}M tokens)"
                if step == step
                else f"not in {row.last:,} steps ({row.last * per_step / 1e6:.1f}M tokens)"
                for step in (row.begins, row.forms)
            )
            beaten, half = (f"at step {at:,.0f}" if at == at else "never" for at in (row.bigrams, row.head_half))
            still = "" if self.is_finished(row.seed) else f" (unfinished, at step {row.last:,})"
            yield (
                f"seed {row.seed}{still}: bigrams beaten {beaten}; induction begins {begins}, forms {forms}; at "
                f"the end held-out {row.held_out:.3f}, copied {row.copied:.3f}, first copy {row.first:.2f}, second "
                f"{row.second:.2f}; largest induction score of a head {row.head_score:.2f} (resid_{row.layer} head {row.head}), "
                f".5 first {half}"
            )
        for word in (ABOVE, SOME, AT):
            rows = self.tasks[self.tasks["word"] == word]
            told = ", ".join(
                f"{r.task} {r.accuracy:.2f} ({r.bar:.2f}; {r.above}/{r.n_seeds})" for r in rows.itertuples()
            )
            yield f"{word}, {len(rows)} tasks: accuracy (chance or commonest answer; seeds above): {told or '–'}"
        if left_out := sorted(set(self.seeds["seed"]) - self.probed):
            yield f"left out of the tasks, as not walked to the last step: seed {', '.join(map(str, left_out))}"
        yield self.cost()

    def cost(self) -> str:
        """CPU time, with every machine."""
        costs = [record["cpu_seconds"] for record in self.tables.records]
        machines = "; ".join(dict.fromkeys(str(record["machine"]) for record in self.tables.records))
        return (
            f"{len(costs)} seed{'s' * (len(costs) != 1)}, {sum(c['training'] for c in costs) / 60:.0f} CPU-minutes of training and "
            f"{sum(c['walk'] for c in costs) / 60:.0f} of walking ({machines})"
        )

    @property
    def probed(self) -> set[int]:
        """Seeds whose probes were walked at the last step: those that the tasks are judged on."""
        behaviour = self.tables.behaviour
        return set(behaviour.loc[behaviour["step"] == behaviour["step"].max(), "seed"])


def judged(tables: Tables) -> Judged:
    """By the rules that were written down before the first run."""
    seeds = pd.DataFrame([_of_seed(seed, rows, tables) for seed, rows in tables.progress.groupby("seed")])
    return Judged(seeds, _tasks(tables.behaviour), tables)


def _of_seed(seed: object, rows: pd.DataFrame, tables: Tables) -> dict[str, object]:
    rows = rows.sort_values("step")
    steps, copied = rows["step"].to_numpy(), rows["copied"].to_numpy()

    def when(holds: np.ndarray) -> float:
        first = first_sustained(holds)
        return np.nan if first is None else float(steps[first])

    heads = tables.heads[(tables.heads["seed"] == seed) & (tables.heads["measure"] == "induction")]
    best = heads.groupby(["step", "layer", "head"])["value"].mean()  # over the probe sets
    last_step = best.index.get_level_values("step").max()
    _, layer, head = best.loc[[last_step]].idxmax()
    curve = best.groupby("step").max()
    reached = curve.index[curve >= 0.5]
    last = rows.iloc[-1]
    return {
        "seed": seed,
        "bigrams": when((rows["held_out"] < tables.text["bigram"]).to_numpy()),
        "begins": when(copied >= BEGINS),
        "forms": when(copied >= FORMS),
        "last": int(last["step"]),
        **{name: float(last[name]) for name in ("held_out", "first", "second", "copied")},
        "head_score": float(curve.loc[last_step]),
        "layer": int(str(layer).rpartition("_")[2]),
        "head": int(head),
        "head_half": float(reached[0]) if len(reached) else np.nan,
    }


def _tasks(behaviour: pd.DataFrame) -> pd.DataFrame:
    """Accuracy at the last step against chance and the commonest answer."""
    last = behaviour[(behaviour["metric"] == "accuracy") & (behaviour["step"] == behaviour["step"].max())]
    rows = []
    for (probe, task), mine in last.groupby(["probe", "task"], observed=True):
        bar = float(mine[["chance", "majority"]].max(axis=1).max())
        lows = [
            binomtest(round(value * n), int(n)).proportion_ci(method="wilson").low
            for value, n in zip(mine["value"].astype(float), mine["n"], strict=True)
        ]
        above, n_seeds = sum(low > bar for low in lows), len(lows)
        word = ABOVE if above >= MOST else SOME if above else AT
        rows.append([probe, task, float(mine["value"].mean()), bar, above, n_seeds, word])
    return pd.DataFrame(rows, columns=["probe", "task", "accuracy", "bar", "above", "n_seeds", "word"])

"""Tables made by hand for the pictures."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pythia_geometry.store.tables import ANSWERS, BEHAVIOUR, CHECKPOINTS, GEOMETRY, Tables

LAYERS = ("embed", "resid_1", "resid_2", "final_norm")
STEPS = (0, 1, 2, 4, 8, 16, 64, 1000)


def make_tables(
    tasks: Sequence[str] = ("alpha", "beta", "gamma"),
    steps: Sequence[int] = STEPS,
    seeds: Sequence[int] = (0,),
    value: float | None = None,
) -> Tables:
    """RankMe that differs by task, layer and step (or is `value`), accuracy that rises."""
    geometry, behaviour = [], []
    for seed in seeds:
        for t, task in enumerate(tasks):
            for i, step in enumerate(steps):
                about = {"suite": "s", "model": "m", "seed": seed, "step": step, "probe": "p", "task": task}
                for index, layer in enumerate(LAYERS):
                    number = 5.0 + 10 * t + 7 * abs(3 - i) + 2 * index if value is None else value
                    for measure in ("rankme", "rankme_centred"):
                        geometry.append(
                            {**about, "layer": layer, "layer_index": index, "measure": measure, "value": number,
                             "error": number / 20, "ceiling": 64.0, "n": 64, "reason": "", "position": "last"}
                        )  # fmt: skip
                for metric, offset in (("accuracy", 0.1), ("log_prob", -5.0)):
                    behaviour.append(
                        {**about, "metric": metric, "value": offset + 0.1 * i if value is None else value,
                         "error": 0.02, "n": 64, "chance": 0.25, "majority": 0.1, "reason": "", "source": "walk"}
                    )  # fmt: skip
    return Tables(typed(geometry, GEOMETRY), typed(behaviour, BEHAVIOUR), typed([], CHECKPOINTS), typed([], ANSWERS))


def typed(rows: list[dict[str, object]], schema: dict[str, str]) -> pd.DataFrame:
    """A frame with the columns and types of a table."""
    return pd.DataFrame(rows).reindex(columns=list(schema)).astype(schema)

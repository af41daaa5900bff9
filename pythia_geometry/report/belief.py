"""Which numbers of a walk may be believed and which not, and why: the reasons on its rows, gathered by measure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pandas as pd

from pythia_geometry.analysis.tables.reading import unmarked
from pythia_geometry.measures import MEASURES

COLUMNS = ["measure", "rows", "believed", "why not", "rows so", "from step", "to step"]
_NUMBER = re.compile(r"[-+]?\d[\d,.]*(e[-+]?\d+)?(\s?%)?")


NO_ROWS = "no rows: nothing here that it could be taken of"


def belief(geometry: pd.DataFrame, asked: Iterable[str] = ()) -> pd.DataFrame:
    """One row a measure and kind of reason; of a measure without any, one row with an empty reason.

    A row that counts twice has two reasons. `believed` counts rows with a value and no reason: nothing that is checked
    speaks against them, which is not that they are right.

    Args:
        geometry: The `geometry` table.
        asked: Measures that were chosen: one of which the table has no row is said to have none.

    Returns:
        The columns `COLUMNS`, in the order of the list of measures.
    """
    geometry = geometry if "reason" in geometry else geometry.assign(reason="")
    good = unmarked(geometry) & geometry["value"].notna()
    found = []
    for name, rows in geometry.assign(_good=good).groupby("measure", sort=False):
        about = {"measure": name, "rows": len(rows), "believed": int(rows["_good"].sum())}
        bad = rows[~rows["_good"]]
        kinds = pd.DataFrame(
            [
                (kind, step)
                for reason, step in zip(bad["reason"], bad["step"], strict=True)
                for kind in kinds_of(reason)
            ],
            columns=["why", "step"],
        )
        if kinds.empty:
            found.append(about | {"why not": "", "rows so": 0})
        for why, steps in kinds.groupby("why", sort=False)["step"]:
            found.append(
                about | {"why not": why, "rows so": len(steps), "from step": steps.min(), "to step": steps.max()}
            )
    missing = set(asked) - {row["measure"] for row in found}
    found += [{"measure": name, "rows": 0, "believed": 0, "why not": NO_ROWS, "rows so": 0} for name in missing]
    table = pd.DataFrame(found, columns=COLUMNS).astype({"from step": "Int64", "to step": "Int64"})
    places = {name: place for place, name in enumerate(MEASURES)}
    order = table["measure"].map(lambda name: places.get(name, len(places)))
    return table.assign(order=order).sort_values("order", kind="stable", ignore_index=True).drop(columns="order")


def kinds_of(reason: object) -> Iterator[str]:
    """The kinds of fault that a reason names, without their numbers."""
    parts = str(reason).split("; ") if isinstance(reason, str) and reason else ["no value"]
    for part in parts:
        head = part.split(": ")[0] if not part.startswith(("no loss", "needs")) else part
        yield _NUMBER.sub("…", head)

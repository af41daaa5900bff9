"""C5, C6 and C12 on the lab's page: when each measure moves beside behaviour, how it goes, and what may be believed."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.moves import Lag, lags
from pythia_geometry.analysis.claims.surface import BESIDE, DECODED, HESSIAN, RISE, SELECTIVITY
from pythia_geometry.analysis.tables.reading import unmarked
from pythia_geometry.report.figures import SHORT_STEP, _styled
from pythia_geometry.report.style import PALETTE

FINAL_NORM = "final_norm"
CLAIMS = {RISE.name: "C5", HESSIAN.name: "C6", SELECTIVITY.name: "C12", DECODED.name: "C12"}
PANELS = {
    "rankme": "RankMe, mean of 8 levels",
    "fisher_rank": "Fisher effective rank",
    "covariance_rank": "gradient-covariance rank",
    "llc": "local learning coefficient",
    "hessian_top": "largest Hessian eigenvalue",
    "noise_scale": "gradient noise scale",
    "decoding_selectivity": "decoding selectivity, mean of 8",
    "decoding_own": "the model's own answer, mean of 8",
}
ON_LOG = ("fisher_rank", "covariance_rank", "hessian_top", "noise_scale", "llc")
TICKS = [0, 10, 100, 1_000, 10_000]


def order_rows(surfaces: Evidence | None) -> pd.DataFrame:
    """One row a measure: by how many decades of steps it moves before behaviour."""
    if surfaces is None:
        return pd.DataFrame()
    rows = []
    for curve in (RISE, HESSIAN, SELECTIVITY, DECODED, *BESIDE):
        lag = lags(surfaces.geometry, surfaces.behaviour, curve, surfaces.tasks)
        row = {"measure": curve.name, "claim": CLAIMS.get(curve.name, "beside")}
        rows.append(row | (_told(lag) if isinstance(lag, Lag) else {"lag, decades (90 %)": lag}))
    return pd.DataFrame(rows).fillna("–")


def _told(lag: Lag) -> dict[str, object]:
    of_run = lag.rows.groupby(["model", "seed"])["lag"].mean()
    return {
        "lag, decades (90 %)": f"{lag.value:+.2f} ({lag.low:+.2f} to {lag.high:+.2f})",
        "by run": ", ".join(f"{value:+.2f}" for value in of_run),
        "moves first": f"{int((lag.rows['lag'] > 0).sum())} of {len(lag.rows)}",
        "runs": str(lag.n_runs),
        "families": str(lag.n_families),
    }


def belief_rows(surfaces: Evidence | None) -> pd.DataFrame:
    """One row a measure: how many of its rows nothing speaks against, and what speaks against the others."""
    if surfaces is None:
        return pd.DataFrame()
    rows = []
    for measure, mine in surfaces.geometry.groupby("measure"):
        good = unmarked(mine) & mine["value"].notna()
        reasons = mine.loc[~good, "reason"].str.split(r"[:;]", regex=True).str[0]
        reasons = reasons.str.replace(r"\d+%", "over a fifth", regex=True).value_counts()
        counts = mine.groupby(["model", "seed"])["step"].nunique()
        many = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
        rows.append(
            {
                "measure": measure, "steps a run": f"{many} from {mine['step'].min()} to {mine['step'].max()}", "rows": len(mine),
                "nothing speaks against": int(good.sum()),
                "what speaks against the others": "; ".join(f"{why} ({n})" for why, n in reasons.head(2).items()) or "–",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def picture(surfaces: Evidence) -> Any:
    """Every measure by step, one line a seed; rows that have a reason are left out."""
    rows = surfaces.geometry[unmarked(surfaces.geometry) & surfaces.geometry["value"].notna()]
    panels = [_panel(rows[rows["measure"] == measure], measure) for measure in PANELS]
    lines = [alt.hconcat(*panels[start : start + 4], spacing=14) for start in (0, 4)]
    n = surfaces.geometry.groupby(["model", "seed"]).ngroups
    return _styled(
        alt.vconcat(*lines, spacing=10),
        f"The measures of the paper on one lab model — {', '.join(surfaces.geometry['model'].unique())}, {n} seeds",
        "one line a seed; loss of the training mixture; representations after the final norm; only rows that nothing speaks against",
    )


def _panel(rows: pd.DataFrame, measure: str) -> Any:
    if measure.startswith(("rankme", "decoding")):
        rows = rows[rows["layer"] == FINAL_NORM]
    mine = rows.groupby(["seed", "step"], as_index=False)["value"].mean()
    x = alt.X(
        "step:Q", title="step", scale=alt.Scale(type="symlog", constant=8, nice=False),
        axis=alt.Axis(values=TICKS, labelExpr=SHORT_STEP, grid=False),
    )  # fmt: skip
    scale = alt.Scale(type="log", nice=False) if measure in ON_LOG else alt.Scale(zero=False)
    y = alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(tickCount=4, format="~g"))
    line = alt.Chart(mine).mark_line(strokeWidth=1.4, opacity=0.9, point={"size": 14})
    line = line.encode(x=x, y=y, color=alt.Color("seed:N", scale=alt.Scale(range=PALETTE), title="seed"))
    return line.properties(width=190, height=130, title=PANELS[measure])

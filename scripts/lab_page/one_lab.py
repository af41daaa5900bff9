"""The claims on the designed runs alone: randomised release, every measure taken on the same runs (decision 0013)."""

from __future__ import annotations

import pandas as pd

from lab_page.designed import Arm
from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.table import judge_claims

CLAIMS = ("C1", "C2", "C3", "C5", "C6", "C12")  # C4 has rows of its own, by arm
OF_DIFFICULTY = ("C7", "C8", "C9")


def released(arms: list[Arm]) -> list[Arm]:
    """Arms in which release is random and nothing is planted."""
    return [arm for arm in arms if arm.is_released and not arm.is_planted]


def rows(arms: list[Arm]) -> pd.DataFrame:
    """One row a claim."""
    mine = released(arms)
    if not mine:
        return pd.DataFrame()
    sizes = {arm.model: arm.made[0]["n_parameters"] for arm in mine}
    geometry = pd.concat([arm.rows(arm.reference.geometry) for arm in mine])
    behaviour = pd.concat([arm.behaviour for arm in mine])
    clocked = pd.concat([since_opening(arm) for arm in mine])
    measured = mine[0].reference.surfaces
    surfaces = Evidence("", measured.geometry, measured.behaviour) if measured else None
    judged = judge_claims(
        [
            Evidence("step", geometry, behaviour, sizes, surfaces=surfaces, claims=CLAIMS),
            Evidence("step after the loss opens", geometry, clocked, sizes, claims=OF_DIFFICULTY),
        ]
    ).table
    told = judged["value"].str.partition(". Beside it")[0].str.replace(" | ", "; ")
    return pd.DataFrame(
        {
            "claim": "**" + judged["id"] + "** " + judged["claim"], "answer": judged["verdict"], "numbers": told,
            "of made-up runs the rule says": judged["operating"].replace("", "–"),
        }
    ).sort_values("claim", key=lambda names: names.str.extract(r"C(\d+)")[0].astype(int))  # fmt: skip


def since_opening(arm: Arm) -> pd.DataFrame:
    """Behaviour with its steps counted from the opening of each level's loss; what is before it is left out.

    The step of emergence is mostly ours in these runs, since we drew the openings: difficulty is what comes after.
    """
    opens = arm.steps("loss_opens").rename(columns={"released": "opens"})
    table = arm.behaviour.merge(opens, on=["model", "seed", "task"], how="left")
    table = table.assign(step=table["step"] - table["opens"].astype(int))
    return table[table["step"] >= 0].drop(columns="opens")

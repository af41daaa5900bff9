"""The claims on the designed runs alone: randomised release, every measure taken on the same runs (decision 0013)."""

from __future__ import annotations

import pandas as pd

from lab_page.designed import Arm
from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.table import judge_claims

# C4 has rows of its own, by arm; C1 asks what comes first, which is ours here.
OF_ONE, OF_SIZES = ("C3", "C5", "C6", "C12"), ("C2",)
DIFFICULTY_OF_ONE, DIFFICULTY_OF_SIZES = ("C7", "C8"), ("C9",)


def released(arms: list[Arm]) -> list[Arm]:
    """Arms in which release is random and nothing is planted."""
    return [arm for arm in arms if arm.is_released and not arm.is_planted]


def rows(arms: list[Arm]) -> pd.DataFrame:
    """One row a claim and arm; claims that compare sizes have one of all arms."""
    mine = released(arms)
    groups = [([arm], OF_ONE, DIFFICULTY_OF_ONE) for arm in mine]
    groups += [(mine, OF_SIZES, DIFFICULTY_OF_SIZES)] if mine else []
    told = [_judged(*group) for group in groups]
    if not told:
        return pd.DataFrame()
    place = {claim: int(claim[1:]) for table in told for claim in table["id"]}
    table = pd.concat(told).sort_values("id", key=lambda ids: ids.map(place), kind="stable")
    numbers = table["value"].str.partition(". Beside it")[0].str.replace(" | ", "; ")
    return pd.DataFrame(
        {
            "claim": "**" + table["id"] + "** " + table["claim"], "runs": table["runs"], "answer": table["verdict"],
            "numbers": numbers, "of made-up runs the rule says": table["operating"].replace("", "–"),
        }
    )  # fmt: skip


def _judged(arms: list[Arm], claims: tuple[str, ...], of_difficulty: tuple[str, ...]) -> pd.DataFrame:
    """The claims on the arms as one body of evidence."""
    sizes = {arm.model: arm.made[0]["n_parameters"] for arm in arms}
    geometry = pd.concat([arm.rows(arm.reference.geometry) for arm in arms])
    behaviour, clocked = (pd.concat(list(map(of, arms))) for of in (lambda arm: arm.behaviour, since_opening))
    measured = arms[0].reference.of(list(sizes)).surfaces
    surfaces = Evidence("", measured.geometry, measured.behaviour) if measured else None
    asked = [
        Evidence("step", geometry, behaviour, sizes, surfaces=surfaces, claims=claims),
        Evidence("step after the loss opens", geometry, clocked, sizes, claims=of_difficulty),
    ]
    return judge_claims(asked).table.assign(runs=", ".join(f"{len(arm.made)} {arm.scale}" for arm in arms))


def since_opening(arm: Arm) -> pd.DataFrame:
    """Behaviour with its steps counted from the opening of each level's loss; the last checkpoint before is step 0.

    The step of emergence is mostly ours in these runs, since we drew the openings: difficulty is what comes after. A level
    that another had taught before its opening reads as quick.
    """
    keys = ["model", "seed", "task"]
    opens = arm.steps("loss_opens").rename(columns={"released": "opens"})
    table = arm.behaviour.merge(opens, on=keys, how="left")
    before = table["step"].where(table["step"] <= table["opens"]).groupby([table[key] for key in keys]).transform("max")
    kept = table[table["step"] >= before]
    return kept.assign(step=(kept["step"] - kept["opens"]).clip(lower=0).astype(int)).drop(columns="opens")

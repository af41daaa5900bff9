"""Writes docs/lab.md and its pictures from data/reference: what the lab's runs say about the claims C1 to C9 and C12.

python scripts/build_lab_page.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from lab_page import depths, designed, numbers, one_lab, paired, pictures, plateau, sizes, surfaces
from lab_page.answers import answers, checks
from lab_page.designed import Arm
from lab_page.sentences import unfounded

from pythia_geometry.analysis.claims.evidence import Evidence
from pythia_geometry.analysis.claims.lab_reference import Reference, read_reference
from pythia_geometry.analysis.events.collapse import TRANSIENT
from pythia_geometry.analysis.events.layer_order import sign_test
from pythia_geometry.commands.comparison import lab_evidence
from pythia_geometry.report.drawing import save

ROOT = Path(__file__).resolve().parents[1]
SHELVES = ROOT / "data" / "reference"
NONE_YET = "None of these runs is done yet: `python scripts/lab_reference.py --list`.\n"
PAGE, FIGURES = ROOT / "docs" / "lab.md", ROOT / "docs" / "figures"
HEAD = Path(__file__).parent / "lab_page" / "head.md"
CONVENTIONS = {"rankme": "uncentred", "rankme_centred": "centred", "rankme_rownorm": "row-normalised"}


def table(frame: pd.DataFrame) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + "---|" * len(frame.columns)]
    lines += ["| " + " | ".join(map(text, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def text(value: object) -> str:
    if isinstance(value, float):
        return "–" if value != value else f"{value:.2f}"
    return str(value)


def runs_table(reference: Reference) -> pd.DataFrame:
    """What was trained, and how it ended."""
    rows = []
    exact = reference.behaviour[reference.behaviour["metric"] == "exact_match"]
    for name, made in reference.made.items():
        run = made["training"]
        mine = exact[(exact["model"] == f"{run['scale']}-{run['architecture']}") & (exact["seed"] == run["seed"])]
        final = mine[mine["step"] == mine["step"].max()].set_index("task")["value"]
        short = ", ".join(f"{task} {value:.2f}" for task, value in final[final < 0.9].items())
        seconds = made.get("cpu_seconds")
        rows.append(
            {
                "run": name,
                "parameters": f"{numbers.parameters(run['scale']):,}",
                "steps": f"{run['steps']:,}",
                "checkpoints": mine["step"].nunique(),
                "levels at exact match ≥ .90": f"{int((final >= 0.9).sum())} of {len(final)}",
                "the others": short or "–",
                "CPU min": f"{seconds / 60:.0f}" if seconds else "not recorded",
                "commit": made["commit"][:7],
            }
        )
    return pd.DataFrame(rows)


def scaling_table(found: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for architecture in ("gpt2", "neox"):
        for measure, what, s in numbers.floor_scaling(found, architecture):
            if s.n_sizes < 2:
                continue
            rows.append(
                {
                    "sizes": f"{architecture}, {s.n_sizes}", "runs": s.n_runs, "RankMe": CONVENTIONS[measure], "of": what,
                    "task-levels": s.n_tasks, "slope a decade": s.slope,
                    "90 % interval": "–" if s.low != s.low else f"{s.low:.2f} … {s.high:.2f}",
                    "share of variance between tasks": s.task_share, "verdict at ± .10": s.verdict,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def order_table(found: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (phase, measure), (order, voted) in numbers.order_votes(found).items():
        n_top, n_votes, p = sign_test(voted)
        rows.append(
            {
                "fall": phase, "RankMe": CONVENTIONS[measure], "runs top-down": f"{n_top} of {n_votes} that vote",
                "sign test p": p, "runs that cannot vote": len(voted) - n_votes,
                "task × run top-down (not independent)": f"{int((order['tau'] < 0).sum())} of {order['tau'].notna().sum()}",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def votes_table(found: pd.DataFrame) -> pd.DataFrame:
    _, voted = numbers.order_votes(found)[TRANSIENT, "rankme"]
    return voted


def leads_table(found: pd.DataFrame, emerged: pd.DataFrame) -> pd.DataFrame:
    frames = [
        numbers.leads(found, emerged, measure).assign(RankMe=CONVENTIONS[measure])
        for measure in ("rankme", "rankme_centred")
    ]
    rows = pd.concat(frames)
    return pd.DataFrame(
        {
            "model": rows["model"], "seeds": rows["seeds"], "RankMe": rows["RankMe"],
            "behaviour": rows["clock"].map({"exact_match": "exact match", "log_prob": "log-prob."}),
            "both at": rows["rule"].map({"F10": "10 %", "F50": "50 %"}),
            "leads / tied / lags": [f"{a} / {b} / {c}" for a, b, c in zip(rows["own leads"], rows["own tied"], rows["own lags"], strict=True)],
            "lead, own": rows["own share"], "lead, other levels' geometry": rows["other share"],
            "own, earlier half": rows["early share"],
            "own, later half": rows["late share"],
            "excess": rows["own share"] - rows["other share"], "median lead, decades": rows["median decades"],
        }
    )  # fmt: skip


def matched_table(evidence: Evidence) -> pd.DataFrame:
    """The verdicts of `pythia-geom precursors` on each model and convention, Holm over all of them."""
    verdicts, problem = evidence.precursors
    assert not problem, problem
    rows = []
    for verdict in verdicts:
        found = verdict.finding
        row = {"model": verdict.model, "runs": len(verdict.power.chosen.runs), "RankMe": CONVENTIONS[verdict.measure]}
        row |= {"families": verdict.power.chosen.n_families, "power at half a decade": verdict.power.decisive}
        for metric, leg in found.legs.items() if found else ():
            row[f"{metric}: p"] = f"{leg.p_specific:.3f}"
            row[f"{metric}: lag, decades"] = f"{leg.lag:+.2f} ({leg.lower:+.2f} to {leg.upper:+.2f})"
        companion = found.companion if found else None
        row["shuffled: p, kept"] = f"{companion.p:.3f}, {companion.kept:.2f}" if companion else "–"
        bend = found.bend if found else float("nan")
        row |= {"p, Holm": verdict.p_adjusted, "bend that ends it": "–" if bend != bend else f"{bend:g}"}
        rows.append(row | {"verdict": verdict.label})
    return pd.DataFrame(rows)


def universality_table(found: pd.DataFrame) -> pd.DataFrame:
    rows = numbers.universality(found)
    rows["measure"] = rows["measure"].map(CONVENTIONS)
    return rows.rename(
        columns={
            "measure": "RankMe", "transient": "transient collapses", "transient recovered": "and come back",
            "transient depth": "floor / start, median", "plateau": "plateau collapses",
            "plateau recovered": "and come back ", "plateau depth": "floor / start, median ",
        }
    )  # fmt: skip


def of_designed(arms: list[Arm]) -> dict[str, str]:
    """The tables of the designed runs; one sentence where none is done."""
    made = {
        "power": designed.power_rows, "follows": designed.follows_rows, "events": designed.event_rows,
        "designed": designed.matched_rows, "paired": paired.rows,
    }  # fmt: skip
    tables = {name: rows(arms) for name, rows in made.items()}
    return {name: table(rows) if len(rows) else NONE_YET for name, rows in tables.items()}


def of_sizes(first_steps: pd.DataFrame) -> dict[str, str]:
    """The tables of the first 60 steps by size."""
    if first_steps.empty:
        return {"sizes": NONE_YET, "slopes": NONE_YET}
    slopes = sizes.slope_rows(sizes.by_rate(first_steps))  # none of one size
    picture = "\n![Start, floor and floor ÷ start by size](figures/lab-sizes.svg)\n"
    return {
        "sizes": table(sizes.sizes_rows(first_steps)),
        "slopes": table(slopes) + picture if len(slopes) else "One size has no slope.\n",
    }


def of_surfaces(measured: Evidence | None) -> dict[str, str]:
    """The tables of the loss surface and decoding; one sentence where no run was measured."""
    if measured is None:
        none = "No run is measured yet: `python scripts/landscape_reference.py RUN`.\n"
        return {"order_of_measures": none, "belief": none}
    picture = "\n![Eight measures by step, one line a seed](figures/lab-surface.svg)\n"
    return {
        "order_of_measures": table(surfaces.order_rows(measured)),
        "belief": table(surfaces.belief_rows(measured)) + picture,
    }


def parts(reference: Reference) -> dict[str, str]:
    """Every table of the page, by the name at which head.md wants it."""
    found, emerged = numbers.falls(reference), numbers.emergence(reference)
    evidence, arms = lab_evidence(), designed.arms(SHELVES / "staggered")
    first_steps, mod = sizes.transients(SHELVES / "transient"), plateau.plateaus(reference, SHELVES / "plateau")
    models = sorted(found["model"].unique(), key=lambda m: (numbers.parameters(m), m))
    return {
        "runs": table(runs_table(reference)),
        "levels": "\n".join(
            f"**{model}** ({found.loc[found['model'] == model, 'seed'].nunique()} seeds)\n\n"
            + table(numbers.levels_table(found, emerged, model))
            for model in models
        ),
        "universality": table(universality_table(found)),
        "scaling": table(scaling_table(found)),
        "mod": table(plateau.run_rows(mod)),
        "mod_slopes": table(plateau.slope_rows(mod)),
        "order": table(order_table(found)),
        "votes": table(votes_table(found)),
        "leads": table(leads_table(found, emerged)),
        "matched": table(matched_table(evidence)),
        "answers": table(answers(evidence, first_steps, mod, arms)),
        "checks": table(checks(arms)) if arms else NONE_YET,
        "released_order": table(depths.order_rows(pd.concat([arm.rows(arm.reference.geometry) for arm in random])))
        if (random := one_lab.released(arms))
        else NONE_YET,
        "one_lab": table(one_lab.rows(arms)) if one_lab.released(arms) else NONE_YET,
        **of_surfaces(evidence.surfaces),
        **of_designed(arms),
        **of_sizes(first_steps),
        "depths": table(depths.depth_rows(SHELVES / "transient")),
        "random_labels": table(null) if len(null := depths.null_rows(SHELVES / "random_labels")) else NONE_YET,
        "n_levels": str(found["task"].nunique()),
        "n_runs": str(len(reference.made)),
    }


def main() -> None:
    """Writes the page and its pictures."""
    reference = read_reference().own()
    page = HEAD.read_text(encoding="utf-8")
    for name, content in parts(reference).items():
        assert f"{{{name}}}" in page, name
        page = page.replace(f"{{{name}}}", content)
    PAGE.write_text(page, encoding="utf-8")
    if missing := unfounded(page):
        print(
            f"The first screen says {', '.join(missing)}, which no table of the page holds: edit {HEAD}",
            file=sys.stderr,
        )
    found, first_steps = numbers.falls(reference), sizes.transients(SHELVES / "transient")
    charts = {
        "lab-seeds": pictures.seeds_picture(reference.geometry, reference.behaviour, "nano-gpt2"),
        "lab-floors": pictures.floors_picture(found),
        "lab-order": pictures.order_picture(found),
    }
    if len(first_steps) and first_steps["parameters"].nunique() > 1:
        charts["lab-sizes"] = pictures.sizes_picture(sizes.own_rate(first_steps))
    if released := [arm for arm in designed.arms(SHELVES / "staggered") if arm.is_released]:
        charts["lab-release"] = pictures.release_picture(released)
    if measured := lab_evidence().surfaces:
        charts["lab-surface"] = surfaces.picture(measured)
    for name, chart in charts.items():
        FIGURES.mkdir(exist_ok=True)
        (FIGURES / f"{name}.svg").write_bytes(save(chart)["svg"])
        print(FIGURES / f"{name}.svg")
    print(PAGE, "from", len(reference.made), "runs")


if __name__ == "__main__":
    main()

"""The front of the page: what was found in three sentences, what was run, what can be trusted, what it takes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pythia_geometry.report.page.html_parts import folded, paragraph, table
from pythia_geometry.report.page.inputs import Source, frames, summaries
from pythia_geometry.suites.checkpoint import OK, run_name

_KINDS = {"parts": "parts", "activations": "activations", "results": "results", "figures": "figures"}


def in_short(sources: Sequence[Source]) -> str:
    """Three paragraphs: what is seen, what was tested, what is not known."""
    return "".join(paragraph(words, "said-first") for words in (_seen(sources), _tested(sources), _unknown(sources)))


def what_was_run(sources: Sequence[Source]) -> str:
    """A row for each run."""
    rows = []
    for source in sources:
        held = source.tables.checkpoints
        geometry = source.tables.geometry
        for (model, seed), steps in held.groupby(["model", "seed"], sort=False):
            mine = geometry[(geometry["model"] == model) & (geometry["seed"] == seed)]
            row = {"run": source.label + run_name(str(model), int(str(seed))), "suite": steps["suite"].iloc[0]}
            row |= {"checkpoints": len(steps), "first step": int(steps["step"].min())}
            row |= {"last step": int(steps["step"].max()), "tokens at last step": steps["tokens"].max()}
            row |= {"tasks": len(mine[["probe", "task"]].drop_duplicates())}
            row |= {name: ", ".join(mine[name].dropna().unique()) for name in ("measure", "precision")}
            rows.append(row | {"folder": source.path.resolve().name})
    return table(pd.DataFrame(rows), "runs")


def trusted(sources: Sequence[Source]) -> str:
    """Checkpoints that are not ok, numbers that are missing, results that are refused."""
    parts = []
    for source in sources:
        name, steps = source.path.resolve().name, source.tables.checkpoints
        counts = ", ".join(f"{n} {status}" for status, n in steps["status"].value_counts().items())
        parts.append(paragraph(f"{name}: {len(steps)} checkpoints{': ' if counts else ''}{counts}."))
        if len(bad := steps[steps["status"] != OK]):
            parts.append(table(bad[["model", "seed", "step", "status", "detail"]], "checkpoints that are not ok"))
        for kind in ("geometry", "behaviour"):
            parts.append(paragraph(f"{kind}: {_counted(getattr(source.tables, kind))}"))
        if (belief := source.path / "belief.csv").is_file():
            believed = pd.read_csv(belief, keep_default_na=False)
            parts.append(folded("Which numbers may be believed, by measure (belief.csv)", table(believed, "belief")))
        parts += [paragraph(f"Not shown: {why}", "note") for why in source.refused]
    return "".join(parts)


def costs(sources: Sequence[Source]) -> str:
    """What the run folders take on the disk; their weights were not kept in them."""
    rows = []
    for source in sources:
        row: dict[str, object] = {"folder": source.path.resolve().name}
        files = [file for file in source.path.rglob("*") if file.is_file()]
        for kind in (*_KINDS, "tables and the rest"):
            of_kind = [
                f for f in files if _KINDS.get(f.relative_to(source.path).parts[0], "tables and the rest") == kind
            ]
            row[f"{kind}, MB"] = round(sum(file.stat().st_size for file in of_kind) / 1e6, 2)
        row["rows"] = len(source.tables.geometry) + len(source.tables.behaviour) + len(source.tables.answers)
        rows.append(row)
    words = "Measured when this page was written. A run folder does not record how long its walk took."
    return table(pd.DataFrame(rows), "what the run folders take") + paragraph(words, "note")


def shown_twice(frame: pd.DataFrame, keys: Sequence[str]) -> int:
    """How many rows say again what another row is about."""
    return int(frame.duplicated(list(keys)).sum())


def _seen(sources: Sequence[Source]) -> str:
    summary = summaries(sources)
    if summary.empty:
        return "Seen: there is no summary.csv yet, so that the curves below stand without one."
    falls, rises = int(summary["floor"].notna().sum()), int((summary["rose"].fillna("").astype(str) != "").sum())
    runs = len(summary[["model", "seed"]].drop_duplicates())
    return (
        f"Seen: after the final norm RankMe falls to a floor in {falls} of {len(summary)} tasks, and accuracy rises "
        f"for good in {rises} of them, over {runs} run{'s' if runs > 1 else ''} (summary.csv). "
        "That describes and tests nothing."
    )


def _tested(sources: Sequence[Source]) -> str:
    said = [
        f"whether geometry moves first, {row['model']}, {row['measure']}: {row['verdict']} ({row['reasons']})"
        for row in frames(sources, "precursors").to_dict("records")
    ]
    words = [f"Tested: {'; '.join(said)}."] if said else []
    claims = frames(sources, "claims")
    for evidence, rows in claims.groupby("evidence", sort=False) if len(claims) else []:
        counts = ", ".join(f"{n} {word}" for word, n in rows["verdict"].value_counts().items())
        words.append(f"Of the published claims, {evidence} says: {counts}.")
    return " ".join(words) or "Tested: nothing yet. What the curves show until then is description."


def _unknown(sources: Sequence[Source]) -> str:
    bad = sum(int((source.tables.checkpoints["status"] != OK).sum()) for source in sources)
    values = [frame["value"] for s in sources for frame in (s.tables.geometry, s.tables.behaviour)]
    missing, whole = sum(int(v.isna().sum()) for v in values), sum(map(len, values))
    asked = [("precursors", "whether geometry leads behaviour"), ("claims", "the published claims")]
    asked += [("doctor", "whether the steps can be trusted")]
    lacking = [what for name, what in asked if frames(sources, name).empty]
    said = [f"{missing:,} of {whole:,} numbers could not be computed", f"{bad} checkpoints could not be used"]
    told = f" Not tested yet: {', '.join(lacking)}." if lacking else ""
    return f"Not known: {' and '.join(said)}.{told}"


def _counted(frame: pd.DataFrame) -> str:
    missing = int(frame["value"].isna().sum())
    warned = int((frame["value"].notna() & (frame["reason"].fillna("") != "")).sum())
    about = [
        c for c in frame.columns if c not in ("value", "error", "ceiling", "n", "reason", "probe_sha256", "precision")
    ]
    again = shown_twice(frame, about)
    twice = f" {again:,} say again what another row says; both are shown." if again else ""
    return (
        f"{len(frame):,} rows; {missing:,} could not be computed and {warned:,} carry a warning, each with its reason."
        + twice
    )

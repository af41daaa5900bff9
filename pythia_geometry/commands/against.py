"""`pythia-geom against`: a walk's benchmarks beside published results, or those of a run of lm-eval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pythia_geometry.commands.options import AsJson, Out
from pythia_geometry.typed_path import typed_path

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED = "published"
COLUMNS = ("model", "step", "task", "shots", "metric", "n", "n_there", "value", "value_there", "z", "verdict")


def compare_against(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder with tasks of lm-eval.")],
    other: Annotated[
        str,
        typer.Argument(metavar="published|FILE", help="published, a results file of lm-eval, or a folder of them."),
    ] = PUBLISHED,
    as_json: AsJson = False,
    out: Out = "",
) -> None:
    """Set a walk's benchmark scores beside somebody else's: the same task, step and shots, or a row that differs."""
    import pandas as pd

    from pythia_geometry.analysis.curves.behaviour import from_walk
    from pythia_geometry.analysis.lm_eval.against import AGREES, DIFFERS, OWN_ONLY, against, against_items, not_there
    from pythia_geometry.analysis.lm_eval.items import read_items
    from pythia_geometry.commands.kept import deliver
    from pythia_geometry.report.lm_eval_results import benchmarks_of
    from pythia_geometry.screens.console import open_console
    from pythia_geometry.screens.table import show_table
    from pythia_geometry.store.results import home_of
    from pythia_geometry.store.run_folder import RunFolder

    folder = RunFolder(run)
    tasks = benchmarks_of(folder)
    tables = folder.tables()
    behaviour = from_walk(tables)
    theirs = their_results(other, sorted(set(behaviour["model"].astype(str))))
    frame = against(behaviour, tasks, theirs)
    if other != PUBLISHED and any(typed_path(other).rglob("samples_*.jsonl")):
        items = against_items(tables.answers, tasks, read_items(other))
        frame = pd.concat([frame, items], ignore_index=True) if len(items) else frame

    def show(_: object) -> None:
        console = open_console()
        shown = frame if len(frame) <= 40 else frame[frame["verdict"] == DIFFERS]
        cells = [[_cell(row[name]) for name in COLUMNS] for row in shown.to_dict(orient="records")]
        show_table(console, COLUMNS, cells, left=("model", "task", "metric", "verdict"))
        agree, differ, neither = (int((frame["verdict"] == word).sum()) for word in (AGREES, DIFFERS, OWN_ONLY))
        unknown = f", {neither} cannot be compared" if neither else ""
        console.print(f"{len(frame)} numbers in both: {agree} agree, {differ} differ{unknown}", highlight=False)
        if absent := not_there(behaviour, tasks, frame):
            more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
            console.print(f"not there: {', '.join(absent[:5])}{more}", highlight=False)

    deliver({"against": frame}, {"other": other}, [run], home_of([run], out, "runs/against"), None if as_json else show)


def their_results(other: str, models: Sequence[str]) -> pd.DataFrame:
    """The other side's behaviour; what is published is fetched beside other downloads, and kept.

    Raises:
        PythiaGeometryError: If there are no results.
        MachineError: If what is published cannot be fetched.
    """
    from pythia_geometry.analysis.lm_eval.published import SHOTS, fetch_published, read_published
    from pythia_geometry.analysis.lm_eval.results import read_results

    if other == PUBLISHED:
        home = Path("~/.cache/pythia-geometry/published")
        return read_published(fetch_published(home, models))
    path = typed_path(other)
    if path.is_dir() and any(file.parent.name in SHOTS for file in path.rglob("*.json")):
        return read_published(path)
    return read_results(path)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

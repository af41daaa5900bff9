"""One figure for a paper: which rows, which chart, which files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pythia_geometry.analysis.events.collapse import COLLAPSES, WHOLE, collapses
from pythia_geometry.analysis.events.summary import summarise
from pythia_geometry.analysis.precursor.task_matched_lag import DELTA
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.report import charts, result_charts
from pythia_geometry.report.captions import caption, left_out
from pythia_geometry.report.drawing import FORMATS, save_as
from pythia_geometry.report.latex import latex_table
from pythia_geometry.report.page.inputs import Source, all_points, read_sources
from pythia_geometry.report.points import ANSWERS, select
from pythia_geometry.report.style import MAX_LINES, WIDTHS, Width
from pythia_geometry.store.writing import disk_errors
from pythia_geometry.typed_path import typed_path

DEFAULT = {"curves": ("rankme", "accuracy"), "seeds": ("rankme", "accuracy"), "layers": ("rankme",), "heads": ()}
MOST_PANELS = 12
MASS = "target_mass"
"""What is drawn of heads where nothing is named: which of them look where they must."""


@dataclass(frozen=True)
class Choice:
    """What shall be drawn.

    Attributes:
        what: Kind of figure.
        tasks: Names; the default where empty.
        measures: Measures and metrics.
        layers: Layers.
        width: `column` or `page`.
    """

    what: str = "curves"
    tasks: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    width: str = "column"


def plot_figure(runs: Sequence[str], choice: Choice, out: str, latex: bool = False) -> list[Path]:
    """Draws a figure and writes it, its caption beside it, and a LaTeX table where asked.

    Returns:
        The files written.

    Raises:
        PythiaGeometryError: If a name is unknown, a result is missing or nothing is left to draw.
    """
    target = typed_path(out)
    if choice.what not in _DRAWN:
        raise PythiaGeometryError(f"--what {choice.what!r}: expected one of {', '.join(_DRAWN)}")
    if choice.width not in WIDTHS:
        raise PythiaGeometryError(f"--width {choice.width!r}: expected {' or '.join(WIDTHS)}")
    if target.suffix.lower() not in FORMATS:
        raise PythiaGeometryError(f"--out {out}: expected a name that ends in {', '.join(FORMATS)}")
    chart, rows, omitted = _DRAWN[choice.what](read_sources(runs), choice, WIDTHS[choice.width])
    names = [str(run) for run in runs]
    said = caption(choice.what, rows, names, omitted, "model" if choice.what == "seeds" else "task")
    content = {target: save_as(chart, target.suffix.lower()), target.with_suffix(".txt"): f"{said}\n".encode()}
    if latex:
        content[target.with_suffix(".tex")] = latex_table(_plain(rows), said).encode()
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        for file, data in content.items():
            file.write_bytes(data)
    return list(content)


Drawn = tuple[Any, pd.DataFrame, str]


def _curves(sources: Sequence[Source], choice: Choice, width: Width) -> Drawn:
    rows = _chosen(sources, choice, ("final_norm", "model", ANSWERS))
    return charts.curves(rows, width), charts.first_lines(rows), left_out(rows, "task")


def _seeds(sources: Sequence[Source], choice: Choice, width: Width) -> Drawn:
    rows = _chosen(sources, choice, ("final_norm", ANSWERS))
    most = max(1, MAX_LINES // max(1, rows["model"].nunique()))
    first = rows[rows["task"].isin(list(dict.fromkeys(rows["task"]))[:most])]
    omitted = rows["task"].nunique() - first["task"].nunique()
    return charts.seeds(first, width), first, f"{omitted} further task(s) are not drawn (--tasks)." if omitted else ""


def _layers(sources: Sequence[Source], choice: Choice, width: Width) -> Drawn:
    rows = _chosen(sources, choice, ())
    rows = rows[~rows["site"].str.contains(" head ") & (rows["site"] != ANSWERS)]
    return _map(rows, choice, width, charts.layers)


def _heads(sources: Sequence[Source], choice: Choice, width: Width) -> Drawn:
    rows = all_points(sources)
    rows = rows[rows["site"].str.contains(" head ")]
    if rows.empty:
        raise PythiaGeometryError("No head was measured in these runs. Type the walk again with --measures attention")
    held = set(rows["what"])
    measures = choice.measures or (MASS if MASS in held else str(rows["what"].iloc[0]),)
    rows = select(select(rows, "task", choice.tasks), "what", measures)
    known = all_points(sources)
    is_beside = (known["site"] == ANSWERS) & (known["what"] == "accuracy")
    is_beside |= (known["site"] == "final_norm") & (known["what"] == "rankme")
    is_beside |= (known["site"] == "model") & known["what"].isin(measures)
    beside = known[is_beside]

    def draw(shown: pd.DataFrame, width: Width) -> Any:
        return charts.heads(pd.concat([shown, beside.merge(shown[["run", "task"]].drop_duplicates())]), width)

    return _map(_at_layers(rows, choice.layers), choice, width, draw)


def _map(rows: pd.DataFrame, choice: Choice, width: Width, draw: Callable[[pd.DataFrame, Width], Any]) -> Drawn:
    _refuse_nothing(rows)
    panels = rows[["what", "run", "task"]].drop_duplicates()
    few = panels.head(MOST_PANELS if choice.tasks else 4)
    shown = rows.merge(few)
    omitted = len(panels) - len(few)
    return draw(shown, width), shown, f"{omitted} of {len(panels)} panels are not drawn (--tasks)." if omitted else ""


def _floors(sources: Sequence[Source], choice: Choice, width: Width) -> Drawn:
    found = [summarise(s.tables.geometry, s.tables.behaviour, s.tables.checkpoints) for s in sources]
    rows = _of_tasks(pd.concat(found, ignore_index=True), choice.tasks).dropna(subset=["floor"])
    if rows.empty:
        raise PythiaGeometryError("No task collapses in these runs: there is no floor to draw")
    return charts.floors(rows, width), rows, ""


def _order(sources: Sequence[Source], choice: Choice, width: Width) -> Drawn:
    measure = choice.measures[0] if choice.measures else "rankme"
    geometry = pd.concat([s.tables.geometry for s in sources], ignore_index=True)
    held = geometry[geometry["measure"] == measure]
    if held.empty:
        raise PythiaGeometryError(f"--measures {measure!r} is not in these runs")
    rows = collapses(held, (measure,))
    rows = _of_tasks(rows[(rows["phase"] == WHOLE) & (rows["label"] == COLLAPSES)], choice.tasks)
    if rows.empty:
        raise PythiaGeometryError("No layer collapses in these runs: there is no order to draw")
    return charts.order(rows, width), rows, "Layers that do not collapse are left out."


def _lag(sources: Sequence[Source], choice: Choice, width: Width) -> Drawn:
    found = [s.results["precursors-legs"].frame for s in sources if "precursors-legs" in s.results]
    if not found:
        where = " ".join(str(s.path) for s in sources)
        raise PythiaGeometryError(f"No verdict is kept in these runs. Compute it: pythia-geom precursors {where}")
    rows = pd.concat(found, ignore_index=True)
    if choice.measures:
        rows = rows[rows["measure"].isin(choice.measures)]
    _refuse_nothing(rows)
    return result_charts.lag(rows, width, DELTA), rows, ""


_DRAWN: dict[str, Callable[[Sequence[Source], Choice, Width], Drawn]] = {
    "curves": _curves, "layers": _layers, "seeds": _seeds, "floors": _floors, "order": _order, "lag": _lag,
    "heads": _heads,
}  # fmt: skip


def _chosen(sources: Sequence[Source], choice: Choice, sites: tuple[str, ...]) -> pd.DataFrame:
    rows = all_points(sources)
    held = set(rows["what"])
    default = tuple(name for name in DEFAULT[choice.what] if name in held)
    rows = select(select(rows, "task", choice.tasks), "what", choice.measures or default)
    if choice.layers or not sites:
        return _at_layers(rows, choice.layers)
    of_sites = rows[rows["site"].isin(sites)]
    _refuse_nothing(of_sites)
    return of_sites


def _at_layers(rows: pd.DataFrame, layers: Sequence[str]) -> pd.DataFrame:
    """The rows at these layers or at heads of them; behaviour has no layer and stays."""
    if not layers:
        return rows
    layer = rows["site"].str.partition(" head ")[0]
    if unknown := set(layers) - set(layer):
        raise PythiaGeometryError(
            f"--layers {sorted(unknown)[0]!r}: expected some of {', '.join(dict.fromkeys(layer))}"
        )
    return rows[layer.isin([*layers, ANSWERS])]


def _of_tasks(rows: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    return select(rows.assign(task=rows["probe"] + "/" + rows["task"]) if "probe" in rows else rows, "task", tasks)


def _refuse_nothing(rows: pd.DataFrame) -> None:
    if rows.empty:
        raise PythiaGeometryError("Nothing is left to draw. Name other --tasks, --measures or --layers")


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Without columns that say nothing."""
    return rows[[c for c in rows.columns if rows[c].notna().any() and not (rows[c].astype(str) == "").all()]]

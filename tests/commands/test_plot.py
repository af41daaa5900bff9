"""`pythia-geom plot`: each kind of figure, its caption and its table, from a run's tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pythia_geometry.commands import plotting
from pythia_geometry.commands.plotting import Choice, plot_figure
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.report.latex import latex_table
from pythia_geometry.report.page.inputs import Source
from pythia_geometry.store.results import Result
from tests.report.tables import STEPS, make_tables

LEG = {"model": "m", "measure": "rankme", "metric": "accuracy", "lag": 0.3, "lower": 0.1, "upper": 0.5}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    legs = pd.DataFrame([LEG | {"p_specific": 0.01, "says": "leads"}])
    held = Source(tmp_path, "", make_tables(seeds=(0, 1)), {"precursors-legs": Result("precursors-legs", legs)})
    monkeypatch.setattr(plotting, "read_sources", lambda _: [held])
    return tmp_path


@pytest.mark.parametrize("what", ["curves", "layers", "seeds", "floors", "order", "lag"])
def test_each_kind_is_drawn_with_a_caption(run: Path, what: str) -> None:
    figure, said = plot_figure([str(run)], Choice(what), str(run / "fig.svg"))
    assert figure.read_text().startswith("<svg")
    words = said.read_text()
    assert "Source: " in words
    assert len(words) > 80


def test_heads_stand_above_the_sum_accuracy_and_rankme_of_their_task(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map a task; below it, at the same steps, what of the task has one number; nothing of another measure."""
    tables = make_tables(("alpha", "beta"))
    of_layer = tables.geometry[(tables.geometry["layer"] == "resid_1") & (tables.geometry["measure"] == "rankme")]
    heads = [of_layer.assign(measure="target_mass", head=head, value=0.1 * head) for head in (0, 1)]
    sums = [of_layer.assign(measure=name, layer="model", head=pd.NA) for name in ("target_mass", "induction")]
    geometry = pd.concat([tables.geometry, *heads, *sums]).astype(tables.geometry.dtypes)
    monkeypatch.setattr(plotting, "read_sources", lambda _: [Source(run, "", replace(tables, geometry=geometry))])
    drawn: list[dict[str, Any]] = []
    monkeypatch.setattr(plotting, "save_as", lambda chart, _: drawn.append(chart.to_dict()) or b"")
    said = plot_figure([str(run)], Choice("heads", width="page"), str(run / "fig.svg"))[1].read_text()
    assert "accuracy, and RankMe" in said
    panels = drawn[0]["concat"]
    assert [panel["title"]["text"] for panel in panels] == ["p/alpha, m", "p/beta, m"]
    for panel in panels:
        first, *strips = panel["vconcat"]
        assert first["mark"]["type"] == "rect"
        names = [strip["encoding"]["y"]["title"] for strip in strips]
        assert names == [["rankme", "final norm"], ["target_mass", "all heads"], ["accuracy", ""]]
        assert all(strip["encoding"]["x"]["scale"]["domain"] == list(STEPS) for strip in strips)


def test_column_is_three_and_a_quarter_inches_and_text_is_eight_points(run: Path) -> None:
    svg = plot_figure([str(run)], Choice("curves"), str(run / "fig.svg"))[0].read_text()
    width = float(svg.partition('width="')[2].partition('"')[0])
    assert width <= 1.06 * 3.25 * 72
    assert 'font-size="8px"' in svg
    assert 'font-size="11px"' not in svg


def test_pdf_and_latex_are_written_beside_each_other(run: Path) -> None:
    files = plot_figure([str(run)], Choice("floors"), str(run / "fig.pdf"), latex=True)
    assert [file.suffix for file in files] == [".pdf", ".txt", ".tex"]
    assert files[0].read_bytes().startswith(b"%PDF")
    assert r"\toprule" in files[2].read_text()


def test_what_is_not_drawn_is_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = Source(run, "", make_tables([f"t{i}" for i in range(9)], steps=(0, 1, 2)))
    monkeypatch.setattr(plotting, "read_sources", lambda _: [many])
    said = plot_figure([str(run)], Choice("curves"), str(run / "fig.svg"))[1].read_text()
    assert "2 of 9 are not drawn" in said
    assert "p/t7, p/t8" in said


@pytest.mark.parametrize(
    ("choice", "out", "words"),
    [
        (Choice("curve"), "f.svg", "--what 'curve'"),
        (Choice(width="wide"), "f.svg", "--width 'wide'"),
        (Choice(), "f.jpg", "ends in .pdf"),
        (Choice(tasks=("nope",)), "f.svg", "--tasks 'nope'"),
        (Choice("heads"), "f.svg", "--measures attention"),
        (Choice("layers", layers=("resid_9",)), "f.svg", "--layers 'resid_9'"),
    ],
)
def test_what_cannot_be_drawn_gets_one_message(run: Path, choice: Choice, out: str, words: str) -> None:
    with pytest.raises(PythiaGeometryError, match=words):
        plot_figure([str(run)], choice, str(run / out))


def test_names_are_text_in_latex() -> None:
    made = latex_table(pd.DataFrame({"task": ["a_b & 50 % {x}"], "value": [float("nan")]}), "c")
    assert r"a\_b \& 50 \% \{x\} & --" in made

"""What a walk leaves for a reader: the summary table and two pictures a run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pythia_geometry.analysis.events.summary import summarise, telling_tasks
from pythia_geometry.analysis.tables.reading import by_run
from pythia_geometry.report.belief import belief
from pythia_geometry.report.drawing import save
from pythia_geometry.report.figures import curves, heat_map
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.store.tables import Tables


def write_outcome(folder: RunFolder, tables: Tables, position: str = "last") -> tuple[pd.DataFrame, list[Path]]:
    """Writes `summary.csv` (all positions), `belief.csv` and `figures/` (one); returns summary and pictures' paths."""
    summary = summarise(tables.geometry, tables.behaviour, tables.checkpoints)
    folder.write_text("summary.csv", summary.to_csv(index=False, float_format="%.6g"))
    folder.write_text("belief.csv", belief(tables.geometry).to_csv(index=False))
    pictures: list[Path] = []
    at_position = summary[summary["position"] == position]
    for run, rows in by_run(tables.geometry[tables.geometry["position"] == position]).items():
        behaviour = by_run(tables.behaviour).get(run, tables.behaviour.iloc[:0])
        tasks = telling_tasks(by_run(at_position).get(run, summary.iloc[:0]))
        if not tasks:
            continue
        charts = {
            "layers": heat_map(rows, run, tasks),
            "curves": curves(rows, behaviour, run, tasks),
        }
        for name, chart in charts.items():
            for ending, content in save(chart).items():
                path = f"figures/{run}-{name}{'' if position == 'last' else f'-{position}'}.{ending}"
                folder.write_bytes(path, content)
                pictures.append(folder.path / path)
    return summary, pictures

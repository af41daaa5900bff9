"""`pythia-geom export`: a run folder's results in the files that other tools read."""

from __future__ import annotations

from typing import Annotated

import typer

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.typed_path import typed_path

LM_EVAL, DATASETS, CSV = "lm-eval", "datasets", "csv"
TABLES = ("geometry", "behaviour", "answers", "checkpoints")


def export_run(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run folder.")],
    to: Annotated[str, typer.Option("--to", help="lm-eval, datasets or csv.")] = CSV,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder to fill. [default: RUN-FORMAT]")] = "",
) -> None:
    """Write a run's results as lm-eval writes them (a step each), as a folder of datasets, or as CSV."""
    from pythia_geometry.report.lm_eval_results import export_lm_eval
    from pythia_geometry.screens.console import open_console
    from pythia_geometry.store.run_folder import RunFolder
    from pythia_geometry.store.writing import disk_errors, replacing

    if to not in (LM_EVAL, DATASETS, CSV):
        raise PythiaGeometryError(f"--to {to!r} is not one of: {LM_EVAL}, {DATASETS}, {CSV}")
    folder = RunFolder(run)
    if not folder.manifest():
        raise PythiaGeometryError(f"{run} is no run folder. Name one that a walk has filled, such as runs/pythia-160m")
    target = typed_path(out) if out else folder.path.with_name(f"{folder.path.name}-{to}")
    tables = folder.tables()
    if to == LM_EVAL:
        written = export_lm_eval(folder, tables, target)
    else:
        written = [target / (f"{name}.csv" if to == CSV else name) for name in TABLES]
        with disk_errors(target):
            target.mkdir(parents=True, exist_ok=True)
            for file in written:
                frame = getattr(tables, file.stem)
                if to == CSV:
                    with replacing(file) as temporary:
                        frame.to_csv(temporary, index=False)
                else:
                    import datasets

                    datasets.Dataset.from_pandas(frame, preserve_index=False).save_to_disk(str(file))
    open_console().print(f"{len(written)} written under {target}", highlight=False, markup=False)

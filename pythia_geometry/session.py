"""One walk from the command line: plan, show, walk, show."""

from __future__ import annotations

from pathlib import Path

from pythia_geometry.report.outcome import write_outcome
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.manifest import changed_probes, updated_manifest
from pythia_geometry.runs.plan import Request, default_out, make_plan, measured_flops_per_second
from pythia_geometry.runs.rows import unfinished
from pythia_geometry.screens.console import open_console
from pythia_geometry.screens.walk import Bar, show_outcome, show_plan
from pythia_geometry.store import RunFolder
from pythia_geometry.suites.checkpoint import OK


def run_session(request: Request, out: str, dry_run: bool) -> bool:
    """Plans, prints and walks.

    Returns:
        Whether something is missing from the result.

    Raises:
        PythiaGeometryError: For whatever the user can mend.
    """
    console = open_console()
    plan = make_plan(request)
    folder = Path(out) if out else default_out(plan)
    manifest = RunFolder(folder).manifest()
    updated_manifest(manifest, plan)  # refuses another model's folder, also in a dry run
    done = RunFolder(folder).done()
    todo = {run.name: unfinished(run, request, done) for run in plan.runs}
    show_plan(console, plan, todo, folder, measured_flops_per_second(request.resolved_device, request.dtype))
    for name in changed_probes(manifest, plan):
        console.print(
            f"{name} is not the probe that this run folder was walked with: where it is walked now, its rows replace "
            "the old ones. To keep both, give the file or its task another name.",
            style="yellow", highlight=False, markup=False,
        )  # fmt: skip
    if dry_run:
        for run in plan.runs:
            for gap in run.gaps:
                console.print(f"would skip: {gap.detail}", highlight=False, markup=False)
        return any(run.gaps for run in plan.runs)
    with Bar(console, sum(len(run.checkpoints) for run in plan.runs)) as bar:
        tables = walk(plan, folder, bar)
    summary, pictures = write_outcome(RunFolder(folder), tables, request.position)
    show_outcome(console, summary[summary["position"] == request.position], pictures, folder)
    chosen = {(c.model, c.seed, c.step) for run in plan.runs for c in run.checkpoints}
    rows = tables.checkpoints[tables.checkpoints["status"] != OK]
    bad = [key for key in zip(rows["model"], rows["seed"], rows["step"], strict=True) if key in chosen]
    if len(bad):
        console.print(f"[yellow]{len(bad)} checkpoints are missing from the result[/]; see checkpoints.parquet")
    return bool(len(bad))

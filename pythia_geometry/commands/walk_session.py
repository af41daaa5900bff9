"""One walk, or one share of it, from the command line: plan, show, walk, show."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.loading.device_names import names_several
from pythia_geometry.report.belief import belief
from pythia_geometry.report.outcome import write_outcome
from pythia_geometry.report.page.page import save_page
from pythia_geometry.runs.dear_cost import dear_words, edit_words
from pythia_geometry.runs.local import walk
from pythia_geometry.runs.manifest import changed_inputs, updated_manifest
from pythia_geometry.runs.many.shards import Shard, done_anywhere, parse_shard, walk_shard
from pythia_geometry.runs.plan import Plan, default_out, make_plan, measured_flops_per_second
from pythia_geometry.runs.request import LOCAL, Request
from pythia_geometry.runs.search import ASSUMPTION, BISECT, bisect, fewest
from pythia_geometry.runs.work import RunWork, Todo
from pythia_geometry.screens.console import open_console
from pythia_geometry.screens.search import show_onsets, show_search
from pythia_geometry.screens.walk import Bar, show_belief, show_outcome, show_plan
from pythia_geometry.store.results import Result, hash_inputs, keep_result
from pythia_geometry.store.run_folder import RunFolder
from pythia_geometry.suites.checkpoint import OK
from pythia_geometry.typed_path import typed_path

MAX_GAPS = 20
"""Steps that a dry run names one by one."""


def run_session(request: Request, out: str, dry_run: bool) -> bool:
    """Plans, prints and walks.

    Returns:
        Whether something is missing from the result.

    Raises:
        PythiaGeometryError: For whatever the user can mend.
    """
    plan = make_plan(request)
    return run_planned(open_console(), plan, typed_path(out) if out else default_out(plan), dry_run)


def run_planned(console: Console, plan: Plan, folder: Path, dry_run: bool) -> bool:
    """Prints a plan and walks it, and says whether something is missing from the result.

    Raises:
        PythiaGeometryError: For whatever the user can mend.
    """
    _show(console, plan, plan, folder)
    if dry_run:
        gaps = [gap for run in plan.runs for gap in run.gaps]
        for gap in gaps[:MAX_GAPS]:
            console.print(f"would skip: {gap.detail}", highlight=False, markup=False)
        if len(gaps) > MAX_GAPS:
            console.print(f"… and {len(gaps) - MAX_GAPS} more; pythia-geom doctor MODEL says why of each")
        return bool(gaps)
    return walk_all(console, plan, folder)


def walk_all(console: Console, plan: Plan, folder: Path) -> bool:
    """Walks a plan, shows the summary, and says whether something is missing from the result."""
    position = plan.request.position
    with Bar(console, sum(len(run.checkpoints) for run in plan.runs)) as bar:
        tables = walk(plan, folder, bar)
    summary, pictures = write_outcome(RunFolder(folder), tables, position)
    has_rows = not (tables.geometry.empty and tables.behaviour.empty)
    page = save_page([folder]) if has_rows else None
    show_outcome(console, summary[summary["position"] == position], pictures, folder)
    asked = [measure.name for measure in plan.request.chosen]
    show_belief(console, belief(tables.geometry[tables.geometry["measure"].isin(asked)], asked), folder)
    if page:
        console.print(
            f"page     {page} (open it in a browser: it says what to type next)", highlight=False, markup=False
        )
    chosen = {(c.model, c.seed, c.step) for run in plan.runs for c in run.checkpoints}
    rows = tables.checkpoints[tables.checkpoints["status"] != OK]
    bad = [key for key in zip(rows["model"], rows["seed"], rows["step"], strict=True) if key in chosen]
    if len(bad):
        are = "checkpoint is" if len(bad) == 1 else "checkpoints are"
        console.print(f"[yellow]{len(bad)} {are} missing from the result[/]; see checkpoints.parquet")
    return bool(len(bad)) or bar.has_lost


def run_search(request: Request, out: str, search: str, shard: str, dry_run: bool) -> bool:
    """Plans, prints, and walks only what the intervals of onsets need.

    Returns:
        Whether a checkpoint that was tried could not be used.

    Raises:
        PythiaGeometryError: For whatever the user can mend.
    """
    if search != BISECT:
        raise PythiaGeometryError(f"--search {search!r} is not one of: {BISECT}. Leave it out to walk all chosen steps")
    if shard or request.executor != LOCAL:
        raise PythiaGeometryError(
            "--search chooses each step by what those before have shown, so --shard and --executor ray cannot divide "
            "it. Leave them out"
        )
    console = open_console()
    plan = make_plan(request)
    folder = typed_path(out) if out else default_out(plan)
    _show(console, plan, plan, folder)
    show_search(console, plan)
    if dry_run:
        return False
    with Bar(console, sum(fewest(len(run.usable)) for run in plan.runs)) as bar:
        tables, found = bisect(plan, folder, bar)
    settings = {"search": search, "steps": request.steps, "probes": list(request.probes), "assumes": ASSUMPTION}
    keep_result(folder, Result("onsets-bisect", found, settings, hash_inputs([folder])))
    show_onsets(console, found, folder)
    tried = {(c.model, c.seed, c.step) for run in plan.runs for c in run.usable}
    rows = tables.checkpoints[tables.checkpoints["status"] != OK]
    return any(key in tried for key in zip(rows["model"], rows["seed"], rows["step"], strict=True)) or bar.has_lost


def run_shard(request: Request, out: str, text: str, dry_run: bool) -> bool:
    """Plans, prints and walks one share of the checkpoints.

    Args:
        request: The whole walk.
        out: The run folder of the whole walk.
        text: The shard as after `--shard`.
        dry_run: Whether to stop after printing.

    Returns:
        Whether a checkpoint of the share could not be used.

    Raises:
        PythiaGeometryError: For whatever the user can mend.
    """
    shard = read_shard(request, text)
    console = open_console()
    plan = make_plan(request)
    share = shard.of(plan)
    folder = typed_path(out) if out else default_out(plan)
    _show(console, plan, share, folder)
    return False if dry_run else walk_share(console, plan, shard, folder)


def read_shard(request: Request, text: str) -> Shard:
    """The share that is walked here.

    Raises:
        PythiaGeometryError: If it is no share, or the walk is divided in another way too.
    """
    if request.executor != LOCAL:
        raise PythiaGeometryError("--shard and --executor ray each divide the walk. Pass one of them")
    if names_several(request.device):
        raise PythiaGeometryError(
            f"--shard and --device {request.device} each divide the walk. Give every device a shard of its own, "
            "such as --shard 1/2 --device cuda:0 and --shard 2/2 --device cuda:1, or leave --shard away"
        )
    return parse_shard(text)


def walk_share(console: Console, plan: Plan, shard: Shard, folder: Path) -> bool:
    """Walks one share of a plan, and says whether a checkpoint of it could not be used."""
    with Bar(console, sum(len(run.checkpoints) for run in shard.of(plan).runs)) as bar:
        failed = walk_shard(plan, shard, folder, bar)
    console.print(
        f"Shard {shard.index}/{shard.count} is walked: {RunFolder(folder).shard(shard.name).path}. When all "
        f"{shard.count} are, type the same command without --shard: it puts them together, walks what is missing and "
        "writes the tables.",
        highlight=False, markup=False,
    )  # fmt: skip
    return any(failed.values())


def left_to_do(plan: Plan, share: Plan, folder: Path) -> dict[str, Todo]:
    """By run, what of a share neither the run folder nor a shard of it holds.

    Raises:
        PythiaGeometryError: If the folder is another model's.
    """
    home = RunFolder(folder)
    updated_manifest(home.manifest(), plan)  # refuses another model's folder, also in a dry run
    done = done_anywhere(home)
    return {
        run.name: RunWork(run, plan.request).todo(done, lambda label: home.checkpoint(label)["current"])
        for run in share.runs
    }


def machine_rate(request: Request) -> float:
    """Floating-point operations a second of all devices of a request, measured on one of them."""
    return measured_flops_per_second(request.resolved_device, request.dtype) * len(set(request.devices))


def _show(console: Console, plan: Plan, share: Plan, folder: Path) -> None:
    """Prints what will be done."""
    todo, rate = left_to_do(plan, share, folder), machine_rate(plan.request)
    words = (dear_words, edit_words)
    dear = [cost(run, plan.request, todo[run.name].checkpoints, rate) for run in share.runs for cost in words]
    show_plan(console, share, todo, folder, rate, [line for line in dear if line])
    for said in changed_inputs(RunFolder(folder).manifest(), plan):
        console.print(said, style="yellow", highlight=False, markup=False)

"""A replication from the first stage to the last; what is done is found done.

replication/
    doctor/pythia-160m/    which steps can be trusted
    probes/                the items of the benchmarks
    pythia-160m/           a run folder a model
    claims/                the claims as a page, the rows behind each verdict
    results/               power, precursors, claims, replicate
    report.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pythia_geometry.commands.diagnosis import keep_diagnosis
from pythia_geometry.commands.replication.answers import judge
from pythia_geometry.commands.replication.probes import freeze, replication_probes
from pythia_geometry.commands.walk_session import left_to_do, machine_rate, read_shard, walk_all, walk_share
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.runs.cost import Cost, cost_of
from pythia_geometry.runs.many.shards import Shard
from pythia_geometry.runs.plan import Plan, plan_suite
from pythia_geometry.runs.request import NONE, Request
from pythia_geometry.screens.console import open_console
from pythia_geometry.screens.doctor import show_conclusion
from pythia_geometry.screens.replication import show_costs
from pythia_geometry.screens.walk import show_plan
from pythia_geometry.suites.doctor.verdicts import diagnose_all
from pythia_geometry.suites.named import find_suites
from pythia_geometry.suites.pythia import SIZES, parse_name
from pythia_geometry.suites.suite import Suite


@dataclass(frozen=True)
class Replication:
    """What is asked for: each as after its option."""

    sizes: tuple[str, ...]
    steps: str
    benchmarks: tuple[str, ...]
    include: str
    disk: str
    device: str
    executor: str
    out: Path

    @property
    def request(self) -> Request:
        """How every model is walked. Activations are not kept: of three sizes they would be half a terabyte."""
        return Request(steps=self.steps, disk=self.disk, device=self.device, executor=self.executor, activations=NONE)


def run_replication(asked: Replication, shard: str, dry_run: bool) -> bool:
    """Runs every stage, or says what they take.

    Args:
        asked: What to do.
        shard: A share as after `--shard`; empty for all.
        dry_run: Whether to stop before anything is written or downloaded.

    Returns:
        Whether something is missing from the result.

    Raises:
        PythiaGeometryError: For whatever the user can mend.
        MachineError: If disk or network gives out; what was finished is kept.
    """
    console = open_console()
    request = asked.request
    share = read_shard(request, shard) if shard else None
    suites = [_suite(size) for size in dict.fromkeys(asked.sizes)]
    if not suites:
        raise PythiaGeometryError("--sizes names no size. Expected such as 160m,410m,2.8b")
    _stage(console, 1, "which steps can be trusted")
    _diagnose(console, suites, None if dry_run or share else asked.out / "doctor")
    _stage(console, 2, "what it takes")
    probes = replication_probes(
        asked.benchmarks, asked.include, asked.out / "probes", lambda text: _warn(console, text)
    )
    plans = {asked.out / suite.model: plan_suite(suite, request, probes) for suite in suites}
    _show_plans(console, plans, share, asked.out)
    if dry_run:
        return any(run.gaps for plan in plans.values() for run in plan.runs)
    freeze(probes, asked.out / "probes")
    if share is not None:
        failed = [walk_share(console, plan, share, folder) for folder, plan in plans.items()]
        return any(failed)
    has_gaps = False
    for folder, plan in plans.items():
        _stage(console, 3, f"the walk of {folder.name}")
        has_gaps = walk_all(console, plan, folder) or has_gaps
    _stage(console, 4, "what the curves say")
    return judge(console, list(plans), asked.out) or has_gaps


def _suite(size: str) -> Suite:
    """The suite of a size.

    Raises:
        PythiaGeometryError: If it is none of Pythia's.
    """
    if parse_name(size) is None:
        raise PythiaGeometryError(f"--sizes {size!r} is no size of Pythia. Sizes: {', '.join(SIZES)}")
    return find_suites(size)[0]


def _diagnose(console: Console, suites: Sequence[Suite], home: Path | None) -> None:
    """Doctor's verdicts, in short; kept where there is a folder for them."""
    with Console(stderr=True).status("listing") as status:
        found = diagnose_all(suites, False, status.update)
    for diagnosis in found:
        console.print(f"{diagnosis.run}: {len(diagnosis.steps)} steps of {diagnosis.origin}", highlight=False)
        pictures = keep_diagnosis(diagnosis, home / diagnosis.run) if home else []
        show_conclusion(console, diagnosis, pictures)


def _show_plans(console: Console, plans: Mapping[Path, Plan], shard: Shard | None, out: Path) -> None:
    """The walks' own plan in one table, then bytes, disk and hours."""
    costs: list[Cost] = []
    shares = {folder: shard.of(plan) if shard else plan for folder, plan in plans.items()}
    todo = {folder: left_to_do(plans[folder], share, folder) for folder, share in shares.items()}
    for folder, share in shares.items():
        for run in share.runs:
            lacks = todo[folder][run.name]
            costs.append(cost_of(share, run, lacks.checkpoints, lacks.probes))
    request = next(iter(plans.values())).request
    rate = machine_rate(request)
    joined = Plan(request, tuple(run for share in shares.values() for run in share.runs))
    show_plan(console, joined, {name: one for of in todo.values() for name, one in of.items()}, out, rate)
    show_costs(console, costs, rate, request.resolved_device)


def _stage(console: Console, number: int, what: str) -> None:
    console.print(f"\n[bold]{number} of 4: {what}[/]", highlight=False)


def _warn(console: Console, text: str) -> None:
    console.print(text, style="yellow", highlight=False, markup=False)

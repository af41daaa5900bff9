"""Who fetches the weights of a walk: whole files to the disk, or the base model's spans to memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pythia_geometry.runs.ahead import Wanted
from pythia_geometry.runs.fetch import Fetcher
from pythia_geometry.runs.plan import Plan
from pythia_geometry.runs.span_fetch import SpanFetcher


def weights_ahead(plan: Plan, wanted: Sequence[Wanted], downloads: Path) -> Fetcher | SpanFetcher:
    """The fetcher that the plan asks for.

    Args:
        plan: The walk's plan.
        wanted: What the walk will ask for, in its order.
        downloads: Where files go; spans leave it alone.
    """
    sources = {run.name: run.spans for run in plan.runs if run.spans is not None}
    return SpanFetcher(wanted, sources) if sources else Fetcher(wanted, downloads, plan.disk_budget)

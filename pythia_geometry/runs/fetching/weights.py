"""Who fetches the weights of a walk: whole files to the disk, or the base model's spans to memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pythia_geometry.runs.fetching.ahead import Wanted
from pythia_geometry.runs.fetching.files import Fetcher
from pythia_geometry.runs.fetching.span_source import SpanSource
from pythia_geometry.runs.fetching.spans import SpanFetcher


def weights_ahead(
    wanted: Sequence[Wanted], sources: Mapping[str, SpanSource], downloads: Path, budget: int
) -> Fetcher | SpanFetcher:
    """Spans where a source is known for the walk's runs, else files.

    Args:
        wanted: What the walk will ask for, in its order.
        sources: By the run's name, where its spans lie; empty where whole files are fetched.
        downloads: Where files go; spans leave it alone.
        budget: Bytes of files that may lie there at any time.
    """
    return SpanFetcher(wanted, sources) if sources else Fetcher(wanted, downloads, budget)

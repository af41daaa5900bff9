"""What the user sees of a run folder's health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from pythia_geometry.store.results import RESULTS

if TYPE_CHECKING:
    from pythia_geometry.store.checking import Health

MAX_FOREIGN = 10


def show_health(console: Console, health: Health) -> None:
    """Counts, every damaged file by name, and what the next walk does about it; a line each."""

    def say(line: str, style: str = "") -> None:
        console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)

    say(f"{health.folder}: " + ", ".join(f"{count} {kind}" for kind, count in health.whole.items()) + " whole")
    if health.unverified:
        say(f"{health.unverified} of these are of format 1, which has no checksums: they can be read, no more is known")
    for path, wrong in health.damaged.items():
        say(f"damaged  {path}: {wrong}", "yellow")
    for line in health.again:
        say(f"again    {line}")
    for path in health.foreign[:MAX_FOREIGN]:
        say(f"foreign  {path}: no walk has written it; it is left alone")
    if len(health.foreign) > MAX_FOREIGN:
        say(f"… and {len(health.foreign) - MAX_FOREIGN} more foreign files")
    for path in health.set_aside:
        say(f"aside    {path}: found damaged by an earlier walk; nothing reads it any more")
    of_walk = any(not path.startswith(f"{RESULTS}/") for path in health.damaged)
    mend = "Type the walk's command again: it computes what is missing." if of_walk else "Type what made them again."
    say("Everything is whole." if health.is_whole else mend)

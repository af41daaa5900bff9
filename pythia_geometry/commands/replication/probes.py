"""What a replication asks of every checkpoint: diagnostic sets, benchmarks, and the shuffled companion of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pythia_geometry.extraction.probes.benchmark_items import (
    PREFIX,
    HarnessOptions,
    frozen_name,
    frozen_text,
    read_frozen,
)
from pythia_geometry.extraction.probes.lm_eval_tasks import is_installed
from pythia_geometry.extraction.probes.probes import Probe, companion_of, frozen_of, load_probes
from pythia_geometry.store.writing import disk_errors, replacing

DIAGNOSTIC = ("syntax", "semantics", "arithmetic", "in_context", "factual", "logical", "general")
"""The seven sets of the paper, by our names."""

_DEDUCTION = "lm-eval:leaderboard_bbh_logical_deduction"
BENCHMARKS = (
    *(f"{PREFIX}{task}" for task in ("arc_easy", "sciq", "piqa", "lambada_openai")),
    *(f"{_DEDUCTION}_{n}_objects" for n in ("three", "five", "seven")),
)
"""Easy benchmarks, and the one that the paper's fourth version says to lead."""

NONE = "none"


def replication_probes(
    benchmarks: Sequence[str], include: str, home: Path, say: Callable[[str], object]
) -> list[Probe]:
    """The probes of a replication, own prompts before shuffled ones.

    Args:
        benchmarks: Names as after `--probes`; `BENCHMARKS` where empty, none where `none`.
        include: Folder of task definitions of the user's own.
        home: Where an earlier start froze the benchmarks: those are used, whatever the harness gives now.
        say: Told what is left out.

    Raises:
        PythiaGeometryError: If a name is unknown.
        MachineError: If a dataset cannot be had.
    """
    held: dict[str, list[str]] = {}
    for file in sorted(home.glob("*.jsonl")):
        held.setdefault(read_frozen(file).set_name, []).append(str(file))
    wanted = [] if tuple(benchmarks) == (NONE,) else list(benchmarks or BENCHMARKS)
    if not benchmarks and not is_installed() and not all(name in held for name in wanted):
        wanted = [name for name in wanted if name in held]
        say(
            "Without benchmarks: lm-eval is not installed. Type: pip install 'pythia-geometry[lm-eval]', and this "
            "command again. Added later, they need every checkpoint downloaded again; --benchmarks none says that they "
            "are not wanted"
        )
    names = [name for one in wanted for name in held.get(one, [one])]
    own = load_probes([*DIAGNOSTIC, *names], HarnessOptions(include=include))
    companions = [(probe, companion_of(probe)) for probe in own]
    if alone := [probe.name for probe, companion in companions if companion is None]:
        say(f"No shuffled companion, since contexts are empty: {', '.join(alone)}")
    return [*own, *(companion for _, companion in companions if companion)]


def freeze(probes: Sequence[Probe], home: Path) -> None:
    """Keeps the benchmarks' items: the next start, and other machines, need neither harness nor dataset.

    Raises:
        MachineError: If the folder cannot be written.
    """
    frozen = [one for probe in probes if not probe.is_shuffled and (one := frozen_of(probe))]
    with disk_errors(home):
        for one in frozen:
            if not (home / frozen_name(one)).exists():
                with replacing(home / frozen_name(one)) as temporary:
                    temporary.write_text(frozen_text(one), encoding="utf-8")

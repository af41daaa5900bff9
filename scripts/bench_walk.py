"""The walk beside the usual loop: same checkpoints, same probes, same run, one thread.

    python scripts/bench_walk.py                       # 14m and 160m shapes
    python scripts/bench_walk.py --shapes 14m --scaling
    python scripts/bench_walk.py --shapes 14m --tokens 32
    python scripts/bench_walk.py --dtype bfloat16
    python scripts/bench_walk.py --shapes 160m --heads # what every measure of a head adds to our walk

Weights are random: times and bytes mean something, RankMe does not. Every contender runs in a process of its own, in
turn, a few rounds; printed are medians over checkpoints after the first. CPU seconds are the process's: they are what
stays comparable on a shared machine. `usual` computes RankMe alone; `ours (rankme)` the same with its error, and
`ours (all)` seven measures with errors and two comparisons. Both write the log-probability of every target, and ours a
run folder besides. The floor is one read of the file, one conversion and the bare matrix products of our batches.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from walk_bench.contenders import as_job, installed, run
from walk_bench.suite import REAL_TOKENIZER, SHAPES, Job, Size, write_suite

Result = dict[str, Any]
FIRST = ("usual", "ours (rankme)", "ours (all)", "floor")
REPRESENTATION, HEADS, COPYING = "ours (representation)", "ours (and heads)", "ours (and heads, copying_score)"
HEAD = "| shape | contender | CPU s | of it swap | wall s | peak MB | read MB | mapped MB | usual / it: CPU | peak |"


def job_of(name: str, folder: Path, dtype: str) -> Job:
    kinds = {
        "ours (rankme)": ("ours", ("rankme",)),
        "ours (all)": ("ours", ()),
        HEADS: ("ours", ("representation", "attention")),
        REPRESENTATION: ("ours", ("representation",)),
        COPYING: ("ours", ("representation", "attention", "copying_score")),
        "floor": ("forward", ()),
    }
    contender, measures = kinds.get(name, (name, ()))
    return Job(str(folder), contender, measures, dtype)


def in_own_process(job: Job) -> Result:
    """What the contender printed of itself."""
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--job", json.dumps(asdict(job))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"{job.contender} failed:\n{done.stdout}{done.stderr}")
    found: Result = json.loads(lines[-1].removeprefix("RESULT "))
    return found


def rounds_of(folder: Path, names: Sequence[str], rounds: int, dtype: str) -> dict[str, list[Result]]:
    """Contenders in turn, so that all see the same machine."""
    found: dict[str, list[Result]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found[name].append(in_own_process(job_of(name, folder, dtype)))
            print(f"  {name}: {found[name][-1]['cpu']}", file=sys.stderr, flush=True)
    return found


def what_heads_add(shape: str, found: dict[str, list[Result]]) -> None:
    """CPU seconds a checkpoint with and without measures of heads, round by round in turn."""
    without = middle(found[REPRESENTATION], "cpu")
    for name, results in found.items():
        cpu = middle(results, "cpu")
        by_round = [median(r["cpu"]) / median(w["cpu"]) for r, w in zip(results, found[REPRESENTATION], strict=True)]
        ratios = ", ".join(f"{ratio:.3f}" for ratio in by_round)
        print(f"{shape} {name}: {cpu:.3f} CPU s a checkpoint, {cpu / without:.3f} of representation ({ratios})")


def middle(results: list[Result], key: str) -> float:
    """Median over rounds and checkpoints; of a single number, over rounds."""
    values = [v for r in results for v in (r[key] if isinstance(r[key], list) else [r[key]])]
    return median(values)


def part(results: list[Result], name: str) -> float:
    return median(r["parts"].get(name, 0.0) for r in results)


def report(shape: str, found: dict[str, list[Result]]) -> None:
    usual_cpu, usual_peak = middle(found["usual"], "cpu"), middle(found["usual"], "peak_mb")
    print(f"\n{HEAD}\n|{'---|' * 10}")
    for name, results in found.items():
        if name == "floor":
            continue
        cpu, peak = middle(results, "cpu"), middle(results, "peak_mb")
        numbers = (cpu, part(results, "swap"), middle(results, "wall"))
        sizes = (peak, middle(results, "read") / 1e6, middle(results, "mapped") / 1e6)
        print(
            f"| {shape} | {name} | {' | '.join(f'{v:.3f}' for v in numbers)} | "
            f"{' | '.join(f'{v:.0f}' for v in sizes)} | {usual_cpu / cpu:.2f} | {usual_peak / peak:.2f} |"
        )
    breakdown(found)
    against_floor(found)
    agreement(found)


def breakdown(found: dict[str, list[Result]]) -> None:
    """Where our CPU seconds go. Errors are inside measures, behaviour inside the forward part."""
    for name in ("ours (rankme)", "ours (all)"):
        results = found[name]
        p = {k: part(results, k) for k in ("swap", "capture", "behaviour", "measures", "errors", "compare")}
        total = middle(results, "cpu")
        forward = p["capture"] - p["behaviour"]
        rest = total - p["swap"] - p["capture"] - p["measures"] - p["compare"]
        print(
            f"{name}: swap {p['swap']:.3f}, forward {forward:.3f}, behaviour {p['behaviour']:.3f} "
            f"({p['behaviour'] / (total - p['behaviour']):.1%} more), measures {p['measures'] - p['errors']:.3f}, "
            f"errors {p['errors']:.3f} ({p['errors'] / total:.1%} of all), compare {p['compare']:.3f}, "
            f"rows and files {rest:.3f}; once: plan and sha256 {middle(results, 'setup_cpu'):.2f}, "
            f"tables {middle(results, 'end_cpu'):.2f}"
        )


def against_floor(found: dict[str, list[Result]]) -> None:
    results = found["floor"]
    parts = {k: median(r["floor"][k] for r in results) for k in ("read", "convert", "forward", "head")}
    floor = sum(parts.values())
    rates = " ".join(f"{k} {middle(results, k):.1f}" for k in ("gflops", "head_gflops", "read_gbs", "convert_gbs"))
    print(
        f"floor: {floor:.3f} = {' + '.join(f'{k} {v:.3f}' for k, v in parts.items())} "
        f"({results[0]['tokens']} tokens in {results[0]['batches']} batches; {rates})"
    )
    for name in ("ours (rankme)", "ours (all)", "usual"):
        cpu = middle(found[name], "cpu")
        print(f"{name} / floor: {cpu / floor:.2f}")
    ours = found["ours (rankme)"]
    body = part(ours, "swap") + part(ours, "capture")
    print(f"ours, swap + forward + behaviour alone / floor: {body / floor:.2f}")


def agreement(found: dict[str, list[Result]]) -> None:
    """Both computed the same numbers (padding and float32 SVD apart)."""
    a, b = found["usual"][0], found["ours (rankme)"][0]
    for key in ("rankme", "log_prob"):
        apart = max(abs(x - y) / abs(x) for x, y in zip(a[key], b[key], strict=True))
        print(f"{key}: usual and ours at most {apart:.1e} apart (relative, {len(a[key])} values)")


def scaling(shape: str, dtype: str) -> None:
    """CPU seconds a checkpoint by number of checkpoints, prompts a task and layers."""
    base = Size(shape, 3, 64, SHAPES[shape][0])
    for what, values in (("steps", (3, 6, 12)), ("items", (32, 64, 128)), ("layers", (3, 6, 12))):
        for value in values:
            with tempfile.TemporaryDirectory() as folder:
                write_suite(Path(folder), replace(base, **{what: value}))
                found = in_own_process(job_of("ours (all)", Path(folder), dtype))
            print(
                f"{shape} {what} {value}: {median(found['cpu']):.3f} CPU s a checkpoint, peak {found['peak_mb']:.0f} MB",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["14m", "160m"], choices=tuple(SHAPES))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--items", type=int, default=128, help="prompts a task; there are three tasks")
    parser.add_argument("--tokens", type=int, default=0, help="random prompts of so many tokens in place of real ones")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--scaling", action="store_true", help="cost by checkpoints, prompts and layers instead")
    parser.add_argument("--heads", action="store_true", help="what every measure of a head adds, instead")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        run(as_job(args.job))
        return
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.processor() or platform.machine()}, load {os.getloadavg()}"
    )
    if not args.tokens:
        here = REAL_TOKENIZER.exists()
        print(f"tokenizer: {REAL_TOKENIZER}" if here else f"tokenizer: words, since {REAL_TOKENIZER} is not here")
    names = list(FIRST)
    if installed("transformer_lens"):
        names.append("transformer_lens")
    else:
        print("transformer_lens: left out, since it is not installed")
    for shape in args.shapes:
        if args.scaling:
            scaling(shape, args.dtype)
            continue
        with tempfile.TemporaryDirectory() as folder:
            write_suite(Path(folder), Size(shape, args.steps, args.items, tokens=args.tokens))
            if args.heads:
                ours = (REPRESENTATION, HEADS, COPYING)
                what_heads_add(shape, rounds_of(Path(folder), ours, args.rounds, args.dtype))
                continue
            report(shape, rounds_of(Path(folder), names, args.rounds, args.dtype))


if __name__ == "__main__":
    main()

"""One walk beside lm-eval a step at a time: same tasks, same checkpoints, same items, one thread.

    python scripts/bench_lm_eval.py                                  # 14m, four choices as text, no examples
    python scripts/bench_lm_eval.py --fewshot 5
    python scripts/bench_lm_eval.py --fewshot 5 --tasks mmlu_abstract_algebra
    python scripts/bench_lm_eval.py --shape 160m --items 16

Tasks are the harness's own definitions over made-up documents of about the real ones' lengths; weights are random, so
seconds and bytes mean something and accuracies do not. The harness scores (`simple_evaluate` with its `hf` model, its
own cache of answers of one token, float32); the walk scores, keeps every choice, measures geometry with errors, and
writes its run folder. Each is a process of its own; imports and the building of prompts are told apart and not in the
figures a step: the harness builds its prompts at every step, the walk once. A figure is the median over checkpoints
after the first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from walk_bench.benchmarks import FILES, write_tasks
from walk_bench.meter import Meter
from walk_bench.suite import SHAPES, Size, write_suite

Result = dict[str, Any]
CONTENDERS = ("harness", "walk")
TEXTS = ("arc_easy", "sciq", "hellaswag")
HEAD = "| shape | tasks | shots | items | harness CPU s | walk CPU s | ratio | harness peak MB | walk peak MB | apart |"


def harness(folder: Path, tasks: list[str], fewshot: int, batch: int) -> None:
    """`lm_eval` at one step after another."""
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from transformers import PreTrainedTokenizerFast

    torch.set_num_threads(1)
    meter = Meter()
    manager = TaskManager(include_path=str(folder / "tasks"), include_defaults=False)
    special = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "suite" / "tokenizer.json"), **special)
    meter.ready()
    scores: list[list[float]] = []
    for step in sorted((folder / "suite").glob("step*"), key=lambda path: int(path.name[4:])):
        lm = HFLM(pretrained=str(step), tokenizer=tokenizer, batch_size=batch, dtype="float32", device="cpu")
        found = simple_evaluate(lm, tasks=tasks, num_fewshot=fewshot, task_manager=manager)
        samples = [s for t in tasks for s in sorted(found["samples"][t], key=lambda one: one["doc_id"])]
        scores.append([float(one[0]) for sample in samples for one in sample["filtered_resps"]])
        meter.mark()
        del lm
    meter.report(scores=scores)


def walk(folder: Path, tasks: list[str], fewshot: int) -> None:
    """The same through `pythia-geom`, geometry included."""
    import torch

    from pythia_geometry.extraction.probes.benchmark_items import HarnessOptions
    from pythia_geometry.extraction.probes.probes import load_probes
    from pythia_geometry.runs.local import walk as walk_plan
    from pythia_geometry.runs.plan import make_plan
    from pythia_geometry.runs.request import Request

    torch.set_num_threads(1)
    meter = Meter()

    class Marks:
        def stage(self, checkpoint: str, stage: str) -> None: ...

        def finished(self, checkpoint: str, detail: str) -> None:
            assert not detail, detail
            meter.mark()

        def damaged(self, file: str, why: str) -> None: ...

        def lost(self, checkpoint: str, count: int) -> None: ...

    options = HarnessOptions(fewshot=fewshot, include=str(folder / "tasks"))
    names = tuple(f"lm-eval:{task}" for task in tasks)
    request = Request(models=(str(folder / "suite"),), probes=names, device="cpu", threads=1, harness=options)
    plan = make_plan(request)
    items = [
        (probe.task, number, item) for probe in load_probes(names, options) for number, item in enumerate(probe.items)
    ]
    meter.ready()
    with tempfile.TemporaryDirectory() as out:
        tables = walk_plan(plan, out, Marks())
    scores = []
    for _, of_step in tables.answers.groupby("step"):
        rows = of_step.set_index(["task", "item"])["choices"].map(json.loads)
        scores.append([score for task, number, item in items for score in _ordered(item, rows[task, number])])
    meter.report(scores=scores)


def _ordered(item: Any, scores: list[float]) -> list[float]:
    """From the first right choice first to the harness's order."""
    return [score for _, score in sorted(zip(item.order, scores, strict=True))]


def in_own_process(folder: Path, contender: str, args: argparse.Namespace) -> Result:
    """What the contender printed of itself."""
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--job", contender, "--folder", str(folder)]
    command += ["--tasks", *args.tasks, "--fewshot", str(args.fewshot), "--batch", str(args.batch)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"{contender} failed:\n{done.stdout}{done.stderr}")
    found: Result = json.loads(lines[-1].removeprefix("RESULT "))
    return found


def row(folder: Path, args: argparse.Namespace) -> str:
    a, b = (in_own_process(folder, contender, args) for contender in CONTENDERS)
    cpu = [median(found["cpu"]) for found in (a, b)]
    apart = max(abs(x - y) for s, t in zip(a["scores"], b["scores"], strict=True) for x, y in zip(s, t, strict=True))
    peaks = f"{a['peak_mb']:.0f} | {b['peak_mb']:.0f}"
    about = f"| {args.shape} | {', '.join(args.tasks)} | {args.fewshot} | {args.items} |"
    once = f"harness {a['setup_cpu']:.1f}, walk {b['setup_cpu']:.1f} + {b['end_cpu']:.1f}"
    print(f"CPU seconds once, before the first step and after the last: {once}", flush=True)
    return f"{about} {cpu[0]:.2f} | {cpu[1]:.2f} | {cpu[0] / cpu[1]:.1f} | {peaks} | {apart:.0e} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="14m", choices=tuple(SHAPES))
    parser.add_argument("--tasks", nargs="+", default=list(TEXTS), choices=tuple(FILES))
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--fewshot", type=int, default=0)
    parser.add_argument("--batch", type=int, default=16, help="of the harness; the walk chooses its own")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        warnings.simplefilter("ignore")
        own = (args.folder, args.tasks, args.fewshot)
        harness(*own, args.batch) if args.job == "harness" else walk(*own)
        return
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, load {os.getloadavg()}, {args.steps} steps")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_suite(folder / "suite", Size(args.shape, args.steps, 1))
        write_tasks(folder / "tasks", args.items)
        found = row(folder, args)
        print(f"{HEAD}\n|{'---|' * 10}\n{found}")


if __name__ == "__main__":
    main()

"""How much of a walk from the Hub is waiting: 14M-shaped checkpoints on a local Hub with a bandwidth cap.

    python scripts/bench_hub.py                     # 8 steps at 20 MB/s, about two minutes
    python scripts/bench_hub.py --steps 20 --bandwidth 10 20 40

Three child processes do the same steps: one only downloads, one only computes (from a local folder), one
walks from the Hub. Nothing here passes or fails. On a busy machine seconds measured one after the other are not
comparable; the ratio with the compute seconds of the walk itself is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.hub.checkpoints import pythia_config  # noqa: E402
from tests.hub.environment import client_environment  # noqa: E402
from tests.hub.repository import Repository  # noqa: E402
from tests.hub.server import LocalHub  # noqa: E402
from tests.hub.suite import step_repository  # noqa: E402
from tests.suites_on_disk import rows, write_probes, write_words  # noqa: E402

NAME = "EleutherAI/pythia-14m"


# -- in the child ----------------------------------------------------------------------------------------


class Clock:
    """When each checkpoint was asked for and when its weights were there."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.came: list[float] = []

    def stage(self, checkpoint: str, stage: str) -> None:
        """Notes the time."""
        if stage in ("fetch", "load"):
            (self.asked if stage == "fetch" else self.came).append(time.perf_counter())

    def finished(self, checkpoint: str, detail: str) -> None:
        """Says what went wrong."""
        if detail:
            raise SystemExit(detail)

    def times(self, end: float) -> dict[str, Any]:
        """Seconds from the first question to the end, of waiting for and of computing each checkpoint."""
        waited = [came - asked for asked, came in zip(self.asked, self.came, strict=True)]
        computed = [after - came for came, after in zip(self.came, [*self.asked[1:], end], strict=True)]
        return {"wall": end - self.asked[0], "wait": waited, "compute": computed}


def child(mode: str, folder: Path, disk: str) -> None:
    """Downloads, computes or walks; prints seconds as JSON."""
    from pythia_geometry.runs.local import walk
    from pythia_geometry.runs.plan import Request, plan_suite
    from pythia_geometry.suites.hub import HubSuite
    from pythia_geometry.suites.local import LocalSuite
    from pythia_geometry.suites.pythia import parse_name

    suite = LocalSuite(folder / "files") if mode == "compute" else HubSuite(NAME, parse_name(NAME))
    steps = ",".join(map(str, LocalSuite(folder / "files").steps()))
    request = Request(steps=steps, probes=(str(folder / "words.jsonl"),), device="cpu", threads=1, disk=disk)
    plan = plan_suite(suite, request)
    usable = plan.runs[0].usable
    if mode == "download":
        taken = []
        for checkpoint in (usable[-1], *usable[:-1]):
            began = time.perf_counter()
            suite.fetch(checkpoint, folder / "scratch")
            taken.append(time.perf_counter() - began)
            shutil.rmtree(folder / "scratch")
        print(json.dumps({"download": taken}))
        return
    clock = Clock()
    walk(plan, folder / f"run-{mode}", clock)
    print(json.dumps(clock.times(time.perf_counter())))


# -- in the parent ---------------------------------------------------------------------------------------


class Peak(threading.Thread):
    """Most bytes that were seen in a folder, looked at every 5 milliseconds."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.bytes, self.done = folder, 0, threading.Event()

    def run(self) -> None:
        """Looks until told to stop."""
        while not self.done.wait(0.005):
            found = 0
            for place, _, names in os.walk(self.folder):
                for name in names:
                    with suppress(FileNotFoundError):
                        found += (Path(place) / name).stat().st_size
            self.bytes = max(self.bytes, found)


def in_child(mode: str, folder: Path, hub: LocalHub, disk: str = "") -> dict[str, Any]:
    """Runs one mode in a process of its own."""
    words = [sys.executable, __file__, "--child", mode, "--folder", str(folder), "--disk", disk]
    environment = client_environment(hub.endpoint, folder / "home") | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    read: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return read


def make_suite(folder: Path, steps: Sequence[int], prompts: int) -> Repository:
    """The same checkpoints as a local suite and as a repository."""
    files = folder / "files"
    files.mkdir()
    write_words(files / "tokenizer.json")
    repository = step_repository(files, pythia_config("14m"), steps, same_as={})
    for branch, oid in list(repository.branches.items()):
        held = {name: file.blob for name, file in repository.commits[oid].files.items()}
        repository.commit(branch, {**held, "tokenizer.json": files / "tokenizer.json"})
    write_probes(folder / "words.jsonl", rows("words", prompts))
    return repository


def measure(folder: Path, hub: LocalHub, options: argparse.Namespace, n_steps: int) -> None:
    """One bandwidth: the three children, and what they say together."""
    downloads = in_child("download", folder, hub)["download"]
    shutil.rmtree(folder / "home")
    hub.clear_log()
    peak = Peak(folder / "run-walk" / "downloads")
    peak.start()
    walked = in_child("walk", folder, hub, options.disk)
    peak.done.set()
    peak.join()
    computed = in_child("compute", folder, hub)["compute"]

    size = (folder / "files" / "step0" / "model.safetensors").stat().st_size
    small = sum((folder / "files" / name).stat().st_size for name in ("step0/config.json", "tokenizer.json"))
    bodies = sum(record.sent for record in hub.requests("GET") if record.is_download)
    per_step = len(hub.requests()) / n_steps
    print(f"download alone {sum(downloads):7.1f} s   ({sum(downloads) / n_steps:.2f} s a step)")
    print(f"compute alone  {sum(computed):7.1f} s   ({sum(computed) / n_steps:.2f} s a step)")
    print(f"walk           {walked['wall']:7.1f} s   of which waiting {sum(walked['wait']):.1f} s")
    wall = walked["wall"]
    print(
        f"wall / max(download alone, compute alone)                    {wall / max(sum(downloads), sum(computed)):.3f}"
    )
    print(f"wall / (first download + sum of max(download, compute))      {wall / bound(downloads, computed):.3f}")
    print(
        f"  the same with the compute seconds of the walk itself       {wall / bound(downloads, walked['compute']):.3f}"
    )
    print(f"bytes / (weight files + config + tokenizer)                  {bodies / (n_steps * size + small):.4f}")
    print(f"requests a step                                              {per_step:.2f} ({len(hub.requests())} in all)")
    print(
        f"peak disk of downloads / one weight file                     {peak.bytes / size:.3f} ({peak.bytes / 1e6:.1f} MB)"
    )
    for name in ("run-walk", "run-compute", "home"):
        shutil.rmtree(folder / name, ignore_errors=True)


def bound(downloads: Sequence[float], computed: Sequence[float]) -> float:
    """The first download, then each computation beside the next download."""
    beside = sum(max(download, compute) for (_, download), compute in zip(pairwise(downloads), computed, strict=False))
    return downloads[0] + beside + computed[-1]


def main() -> None:
    """Prints one block a bandwidth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8, help="checkpoints of 53 MB each")
    parser.add_argument("--bandwidth", type=float, nargs="+", default=[20.0], help="MB/s of all bodies together")
    parser.add_argument("--prompts", type=int, default=1024, help="how much there is to compute a step")
    parser.add_argument("--disk", default="", help="as for pythia-geom")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.folder, options.disk)
        return
    with tempfile.TemporaryDirectory(prefix="bench-hub-") as temporary:
        folder = Path(temporary)
        steps = [0, *(2**power for power in range(10)), *range(1000, 144000, 1000)][: options.steps]
        repository = make_suite(folder, steps, options.prompts)
        with LocalHub([repository]) as hub:
            for megabytes in options.bandwidth:
                hub.bandwidth = megabytes * 1e6
                hub.clear_log()
                print(
                    f"\n{options.steps} steps of 14M shape at {megabytes:g} MB/s, --disk {options.disk or '(default)'}"
                )
                measure(folder, hub, options, options.steps)


if __name__ == "__main__":
    main()

"""How much of a walk from the Hub is waiting: 14M-shaped checkpoints on a local Hub with a bandwidth cap.

    python scripts/bench_hub.py                     # 8 steps at 20 MB/s, about two minutes
    python scripts/bench_hub.py --steps 20 --bandwidth 10 20 40

Child processes do the same steps: one only downloads, one walks from the Hub, one only computes (from a local
folder); then the first two again with `--fetch ranges`, which has no local twin. Nothing here passes or fails. On a
busy machine seconds measured one after the other are not comparable; the ratio with the compute seconds of the walk
itself is.
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

from pythia_geometry.suites.safetensors_header import places, span_of  # noqa: E402
from tests.hub.checkpoints import pythia_config  # noqa: E402
from tests.hub.environment import client_environment  # noqa: E402
from tests.hub.repository import Repository  # noqa: E402
from tests.hub.server import LocalHub  # noqa: E402
from tests.hub.suite import step_repository  # noqa: E402
from tests.suites_on_disk import rows, write_probes, write_words  # noqa: E402

NAME = "EleutherAI/pythia-14m"
WEIGHTS = "model.safetensors"
FILES, RANGES = "files", "ranges"


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


def child(mode: str, folder: Path, fetch: str, disk: str) -> None:
    """Downloads, computes or walks; prints seconds as JSON."""
    from pythia_geometry.runs.fetching.ahead import Wanted
    from pythia_geometry.runs.fetching.weights import weights_ahead
    from pythia_geometry.runs.local import walk
    from pythia_geometry.runs.plan import plan_suite
    from pythia_geometry.runs.request import Request
    from pythia_geometry.suites.hub.suite import HubSuite
    from pythia_geometry.suites.local import LocalSuite
    from pythia_geometry.suites.pythia import parse_name

    suite = LocalSuite(folder / "files") if mode == "compute" else HubSuite(NAME, parse_name(NAME))
    steps = ",".join(map(str, LocalSuite(folder / "files").steps()))
    probes = (str(folder / "words.jsonl"),)
    request = Request(steps=steps, probes=probes, device="cpu", threads=1, disk=disk, fetch=fetch)
    plan = plan_suite(suite, request)
    usable = plan.runs[0].usable
    if mode == "download":
        taken = []
        for checkpoint in (usable[-1], *usable[:-1]):
            with weights_ahead(
                [Wanted(suite, checkpoint)], plan.span_sources, folder / "scratch", plan.disk_budget
            ) as fetcher:
                began = time.perf_counter()
                fetcher.get(suite, checkpoint)
                taken.append(time.perf_counter() - began)
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


def in_child(mode: str, folder: Path, hub: LocalHub, fetch: str = FILES, disk: str = "") -> dict[str, Any]:
    """Runs one mode in a process of its own."""
    words = [sys.executable, __file__, "--child", mode, "--folder", str(folder), "--fetch", fetch, "--disk", disk]
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


def measure(folder: Path, hub: LocalHub, fetch: str, disk: str, n_steps: int) -> None:
    """One way of fetching at one bandwidth: the children, and what they say together."""
    downloads = in_child("download", folder, hub, fetch)["download"]
    shutil.rmtree(folder / "home")
    hub.clear_log()
    peak = Peak(folder / "run-walk" / "downloads")
    peak.start()
    walked = in_child("walk", folder, hub, fetch, disk)
    peak.done.set()
    peak.join()
    asked, bodies = len(hub.requests()), sum(r.sent for r in hub.requests("GET") if r.is_download)
    wall = walked["wall"]
    print(f"download alone {sum(downloads):7.1f} s   ({sum(downloads) / n_steps:.2f} s a step)")
    if fetch == FILES:
        computed = in_child("compute", folder, hub)["compute"]
        print(f"compute alone  {sum(computed):7.1f} s   ({sum(computed) / n_steps:.2f} s a step)")
    print(f"walk           {wall:7.1f} s   of which waiting {sum(walked['wait']):.1f} s")
    if fetch == FILES:
        show("wall / max(download alone, compute alone)", wall / max(sum(downloads), sum(computed)))
        show("wall / (first download + sum of max(download, compute))", wall / bound(downloads, computed))
    show("wall / the same with the compute seconds of the walk itself", wall / bound(downloads, walked["compute"]))
    size, span = (folder / "files" / "step0" / WEIGHTS).stat().st_size, base_span(folder / "files" / "step0" / WEIGHTS)
    if fetch == RANGES:
        show("bytes / (spans of the base model + config + tokenizer)", bodies / (n_steps * span + small(folder)))
    show("bytes / (weight files + config + tokenizer)", bodies / (n_steps * size + small(folder)))
    show("requests a step", asked / n_steps, f" ({asked} in all)")
    show("peak disk of downloads / one weight file", peak.bytes / size, f" ({peak.bytes / 1e6:.1f} MB)")
    for name in ("run-walk", "run-compute", "home", "scratch"):
        shutil.rmtree(folder / name, ignore_errors=True)


def show(what: str, ratio: float, more: str = "") -> None:
    """One line of a block."""
    print(f"{what:60s} {ratio:.3f}{more}")


def small(folder: Path) -> int:
    """Bytes of what comes once."""
    return sum((folder / "files" / name).stat().st_size for name in ("step0/config.json", "tokenizer.json"))


def base_span(file: Path) -> int:
    """Bytes from the first to the last tensor of the base model, buffers of old files apart."""
    content = file.read_bytes()
    found = places(file.name, len(content), lambda start, stop: content[start:stop])
    is_base = {n: n.startswith("gpt_neox.") and not n.endswith(("attention.bias", "masked_bias")) for n in found}
    start, stop = span_of({name: place for name, place in found.items() if is_base[name]})
    return stop - start


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
    parser.add_argument("--fetch", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.folder, options.fetch, options.disk)
        return
    with tempfile.TemporaryDirectory(prefix="bench-hub-") as temporary:
        folder = Path(temporary)
        steps = [0, *(2**power for power in range(10)), *range(1000, 144000, 1000)][: options.steps]
        repository = make_suite(folder, steps, options.prompts)
        with LocalHub([repository]) as hub:
            for megabytes in options.bandwidth:
                hub.bandwidth = megabytes * 1e6
                for fetch in (FILES, RANGES):
                    how = f"--fetch {fetch}" + (f" --disk {options.disk}" if options.disk and fetch == FILES else "")
                    print(f"\n{options.steps} steps of 14M shape at {megabytes:g} MB/s, {how}", flush=True)
                    measure(folder, hub, fetch, options.disk if fetch == FILES else "", options.steps)


if __name__ == "__main__":
    main()

"""`pythia-geom replicate` from end to end on a local Hub: 14M-shaped weights, Pythia's tokenizer, issue 205, two kills.

    python scripts/rehearse_replication.py --dry-run      # what the real one takes: real branch names and bytes, no weights
    python scripts/rehearse_replication.py                # three sizes at log steps, killed twice; about an hour of CPU
    python scripts/rehearse_replication.py --steps 0,1,64,4000,66000 --sets general/scene_short,factual/capital_rare

The command is killed by SIGKILL in the middle of a download, and again in the middle of the second model, and typed a third
time. Weights are random, so that nothing emerges: what is rehearsed is the machinery. Needs Pythia's tokenizer
(tests/hub/checkpoints.py says where it looks).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pythia_geometry.suites.pythia import STEPS  # noqa: E402
from pythia_geometry.suites.steps.chosen import parse_steps  # noqa: E402
from tests.commands.pythia_hub import listed_only, served, tokenizer_files  # noqa: E402
from tests.extraction.local_benchmarks import write_tasks  # noqa: E402
from tests.hub.checkpoints import pythia_config  # noqa: E402
from tests.hub.environment import client_environment  # noqa: E402
from tests.hub.server import LocalHub  # noqa: E402
from tests.runs.command import parts  # noqa: E402

SIZES = ("160m", "410m", "2.8b")
CODE = """
import sys
import pythia_geometry.commands.replication.probes as probes
from pythia_geometry.cli import main
sets = sys.argv.pop(1)
probes.DIAGNOSTIC = tuple(sets.split(",")) if sets else probes.DIAGNOSTIC
main()
"""


def main() -> None:
    """Serve, type, kill, type again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--steps", default="log")
    parser.add_argument("--sets", default="", help="probe sets in place of the seven")
    parser.add_argument("--benchmarks", action="store_true", help="two tasks of lm-eval over local documents")
    parser.add_argument("--folder", type=Path, help="where all lies (default: temporary)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = tokenizer_files(folder / "tokenizer")
        chosen = parse_steps(options.steps, STEPS, "pythia")
        if options.dry_run:
            repositories = [listed_only(size, tokenizer) for size in SIZES]
        else:
            config = pythia_config("14m", vocab_size=50304)
            repositories = [served(size, folder, config, tokenizer, chosen) for size in SIZES]
        with LocalHub(repositories) as hub:
            words = ["replicate", "--out", str(folder / "out"), "--device", "cpu", "--benchmarks"]
            words += ["lm-eval:sciq,lm-eval:blimp_adjunct_island"] if options.benchmarks else ["none"]
            words += ["--include", str(write_tasks(folder / "tasks"))] if options.benchmarks else []
            typed = Typed(hub.endpoint, folder, options.sets)
            if options.dry_run:
                typed.until([*words, "--dry-run"], None)
                return
            words += ["--steps", options.steps]
            out = folder / "out"
            typed.until(words, lambda: any((out / "pythia-160m" / "downloads").rglob("*")) and parts(out) >= 2)
            typed.until(words, lambda: parts(out / "pythia-410m") >= 2)
            typed.until(words, None)
            files = hub.downloaded_files()
            print(f"downloads asked for: {len(files)}, of {len(set(files))} files")


class Typed:
    """The command, as it is typed again and again."""

    def __init__(self, endpoint: str, folder: Path, sets: str) -> None:
        self.environment = {**client_environment(endpoint, folder / "home"), "OMP_NUM_THREADS": "1"}
        self.environment["PYTHONPATH"] = str(ROOT)
        self.sets = sets
        self.count = 0

    def until(self, words: Sequence[str], killed: Callable[[], bool] | None) -> None:
        """Runs it to its end, or until something is true: then SIGKILL."""
        self.count += 1
        print(f"=== typed for time {self.count}: pythia-geom {' '.join(words)}", flush=True)
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, "-c", CODE, self.sets, *words], env=self.environment)
        while process.poll() is None:
            if killed is not None and killed():
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                break
            time.sleep(0.05)
        print(f"=== ended with {process.returncode} after {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()

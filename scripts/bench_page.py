"""What the largest page costs: 154 steps × 25 layers × 40 tasks × 12 measures, made up, in a real browser.

    python scripts/bench_page.py                 # 1.85 million values; needs chromium and chromedriver
    python scripts/bench_page.py --steps 20

Prints the page's size, how long Python takes to write it, and in the browser with the network off: until every figure
is drawn (from the start of loading), and until the page is painted again after a choice and a key. Beside each, what of
it the page's main thread used: on a busy machine that is what a free one takes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from pythia_geometry.report.page.inputs import Source
from pythia_geometry.report.page.page import page
from tests.report.browser import opened, ready
from tests.report.large import STEPS, large_tables

LOADED = "return performance.getEntriesByName('drawn')[0].startTime"
TIMED = """(async () => {
    const done = arguments[arguments.length - 1], from = performance.now();
    await (async () => { %s })();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - from)));
})()"""
ACTIONS = {
    "another measure": """const f = page.figures.find(f => f.id === "anything"), s = f.home.parentElement.querySelector("select[name=what]");
        s.selectedIndex = (s.selectedIndex + 1) % s.options.length; s.dispatchEvent(new Event("change")); await f.drawn;""",
    "another task's map": """const f = page.figures.find(f => f.id === "maps"), s = f.home.parentElement.querySelector("select[name=task]");
        s.selectedIndex = (s.selectedIndex + 1) % s.options.length; s.dispatchEvent(new Event("change")); await f.drawn;""",
    "arrow key": """const f = page.figures.find(f => f.id === "collapse");
        f.home.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"})); await f.pointed;""",
}


def busy(browser: Any) -> float:
    """Milliseconds of CPU that the page's main thread has used."""
    metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return 1000 * next(m["value"] for m in metrics if m["name"] == "TaskDuration")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=len(STEPS))
    parser.add_argument("--repeats", type=int, default=9)
    given = parser.parse_args()
    tables = large_tables(given.steps)
    start = time.process_time()
    content = page([Source(Path("run"), "", tables)])
    size, took = len(content.encode()) / 1e6, time.process_time() - start
    print(f"{len(tables.geometry):,} values: {size:.2f} MB, written in {took:.0f} s of CPU")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_text(content, "utf-8")
        with opened(file, Path(folder) / "profile", "--window-size=1400,1000", blank=True) as browser:
            browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
            before = busy(browser)
            browser.get(file.as_uri())
            ready(browser, 300)
            drawn, cpu = browser.execute_script(LOADED), busy(browser) - before
            print(f"every figure drawn {drawn:.0f} ms after loading began ({cpu:.0f} ms of CPU on the main thread)")
            for name, action in ACTIONS.items():
                shown, cpus = [], []
                for _ in range(given.repeats):
                    before = busy(browser)
                    shown.append(browser.execute_async_script(TIMED % action))
                    cpus.append(busy(browser) - before)
                print(
                    f"{name}: median {statistics.median(shown):.0f} ms, longest {max(shown):.0f} ms of {len(shown)}"
                    f" (CPU: median {statistics.median(cpus):.0f} ms, longest {max(cpus):.0f} ms)"
                )


if __name__ == "__main__":
    main()

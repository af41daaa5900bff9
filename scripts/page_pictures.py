"""Pictures of the page of a run: one for the README, and every figure as others see it. Needs chromium.

    python scripts/page_pictures.py runs/offline                        # docs/figures/report.png
    python scripts/page_pictures.py runs/offline --vision seen          # seen/deuteranopia-1.png …, seen/achromatopsia-1.png …
    python scripts/page_pictures.py runs/offline --whole seen           # light, dark, phone as PNG, print as PDF

Chromium itself simulates how colours are seen.
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from pythia_geometry.report.page.page import save_page
from tests.report.browser import opened, ready

FRONT = (1000, 1000)
TALL = 4000
"""Of a picture of the whole page; a longer page becomes several."""


def clip(browser: Any, x: float, y: float, width: float, height: float) -> bytes:
    area = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": area})
    return base64.b64decode(shot["data"])


def vision(browser: Any, folder: Path) -> None:
    """Every figure, one picture each."""
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('figure .chart')].map(c => c.getBoundingClientRect()).map(r => [r.x, r.y + scrollY, r.width, r.height])"
    )
    for kind in ("deuteranopia", "achromatopsia"):
        browser.execute_cdp_cmd("Emulation.setEmulatedVisionDeficiency", {"type": kind})
        for i, box in enumerate(boxes, 1):
            (folder / f"{kind}-{i}.png").write_bytes(clip(browser, *box))
    print(f"{len(boxes)} figures, each twice, in {folder}")


def whole(browser: Any, folder: Path) -> None:
    """The page by day, by night, on a phone and on paper."""
    for name, width, scheme in (("light", 1400, "light"), ("dark", 1400, "dark"), ("phone", 390, "light")):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_async_script("Promise.all(page.figures.map(f => f.draw())).then(arguments[0])")
        wide, tall = browser.execute_script(
            "const e = document.documentElement; return [e.scrollWidth, e.scrollHeight]"
        )
        print(f"{name}: {wide} × {tall}")
        for i, y in enumerate(range(0, tall, TALL), 1):
            (folder / f"{name}-{i}.png").write_bytes(clip(browser, 0, y, width, min(TALL, tall - y)))
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    (folder / "print.pdf").write_bytes(base64.b64decode(printed["data"]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--out", type=Path, default=Path("docs/figures/report.png"))
    parser.add_argument("--vision", type=Path)
    parser.add_argument("--whole", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = save_page([given.run], Path(folder) / "report.html")
        with opened(file, Path(folder) / "profile", f"--window-size={FRONT[0]},{FRONT[1]}") as browser:
            ready(browser, 300)
            for path, draw in ((given.vision, vision), (given.whole, whole)):
                if path:
                    path.mkdir(parents=True, exist_ok=True)
                    draw(browser, path)
            if not given.vision and not given.whole:
                given.out.write_bytes(clip(browser, 0, 0, *FRONT))
                print(f"{given.out}: {given.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

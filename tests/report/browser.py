"""Debian's chromium without a window or a network, driven by selenium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


@contextmanager
def opened(page: Path, profile: Path, *flags: str) -> Iterator[Any]:
    """A browser that shows a page, with the network off. Skips the test where there is none."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is missing: pip install -e .[dev]")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("chromium is missing: apt-get install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}", *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    shown = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    try:
        shown.execute_cdp_cmd("Network.enable", {})
        shown.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
        )
        shown.set_script_timeout(60)
        shown.get(page.as_uri())
        yield shown
    finally:
        shown.quit()

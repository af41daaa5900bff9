"""Debian's chromium without a window or a network, driven by selenium."""

from __future__ import annotations

import shutil
import time
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
def opened(page: Path, profile: Path, *flags: str, blank: bool = False) -> Iterator[Any]:
    """A browser that shows a page (nothing yet if blank), with the network off. Skips the test where there is none."""
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
        if not blank:
            shown.get(page.as_uri())
        yield shown
    finally:
        shown.quit()


def ready(browser: Any, seconds: float = 60) -> None:
    """Waits until every figure of the page is drawn.

    Raises:
        AssertionError: If that takes longer; with what the page says about it.
    """
    until = time.monotonic() + seconds
    while not browser.execute_script("return document.documentElement.dataset.ready === 'yes'"):
        assert time.monotonic() < until, browser.execute_script("return document.getElementById('failed').textContent")
        time.sleep(0.05)

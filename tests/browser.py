"""A real Chromium for the tests of the web page."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-proxy-server", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip


def open_browser(profile: Path, *, phone: bool = False) -> Any:
    """A fresh browser, or a skip with the reason."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1200,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    if phone:
        metrics = dict(width=360, height=740, pixelRatio=2.0)
        options.add_experimental_option("mobileEmulation", dict(deviceMetrics=metrics))
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(DRIVER))
    downloads = dict(behavior="allow", downloadPath=str(profile))
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", downloads)
    return driver


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for something to become true, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {condition}")


def hosts_asked(driver: Any) -> set[str]:
    """Host and port of every request that the page has sent."""
    hosts = set()
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            scheme, _, rest = message["params"]["request"]["url"].partition("://")
            if scheme in ("http", "https", "ws", "wss"):
                hosts.add(rest.split("/")[0])
    return hosts

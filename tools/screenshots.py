"""Take the pictures of the README: the review page and the lead's page, in a real Chromium.

    python examples/support_bot/run.py --data demo-data
    python tools/screenshots.py demo-data docs/images

The service is started on the demo's data, so the pictures show what a stranger sees after
`make demo`. Exit code 2 where Chromium is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import parts
from playwright.sync_api import sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FIDELITY = Path(sys.executable).with_name("fidelity")
READY_SECONDS = 60


@contextlib.contextmanager
def serving(data: Path) -> Iterator[str]:
    """The address of `fidelity serve` on this data, ended with the block."""
    ports = data / "ports.json"
    ports.unlink(missing_ok=True)
    free = {f"FIDELITY_{name}_PORT": "0" for name in ("OTLP_GRPC", "OTLP_HTTP", "HTTP")}
    process = subprocess.Popen(
        [str(FIDELITY), "serve", "--data", str(data)],
        env={**os.environ, **free},
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not ports.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"fidelity serve did not become ready on {data}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{json.loads(ports.read_text())['http']}"
    finally:
        process.terminate()
        process.wait(30)


def pick_one(address: str) -> None:
    """Put one answered request into the queue, marked as picked by hand, for the picture."""
    listed = httpx.get(f"{address}/api/v1/traces", params={"limit": 200}).json()
    wanted = [t for t in listed if any(f["mode"] == "retrieval_stale" for f in t["findings"])]
    chosen = (wanted or listed)[0]["trace_id"]
    httpx.post(f"{address}/api/v1/traces/{chosen}/pick").raise_for_status()


def review_page(browser: Any, address: str, target: Path) -> None:
    """The page as a reviewer sees it, with one item leased and given back."""
    page = browser.new_page(viewport={"width": 1180, "height": 820})
    page.goto(address)
    page.wait_for_function("document.activeElement.id === 'reviewer'")
    page.keyboard.type("screenshot")
    page.keyboard.press("Enter")
    page.wait_for_selector("#judge")
    page.screenshot(path=str(target))
    page.close()


def report_page(browser: Any, data: Path, target: Path) -> None:
    """The lead's page as `fidelity report --format html` writes it."""
    html = data / "report.html"
    subprocess.run(
        [str(FIDELITY), "report", "--format", "html", "--data", str(data), "--output", str(html)],
        check=True,
    )
    page = browser.new_page(viewport={"width": 1120, "height": 800})
    page.goto(html.resolve().as_uri())
    page.screenshot(path=str(target), full_page=True)
    page.close()


def main() -> None:
    """Parse, then take both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="data folder of a demo that has ended")
    parser.add_argument("images", type=Path, help="where review.png and report.png go")
    asked = parser.parse_args()
    chromium = parts.find("chromium")
    if chromium is None:
        sys.stderr.write("error: Chromium is missing. Mend: python3 tools/parts.py get chromium\n")
        raise SystemExit(2)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=list(FLAGS))
        report_page(browser, asked.data, asked.images / "report.png")
        with serving(asked.data) as address:
            pick_one(address)
            review_page(browser, address, asked.images / "review.png")
        browser.close()


if __name__ == "__main__":
    main()

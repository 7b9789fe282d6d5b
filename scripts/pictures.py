"""Takes the screenshots in the documentation. `scripts/pictures` runs this module."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from browser_support import launch, opened

from target_liveintent.sandbox import Sandbox

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent
WIDTH = 1000
HEIGHTS = {"report": 760, "sandbox": 820}


def orders(folder: Path) -> str:
    """Return the demo's orders as the Singer messages of a tap."""
    file = folder / "orders.jsonl"
    subprocess.run([sys.executable, ROOT / "demo" / "orders.py", "--out", file], check=True)
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    columns: dict[str, Any] = {column: {} for record in records for column in record}
    schema: dict[str, Any] = {"type": "object", "properties": columns}
    head = {"type": "SCHEMA", "stream": "orders", "key_properties": ["id"], "schema": schema}
    rows = ({"type": "RECORD", "stream": "orders", "record": record} for record in records)
    return "".join(json.dumps(message) + "\n" for message in (head, *rows))


def run(folder: Path, url: str) -> None:
    """Send the orders to a sandbox with the demo's map, and write the report to the folder."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    settings = project["plugins"]["loaders"][0]["config"] | {
        "customer_id": "a-1b2c",
        "auth_token": "sandbox-token",
        "pixel_id": 12345,
        "api_url": url,
        "batch_size_rows": 50,
        "report_path": str(folder / "report.html"),
    }
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    subprocess.run(
        [PROGRAMS / "target-liveintent", "--config", folder / "settings.json"],
        cwd=folder,  # The store of another run would know these orders.
        input=orders(folder),
        text=True,
        capture_output=True,
        check=True,
    )


def take_screenshots(browser: Browser, name: str, url: str, folder: Path) -> None:
    """Take a screenshot of a page in light and in dark mode."""
    for scheme in ("light", "dark"):
        height = HEIGHTS[name]
        with opened(browser, url, width=WIDTH, height=height, color_scheme=scheme) as page:
            if name == "sandbox":
                page.locator("#events a").first.wait_for()
            page.screenshot(path=folder / f"{name}-{scheme}.png")


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        Sandbox() as sandbox,
        contextlib.contextmanager(launch)() as browser,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        folder = Path(scratch)
        run(folder, sandbox.url)
        take_screenshots(browser, "report", (folder / "report.html").as_uri(), out)
        take_screenshots(browser, "sandbox", sandbox.url, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

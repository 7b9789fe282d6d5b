"""Options of a write, attempts at its tasks, and the files that they leave."""

from __future__ import annotations

from typing import Any

import fsspec

from target_liveintent.spark.attempts import Attempt, MicroBatch, Write
from target_liveintent.spark.columns import Columns
from target_liveintent.spark.options import Job

OPTIONS = {
    "customer_id": "a-1b2c",
    "auth_token": "sandbox-token",
    "pixel_id": "12345",
    "default_source": "web",
    "stream_name": "orders",
    "key_properties": "id",
    "concurrent_tasks": "4",
    "dead_letter_path": "s3://bucket/letters",
}


def job(letters: str = "", audit: str = "") -> Job:
    """Return a write with these folders."""
    how: dict[str, Any] = {"dry_run": False, "allowed_percent": 50, "audit_folder": audit}
    return Job({}, "orders", (), Columns((), ()), 1, letters, 0, **how)


def of_batch(number: int, run: str, execution: int, target: str = "7e57") -> Attempt:
    """Return an attempt at a task of a write within a micro-batch."""
    batch = MicroBatch("query", number, run, execution)
    return Attempt(Write(f"id{run}{execution}", target, batch), 0, 0)


def files(url: str) -> dict[str, bytes]:
    """Return the files of a folder, hidden ones included."""
    storage, root = fsspec.url_to_fs(url)
    return {
        path.removeprefix(root).lstrip("/"): storage.cat_file(path) for path in storage.find(root)
    }

"""The naive target: what a developer gets from the SDK's template in an hour.

The SDK does what it does for every target: it reads messages, validates records against the schema,
and applies stream maps. A full batch is posted while the next records wait. There are no retries
and no dead letters.

    python -m benchmarks.naive --config naive.json < orders.singer
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

import requests
from singer_sdk import typing as th
from singer_sdk.sinks import BatchSink
from singer_sdk.target_base import Target


def normalized(address: str) -> str:
    """Return an address in the form in which the API expects it to be hashed."""
    local, _, domain = address.strip().lower().rpartition("@")
    if domain == "gmail.com":
        local = local.split("+")[0].replace(".", "")
    return f"{local}@{domain}"


class NaiveSink(BatchSink):
    """Posts the records of a stream in batches of 100."""

    max_size = 100

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Open a session, so that the connection stays open."""
        super().__init__(*args, **kwargs)
        self.session = requests.Session()

    def event(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the event of a mapped record."""
        address = normalized(record["email"]).encode()
        time = record["event_time"]  # The SDK may have parsed it.
        moment = dt.datetime.fromisoformat(time) if isinstance(time, str) else time
        return {
            "eventId": record["event_id"],
            "eventTime": int(moment.timestamp()),
            "pixelId": self.config["pixel_id"],
            "source": record["source"],
            "userData": {
                "md5": hashlib.md5(address, usedforsecurity=False).hexdigest(),
                "sha2": hashlib.sha256(address).hexdigest(),
                "ip": record["ip"],
                "ua": record["user_agent"],
            },
            "purchaseData": {
                "currency": record["currency"],
                "value": float(record["value"]),
                "orderId": record["order_id"],
                "sourceUrl": record["source_url"],
            },
        }

    def process_batch(self, context: dict[str, Any]) -> None:
        """Send a full batch."""
        events = [self.event(record) for record in context["records"]]
        self.session.post(self.config["api_url"], json=events, timeout=30).raise_for_status()


class NaiveTarget(Target):
    """The target that uses the sink."""

    name = "target-naive"
    config_jsonschema = th.PropertiesList(
        th.Property("api_url", th.StringType, required=True),
        th.Property("pixel_id", th.IntegerType, required=True),
    ).to_dict()
    default_sink_class = NaiveSink


if __name__ == "__main__":
    NaiveTarget.cli()

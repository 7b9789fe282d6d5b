"""The floor: the minimum work that Python must do to send the same events.

It handles one known stream, trusts every value, maps and checks nothing, and counts nothing.

    python -m benchmarks.floor URL < orders.singer
"""

from __future__ import annotations

import datetime as dt
import hashlib
import sys
from typing import Any

import msgspec
import requests

from benchmarks import PIXEL_ID

_MAX_EVENTS = 100


def event(order: dict[str, Any]) -> dict[str, Any]:
    """Return the event of an order."""
    local, _, domain = order["email"].strip().lower().rpartition("@")
    if domain == "gmail.com":
        local = local.partition("+")[0].replace(".", "")
    address = f"{local}@{domain}".encode()
    return {
        "eventId": order["id"],
        "eventTime": int(dt.datetime.fromisoformat(order["created_at"]).timestamp()),
        "pixelId": PIXEL_ID,
        "source": "web",
        "userData": {
            "md5": hashlib.md5(address, usedforsecurity=False).hexdigest(),
            "sha2": hashlib.sha256(address).hexdigest(),
            "ip": order["browser_ip"],
            "ua": order["user_agent"],
        },
        "purchaseData": {
            "currency": order["currency"],
            "value": float(order["total_price"]),
            "orderId": str(order["order_number"]),
            "sourceUrl": order["landing_site"],
        },
    }


def main(url: str) -> None:
    """Send the events of the orders in standard input."""
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    session = requests.Session()
    session.headers["Content-Type"] = "application/json"
    batch = []
    for line in sys.stdin.buffer:
        message = decode(line)
        if message["type"] == "RECORD":
            batch.append(event(message["record"]))
            if len(batch) == _MAX_EVENTS:
                session.post(url, encode(batch)).raise_for_status()
                batch = []
    if batch:
        session.post(url, encode(batch)).raise_for_status()


if __name__ == "__main__":
    main(sys.argv[1])

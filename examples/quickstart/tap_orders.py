#!/usr/bin/env python3
"""A tap with six invented orders, of which three can be sent."""

import json
import sys
from datetime import datetime, timedelta, timezone


def order(number: int, address: str | None, status: str, *, hours: int) -> dict[str, object]:
    return {
        "id": f"gid://shopify/Order/{number}",
        "name": f"#{number}",
        "processedAt": (datetime.now(timezone.utc) - timedelta(hours=hours)).isoformat(),
        "email": address,
        "displayFinancialStatus": status,
        "cancelledAt": None,
        "test": False,
        "sourceName": "web",
        "originalTotalPriceSet": {"shopMoney": {"amount": 87.28, "currencyCode": "USD"}},
    }


orders = [
    order(1001, "ann@example.com", "PAID", hours=2),
    order(1002, "bob@example.com", "PAID", hours=5),
    order(1003, "eve@example.com", "PAID", hours=9),
    order(1004, None, "PAID", hours=12),
    order(1005, "joe@example.com", "PENDING", hours=15),
    order(1006, "sue@example.com", "PAID", hours=240),
]
schema = {"properties": {column: {} for column in orders[0]}}
messages = [{"type": "SCHEMA", "stream": "orders", "key_properties": ["id"], "schema": schema}]
if "--state" not in sys.argv:  # with a STATE, there is nothing new
    messages += [{"type": "RECORD", "stream": "orders", "record": record} for record in orders]
messages += [{"type": "STATE", "value": {"last_order": 1006}}]
for message in messages:
    print(json.dumps(message))

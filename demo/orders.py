"""Generates the orders of a fictional shop as its warehouse exports them: one JSON object a line.

The same seed gives the same orders. Their times are relative to now, so that they are young enough
to send. They resemble real orders: test orders, cancelled orders, guests, addresses in every
spelling or already hashed, amounts as text, store sales that arrive weeks later, and some rows that
cannot be sent at all.

    python3 demo/orders.py [--count 300] [--seed 7] [--out demo/data/orders.jsonl]
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import random
import uuid
from pathlib import Path
from typing import Any

Order = dict[str, Any]

FIRST_NAMES = ["Ada", "Bea", "Chloe", "Dan", "Eve", "Finn", "Grace", "Hugo", "Iris", "Jon", "Kim"]
LAST_NAMES = ["Adler", "Brook", "Castle", "Dune", "Elm", "Frost", "Grove", "Hill", "Isle", "Lake"]
DOMAINS = ["example.com", "example.net", "example.org"]
NETWORKS = ["192.0.2.", "198.51.100.", "203.0.113.", "::ffff:192.0.2.", "2001:db8::"]
BROWSERS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:142.0) Gecko/20100101 Firefox/142.0",
    "Mozilla/5.0 (Android 15; Mobile; rv:142.0) Gecko/142.0 Firefox/142.0",
]
APPS = {"idfa": "Shop/4.2 (iPhone; iOS 18.5)", "aaid": "Shop/4.2 (Linux; Android 15)"}


def make_uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def make_address(rng: random.Random) -> str:
    """Return an address as people type it: some with capitals, a tag or stray spaces."""
    name = f"{rng.choice(FIRST_NAMES)}.{rng.choice(LAST_NAMES)}"
    domain = rng.choice(DOMAINS)
    spellings = {
        f"{name}@{domain}".lower(): 70,
        f"{name}@{domain}": 12,
        f"{name}@{domain}".upper(): 5,
        f"{name}+orders@{domain}".lower(): 6,
        f" {name}@{domain} ": 5,
        f"{name}+shop@gmail.com": 2,
    }
    return rng.choices(list(spellings), weights=list(spellings.values()))[0]


def make_hash(rng: random.Random) -> str:
    """Return a hash from another system: MD5 or SHA-256, in lower or upper case."""
    address = make_address(rng).strip().lower().encode()
    md5, sha256 = hashlib.md5(address, usedforsecurity=False), hashlib.sha256(address)
    digest = rng.choice([md5, sha256]).hexdigest()
    return rng.choice([digest, digest.upper()])


def make_order(rng: random.Random) -> Order:
    """Return a paid web order of a known customer, which one of the functions below may change."""
    total = round(rng.lognormvariate(4, 0.7), 2)
    return {
        "id": make_uuid(rng),
        "age_hours": min(rng.expovariate(1 / 30), 6 * 24) + 0.2,  # most are two days old or less
        "status": "paid",
        "is_test": False,
        "channel": "web",
        "email": make_address(rng),
        "total": rng.choice([total, total, str(total)]),
        "currency": rng.choice(["USD", "USD", "USD", "usd", "EUR", "GBP"]),
        "client_ip": rng.choice(NETWORKS) + str(rng.randint(1, 99)),
        "user_agent": rng.choice(BROWSERS),
        "landing_url": f"https://shop.example.com/p/{rng.randint(1, 40)}?utm_source=newsletter",
    }


def unpaid(order: Order, rng: random.Random) -> None:
    order["status"] = rng.choice(["cancelled", "pending", "refunded"])


def marked_as_test(order: Order, _rng: random.Random) -> None:
    order["is_test"] = True


def in_app(order: Order, rng: random.Random) -> None:
    device_id = rng.choice(list(APPS))
    del order["landing_url"]
    order |= {"channel": "app", "app_bundle": "com.example.shop", "user_agent": APPS[device_id]}
    order |= {device_id: make_uuid(rng), "ad_tracking": rng.randint(0, 1)}


def in_store(order: Order, rng: random.Random) -> None:
    """A sale to the owner of a loyalty card, exported weeks later, but within 30 days."""
    for column in ("email", "client_ip", "user_agent", "landing_url"):
        del order[column]
    order |= {"channel": "store", "loyalty_hash": make_hash(rng)}
    order["age_hours"] = rng.uniform(10, 25) * 24


def hashed(order: Order, rng: random.Random) -> None:
    order["email"] = make_hash(rng)


def guest_from_newsletter(order: Order, rng: random.Random) -> None:
    """No address, but the URL of the landing page contains the decision ID of the click."""
    order["email"] = None
    order["landing_url"] += f"&li_did={make_uuid(rng)}"


def guest(order: Order, rng: random.Random) -> None:
    """Nothing identifies the customer."""
    order["email"] = rng.choice([None, "", "n/a"])


def too_old(order: Order, rng: random.Random) -> None:
    order["age_hours"] = rng.uniform(8, 12) * 24


def by_phone(order: Order, _rng: random.Random) -> None:
    """A channel that the stream map does not know yet."""
    order["channel"] = "phone"


def future_dated(order: Order, rng: random.Random) -> None:
    """A sale from a cash register whose clock is a day ahead."""
    in_store(order, rng)
    order["age_hours"] = -24


def unpriced(order: Order, _rng: random.Random) -> None:
    order |= {"total": "TBD", "currency": None}


# The number of orders of each kind in every 100; the rest are plain web orders.
KINDS = {
    unpaid: 10,
    marked_as_test: 3,
    in_app: 14,
    in_store: 10,
    hashed: 8,
    guest_from_newsletter: 8,
    guest: 4,
    too_old: 3,
    by_phone: 1,
    future_dated: 1,
    unpriced: 1,
}


def make_orders(count: int, seed: int, now: dt.datetime) -> list[Order]:
    """Return the orders, oldest first."""
    rng = random.Random(seed)
    orders = [make_order(rng) for _ in range(count)]
    kinds = [kind for kind, share in KINDS.items() for _ in range(round(share * count / 100))]
    for kind, order in zip(kinds, orders, strict=False):
        kind(order, rng)
    orders.sort(key=lambda order: order["age_hours"], reverse=True)
    for number, order in enumerate(orders, start=100_001):
        created_at = now - dt.timedelta(hours=order.pop("age_hours"))
        order["order_number"] = number
        order["created_at"] = created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return orders


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make the orders of a fictional shop.")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("demo/data/orders.jsonl"))
    options = parser.parse_args()
    orders = make_orders(options.count, options.seed, dt.datetime.now(dt.timezone.utc))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("".join(f"{json.dumps(order)}\n" for order in orders), encoding="utf-8")


if __name__ == "__main__":
    main()

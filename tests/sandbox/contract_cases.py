"""Cases for the sandbox's contract: changes to a valid event, and how the API answers them."""

from __future__ import annotations

from typing import Any

from sandbox_support import DAY, NOW

from target_liveintent.sandbox.rules import SCHEMAS

UUID = "6D92078A-8246-4BA4-AE5B-76104861E7DC"
NO_HASH = {"userData": {"ip": "192.0.2.1"}}

ACCEPTED: dict[str, dict[str, Any]] = {
    "plain": {},
    "app": {"source": "app", "purchaseData.appBundle": "com.example.shop"},
    "offline": {"source": "offline"},
    "web page": {"purchaseData.sourceUrl": "https://shop.example/thanks"},
    "decision instead of hash": {**NO_HASH, "decisionId": "d-1"},
    "decision beside hash": {"decisionId": "d-1"},
    "sha2 alone": {"userData": {"sha2": "ab" * 32}},
    "no user data but a decision": {"userData": {}, "decisionId": "d-1"},
    "no purchase data": {"purchaseData": {}},
    "ipv4": {"userData.ip": "192.0.2.1"},
    "ipv6": {"userData.ip": "2001:db8::1"},
    "user agent": {"userData.ua": "Mozilla/5.0 (π)"},
    "idfa": {"userData.idfa": UUID},
    "aaid in lower case": {"userData.aaid": UUID.lower()},
    "tracking on": {"userData.trackingEnabled": 1},
    "tracking off": {"userData.trackingEnabled": 0},
    "whole value": {"purchaseData.value": 42},
    "negative value": {"purchaseData.value": -1.25},
    "just now": {"eventTime": int(NOW)},
    "7 days old": {"eventTime": int(NOW) + 1 - 7 * DAY},
    "30 days old offline": {"source": "offline", "eventTime": int(NOW) + 1 - 30 * DAY},
}

# Changes to a valid event, and the message of the only entry between "events[0]." and the eventId.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"eventTime": ...}, "eventTime: required"),
    ({"eventTime": "1799999000"}, 'eventTime: must be of type integer, got "1799999000"'),
    (
        {"eventTime": 1799999000.5},
        (
            "eventTime: must be of type integer, got 1799999000.5; "
            "events[0].eventTime: must be an integer without a fraction, got 1799999000.5"
        ),
    ),
    (
        {"eventTime": 1799999000.0},
        "eventTime: must be an integer without a fraction, got 1799999000.0",
    ),
    (
        {"eventTime": 2**63},
        (
            "eventTime: must be at most 9223372036854775807, got 9223372036854775808; "
            "events[0].eventTime: must be earlier than the moment of sending, "
            "got 9223372036854775808"
        ),
    ),
    (
        {"eventTime": -(2**64)},
        (
            "eventTime: must be at least -9223372036854775808, got -18446744073709551616; "
            "events[0].eventTime: older than 7 days, got -18446744073709551616"
        ),
    ),
    (
        {"eventTime": int(NOW) + 1},
        "eventTime: must be earlier than the moment of sending, got 1800000001",
    ),
    ({"eventTime": int(NOW) - 7 * DAY}, "eventTime: older than 7 days, got 1799395200"),
    (
        {"eventTime": int(NOW) - 30 * DAY, "source": "offline"},
        "eventTime: older than 30 days, got 1797408000",
    ),
    ({"pixelId": ...}, "pixelId: required"),
    ({"pixelId": "12345"}, 'pixelId: must be of type integer, got "12345"'),
    ({"pixelId": True}, "pixelId: must be of type integer, got true"),
    ({"pixelId": 12345.0}, "pixelId: must be an integer without a fraction, got 12345.0"),
    ({"source": ...}, "source: required"),
    ({"source": "store"}, 'source: must be one of web, app, offline, got "store"'),
    (
        {"source": 1},
        (
            "source: must be of type string, got 1; "
            "events[0].source: must be one of web, app, offline, got 1"
        ),
    ),
    ({**NO_HASH}, "decisionId: required"),
    ({**NO_HASH, "decisionId": ""}, 'decisionId: must not be empty, got ""'),
    ({"decisionId": 7}, "decisionId: must be of type string, got 7"),
    ({"userData": ...}, "userData: required"),
    ({"userData": []}, "userData: must be of type object, got []"),
    ({"userData.email": "a@b.example"}, 'userData.email: unknown field, got "a@b.example"'),
    (
        {"userData.md5": "29A1DF4646CB3417C19994A59A3E022A"},
        'userData.md5: must match ^[0-9a-f]{32}$, got "29A1DF4646CB3417C19994A59A3E022A"',
    ),
    ({"userData.md5": "29a1"}, 'userData.md5: must match ^[0-9a-f]{32}$, got "29a1"'),
    ({"userData.md5": 29}, "userData.md5: must be of type string, got 29"),
    (
        {"userData.sha2": "ab" * 16},
        'userData.sha2: must match ^[0-9a-f]{64}$, got "abababababababababababababababab"',
    ),
    ({"userData.sha2": 1}, "userData.sha2: must be of type string, got 1"),
    (
        {"userData.ip": "192.0.2.256"},
        'userData.ip: must be an IPv4 or IPv6 address, got "192.0.2.256"',
    ),
    (
        {"userData.ip": "2001:db8:::1"},
        'userData.ip: must be an IPv4 or IPv6 address, got "2001:db8:::1"',
    ),
    ({"userData.ip": 1}, "userData.ip: must be of type string, got 1"),
    ({"userData.ua": 1}, "userData.ua: must be of type string, got 1"),
    ({"userData.idfa": "6D92078A"}, 'userData.idfa: must be a uuid, got "6D92078A"'),
    ({"userData.idfa": 6}, "userData.idfa: must be of type string, got 6"),
    ({"userData.aaid": "6D92078A"}, 'userData.aaid: must be a uuid, got "6D92078A"'),
    ({"userData.aaid": 6}, "userData.aaid: must be of type string, got 6"),
    ({"userData.trackingEnabled": 2}, "userData.trackingEnabled: must be one of 0, 1, got 2"),
    (
        {"userData.trackingEnabled": True},
        (
            "userData.trackingEnabled: must be of type integer, got true; "
            "events[0].userData.trackingEnabled: must be one of 0, 1, got true"
        ),
    ),
    (
        {"userData.trackingEnabled": 1.0},
        "userData.trackingEnabled: must be an integer without a fraction, got 1.0",
    ),
    ({"purchaseData": ...}, "purchaseData: required"),
    ({"purchaseData": 9}, "purchaseData: must be of type object, got 9"),
    ({"purchaseData.tax": 1}, "purchaseData.tax: unknown field, got 1"),
    ({"purchaseData.currency": "usd"}, 'purchaseData.currency: must match ^[A-Z]{3}$, got "usd"'),
    (
        {"purchaseData.currency": "USD\n"},
        'purchaseData.currency: must match ^[A-Z]{3}$, got "USD\\n"',
    ),
    ({"purchaseData.currency": 840}, "purchaseData.currency: must be of type string, got 840"),
    ({"purchaseData.value": "42.50"}, 'purchaseData.value: must be of type number, got "42.50"'),
    ({"purchaseData.orderId": 1001}, "purchaseData.orderId: must be of type string, got 1001"),
    ({"purchaseData.appBundle": 1}, "purchaseData.appBundle: must be of type string, got 1"),
    ({"purchaseData.sourceUrl": 1}, "purchaseData.sourceUrl: must be of type string, got 1"),
    ({"amount": 1}, "amount: unknown field, got 1"),
]
REFUSED_WITHOUT_ID: list[tuple[Any, str]] = [
    ({"eventId": ...}, "events[0].eventId: required"),
    ({"eventId": 5}, "events[0].eventId: must be of type string, got 5"),
    ({"eventId": None}, "events[0].eventId: must not be null"),
]
FIELDS = [
    "eventTime",
    "pixelId",
    "source",
    "decisionId",
    "userData",
    "purchaseData",
    *(f"userData.{name}" for name in SCHEMAS["UserData"]["properties"]),
    *(f"purchaseData.{name}" for name in SCHEMAS["PurchaseData"]["properties"]),
]

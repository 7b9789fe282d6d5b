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
    "idfa of LiveIntent's guide": {"userData.idfa": "28757bwa-bd67-6d1c74bb-ae4d19ab5d34"},
    "aaid in lower case": {"userData.aaid": UUID.lower()},
    "tracking on": {"userData.trackingEnabled": 1},
    "tracking off": {"userData.trackingEnabled": 0},
    "whole value": {"purchaseData.value": 42},
    "negative value": {"purchaseData.value": -1.25},
    "just now": {"eventTime": int(NOW)},
    "7 days old": {"eventTime": int(NOW) + 1 - 7 * DAY},
    "30 days old offline": {"source": "offline", "eventTime": int(NOW) + 1 - 30 * DAY},
}

INTEGER = "must be of type integer"
NUMBER = "must be of type number"
OBJECT = "must be of type object"
STRING = "must be of type string"
WHOLE = "must be an integer without a fraction"
EARLIER = "must be earlier than the moment of sending"
SOURCES = "must be one of web, app, offline"
IP = "must be an IPv4 or IPv6 address"
MD5, SHA2 = "must match ^[0-9a-f]{32}$", "must match ^[0-9a-f]{64}$"
CURRENCY = "must match ^[A-Z]{3}$"

# Changes to a valid event, and the rules that the field which is changed last breaks.
REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"eventTime": ...}, ["required"]),
    ({"eventTime": "1799999000"}, [INTEGER]),
    ({"eventTime": 1799999000.5}, [INTEGER, WHOLE]),
    ({"eventTime": 1799999000.0}, [WHOLE]),
    ({"eventTime": 2**63}, ["must be at most 9223372036854775807", EARLIER]),
    ({"eventTime": -(2**64)}, ["must be at least -9223372036854775808", "older than 7 days"]),
    ({"eventTime": int(NOW) + 1}, [EARLIER]),
    ({"eventTime": int(NOW) - 7 * DAY}, ["older than 7 days"]),
    ({"source": "offline", "eventTime": int(NOW) - 30 * DAY}, ["older than 30 days"]),
    ({"pixelId": ...}, ["required"]),
    ({"pixelId": "12345"}, [INTEGER]),
    ({"pixelId": True}, [INTEGER]),
    ({"pixelId": 12345.0}, [WHOLE]),
    ({"source": ...}, ["required"]),
    ({"source": "store"}, [SOURCES]),
    ({"source": 1}, [STRING, SOURCES]),
    ({**NO_HASH, "decisionId": ...}, ["required"]),
    ({**NO_HASH, "decisionId": ""}, ["must not be empty"]),
    ({"decisionId": 7}, [STRING]),
    ({"userData": ...}, ["required"]),
    ({"userData": []}, [OBJECT]),
    ({"userData.email": "a@b.example"}, ["unknown field"]),
    ({"userData.md5": "29A1DF4646CB3417C19994A59A3E022A"}, [MD5]),
    ({"userData.md5": "29a1"}, [MD5]),
    ({"userData.md5": 29}, [STRING]),
    ({"userData.sha2": "ab" * 16}, [SHA2]),
    ({"userData.sha2": 1}, [STRING]),
    ({"userData.ip": "192.0.2.256"}, [IP]),
    ({"userData.ip": "2001:db8:::1"}, [IP]),
    ({"userData.ip": 1}, [STRING]),
    ({"userData.ua": 1}, [STRING]),
    ({"userData.idfa": "6D92078A"}, ["must be a uuid"]),
    ({"userData.idfa": 6}, [STRING]),
    ({"userData.aaid": "6D92078A"}, ["must be a uuid"]),
    ({"userData.aaid": 6}, [STRING]),
    ({"userData.trackingEnabled": 2}, ["must be one of 0, 1"]),
    ({"userData.trackingEnabled": True}, [INTEGER, "must be one of 0, 1"]),
    ({"userData.trackingEnabled": 1.0}, [WHOLE]),
    ({"purchaseData": ...}, ["required"]),
    ({"purchaseData": 9}, [OBJECT]),
    ({"purchaseData.tax": 1}, ["unknown field"]),
    ({"purchaseData.currency": "usd"}, [CURRENCY]),
    ({"purchaseData.currency": "USD\n"}, [CURRENCY]),
    ({"purchaseData.currency": 840}, [STRING]),
    ({"purchaseData.value": "42.50"}, [NUMBER]),
    ({"purchaseData.orderId": 1001}, [STRING]),
    ({"purchaseData.appBundle": 1}, [STRING]),
    ({"purchaseData.sourceUrl": 1}, [STRING]),
    ({"amount": 1}, ["unknown field"]),
]
REFUSED_IDS: list[tuple[Any, str]] = [
    (..., "required"),
    (5, f"{STRING}, got 5"),
    (None, "must not be null"),
    ("", 'must not be empty, got "" (eventId )'),
]
FIELDS = [
    *("eventTime", "pixelId", "source", "decisionId", "userData", "purchaseData"),
    *(f"userData.{name}" for name in SCHEMAS["UserData"]["properties"]),
    *(f"purchaseData.{name}" for name in SCHEMAS["PurchaseData"]["properties"]),
]

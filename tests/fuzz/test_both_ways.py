"""Random records of random streams become the same on the fast path and on the slow one.

The texts have what people copy from pages, in any Unicode form, and records have columns that their
SCHEMA does not declare.
"""

from __future__ import annotations

import random
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from unit_support import LI_DID, MD5, NOW, SHA2, convert_both_ways, sha256, suppressing

from target_liveintent.conversions.event_model import Conversion
from target_liveintent.conversions.fields import FIELDS
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.stream_maps import DELETION_COLUMNS, Stream, StreamMaps
from target_liveintent.privacy.identity import NORMALIZATIONS
from target_liveintent.settings import EventDefaults

NAMES = [field.name for field in FIELDS]
PIECES = (
    *("a", "Jane.Doe", "+x", "@", "@gmail.com", "@example.com", "@b\u00fccher.example", ".", " "),
    *("\u202a", "\u200b", "\u00ad", "\ufeff", "\ufe0f", "\x00", "\x1c", "\u00a0", "\ufffd"),
    *("\u00c3\u00b6", "\u00ef\u00bb\u00bf", "e\u0301", "\u00e9", "\u0130", "\u212a", "\uff20"),
    *(
        "\u0915\u094d",
        "%40",
        "&#64;",
        "\\u0040",
        "=40",
        "%2540",
        "\ud800",
        "\U0001f600",
        ";",
        "<",
        ">",
    ),
    *(
        "mailto:",
        "\\x",
        "0x",
        "sha256:",
        MD5,
        SHA2,
        "li_did=",
        LI_DID,
        "https://x.example/?a=",
        "&",
    ),
)
WHOLE: tuple[Any, ...] = (
    *(None, "", "null", "None", "NaN", 0, 1, 7, -5, 1.5, Decimal("12.50"), Decimal("NaN"), True),
    *(False, "true", "no", "web", "APP", "till", "USD", "eur", "XXX", "EUO", "87.28", "$1,234.50"),
    *("1.234,50", "203.0.113.9", "10.0.0.1", "2001:db8::1", [1], {"a": "b@example.com"}, 2**70),
    *(NOW - 60, int(NOW) - 3_600, "2026-07-31T10:00:00Z", "2026-07-31T10:00:00", NOW + 600, "soon"),
    *("jane@example.com", "John.Doe@gmail.com", f" {MD5} ", SHA2.upper(), LI_DID, "undefined"),
    float("inf"),
)
MAPS: tuple[dict[str, Any] | None, ...] = (
    None,
    {},
    {"__filter__": "get('consent') is not False"},
    {"email": "coalesce(get('mail'), get('email'))", "consent": "get('agreed')"},
    {"value": "amount(get('value'))", "event_id": "get('order_id')", "md5": None},
    {"__else__": None, **{name: f"get('{name}')" for name in NAMES[:14]}},
    {"event_id": None, "__key_properties__": ["x", "email"], "x": "get('id')"},
    {"__filter__": "not get('mail')", "decision_id": "f\"{get('order_id')}-x\"", "ip": "ip"},
)
OTHERS = ("mail", "agreed", "id", *DELETION_COLUMNS)


def a_text(rng: random.Random) -> str:
    text = "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 6)))
    return unicodedata.normalize(rng.choice(("NFC", "NFD", "NFKD")), text)


def a_record(rng: random.Random) -> dict[str, Any]:
    """Return a record that is usual but for a few columns, with columns in any order."""
    record: dict[str, Any] = {
        "event_id": str(rng.getrandbits(40)),
        "event_time": "2026-07-31T10:00:00Z",
        "email": f"jane.{rng.getrandbits(20)}@example.com",
        "source": "web",
        "value": 12.5,
        "currency": "EUR",
        "consent": True,
        "id": rng.getrandbits(30),
    }
    names = [*NAMES, *OTHERS]
    for name in rng.sample(names, rng.randint(0, 4)):
        record[name] = a_text(rng) if rng.random() < 0.5 else rng.choice(WHOLE)
    for name in rng.sample(names, rng.randint(0, 3)):
        record.pop(name, None)
    shuffled = list(record.items())
    rng.shuffle(shuffled)
    return dict(shuffled)


def a_converter(rng: random.Random, folder: Path) -> RecordConverter:
    """Return the converter of a stream whose SCHEMA declares some of the columns."""
    declared = rng.sample([*NAMES, *OTHERS], rng.randint(5, len(NAMES)))
    definition = rng.choice(MAPS)
    maps = {} if definition is None else {"orders": definition}
    schema = {"properties": {name: {} for name in (*declared, "event_time", "email")}}
    keys = rng.choice(((), ("id",), ("event_id",)))
    (plan,) = StreamMaps(maps, {}).plans("orders", schema, keys)
    normalization, zone = rng.choice([*NORMALIZATIONS]), ZoneInfo("Europe/Berlin")
    defaults = EventDefaults(4711, rng.choice(("web", None)), zone, normalization)
    listed = [sha256("jane@example.com"), "john.doe@gmail.com"]
    people = suppressing(folder, *listed) if rng.random() < 0.5 else None
    stream = Stream("orders", schema, keys)
    return RecordConverter(stream, plan, defaults, people, lambda: NOW)


def differences(count: int, folder: Path, *, seed: int = 1) -> int:
    """Convert so many records in both ways, which must not differ; return how many are sent."""
    rng = random.Random(seed)  # noqa: S311
    sent = 0
    for number in range(count):
        if number % 400 == 0:
            converter = a_converter(rng, folder)
        result = convert_both_ways(converter, a_record(rng))
        sent += isinstance(result, Conversion)
    return sent


def test_a_sample(tmp_path: Path) -> None:
    assert differences(8_000, tmp_path) > 1_000


@pytest.mark.slow
def test_a_million(tmp_path: Path) -> None:
    assert differences(1_000_000, tmp_path, seed=2) > 150_000

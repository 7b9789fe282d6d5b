"""Any input of a tap is handled, or ends the run in one clear line that shows no address."""

import json
from typing import Any

from fuzz_support import ADDRESS, SEEDS, VARIANTS, feed
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from target_liveintent.conversions.fields import FIELDS

pinned = settings(
    max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
NAMES = [field.name for field in FIELDS]
NOW = 1_785_600_000

# Bytes

tokens = st.sampled_from(
    [
        *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\n", b"\r", b"\x00", b"\xff", b"\t"),
        *(b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf4\x90\x80\x80"),
        b"\xc0\xaf",
        *(b"NaN", b"-Infinity", b"1e400", b"-0", b"01", b"1e-99999", b"null", b"true", b"9" * 400),
        *(b"1e" + b"9" * 25, b"0." + b"0" * 400 + b"1", b"[" * 1200, b'{"a":' * 1200, b"]" * 1200),
        *(b'"type":"RECORD"', b'"type":"SCHEMA"', b'"stream":"orders"', b'"record":{}', b'"x":'),
        *(b'"schema":{"properties":{"event_time":{},"email":{}}}', ADDRESS.encode(), b"/*", b"//"),
    ]
)
junk = st.one_of(st.binary(max_size=80), st.lists(tokens, max_size=10).map(b"".join))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a message with a part cut out, replaced or doubled."""
    line = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(line)))
        end = draw(st.integers(start, min(len(line), start + 40)))
        line = line[:start] + draw(st.one_of(junk, st.just(line[start:end] * 2))) + line[end:]
    return line


inputs = st.lists(st.one_of(mutated(), mutated(), junk, st.sampled_from(SEEDS)), max_size=6)


@pinned
@given(inputs, st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n"]), st.sampled_from(VARIANTS))
@example([b'{"type":"STATE","value":{"a":"\xff"}}'], b"\n", {})
@example([b"\xff"], b"\n", {})
def test_any_bytes(lines: list[bytes], end: bytes, variant: dict[str, Any]) -> None:
    """The target handles every input, or ends with one of its own exceptions."""
    feed(end.join([SEEDS[0], *lines]), **variant)
    feed(end.join(lines), **variant)


# Messages

numbers = st.one_of(
    st.integers(-(10**30), 10**30),
    st.integers(NOW - 40 * 86_400, NOW + 120),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([10**18, 2**63, 10**400, 0, -1]),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.text(st.characters(codec=None), max_size=8),
    st.sampled_from([ADDRESS, ADDRESS.upper(), "web", "2026-08-01", "integer", "#", "yes", "$"]),
)
names = st.one_of(
    st.sampled_from([*NAMES, "properties", "type", "$ref", "items", "enum", "pattern", "required"]),
    st.text(st.characters(codec=None), max_size=4),
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=8,
)
streams = st.sampled_from(["orders", "mapped", "liveintent_dead_letters", "meltano_test_stream"])
columns = st.dictionaries(st.one_of(st.sampled_from(NAMES), names), anything, max_size=5)
schemas = st.one_of(
    anything,
    st.builds(
        lambda more, rest: {
            **rest,
            "properties": {"id": {}, "event_time": {}, "email": {}, **more},
        },
        columns,
        columns,
    ),
)
keys = st.one_of(st.just(["id"]), st.just([]), anything)
encodings = st.one_of(anything, st.just({"format": "jsonl"}))
manifests = st.one_of(anything, st.sampled_from([["file://["], ["file:///a%00"], ["s3://x", "x"]]))


def message(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


records = message("RECORD", stream=streams, record=columns)
messages = st.one_of(
    message("SCHEMA", stream=streams, schema=schemas, key_properties=keys),
    records,
    records,
    message("STATE", value=anything),
    message("BATCH", stream=streams, encoding=encodings, manifest=manifests),
    st.dictionaries(st.sampled_from(["type", "stream", "record", "schema", "value"]), anything),
)


@pinned
@given(st.lists(messages, max_size=5), st.sampled_from(VARIANTS))
def test_any_messages(sent: list[dict[str, Any]], variant: dict[str, Any]) -> None:
    """Messages of the right types with any content, in any order."""
    started = [json.loads(seed) for seed in SEEDS[:2]]
    for before in (started, []):
        lines = [json.dumps(message, ensure_ascii=bool(before)) for message in [*before, *sent]]
        feed("\n".join(lines).encode(errors="surrogatepass"), **variant)

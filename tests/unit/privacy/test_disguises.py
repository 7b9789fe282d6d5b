"""Addresses that a text hides in the escapes of JSON, HTML and URLs, and how they are scrubbed."""

from __future__ import annotations

import html
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_support import sha256

from target_liveintent.privacy.disguises import undisguised
from target_liveintent.privacy.identity import holds_address, scrub
from target_liveintent.privacy.redaction import redact_columns, without_secrets

ANN = "ann@example.com"
HASH = sha256(ANN)
DISGUISES = {
    "json": r"ann\u0040example.com",
    "json-capitals": r"Ann\u0040EXAMPLE\u002Ecom",
    "json-whole": "".join(f"\\u{ord(one):04x}" for one in ANN),
    "json-in-json": r"ann\\u0040example.com",
    "json-thrice": r"ann\\\\u0040example.com",
    "json-upper": r"ANN\U0040EXAMPLE.COM",
    "python": r"ann\U00000040example.com",
    "hex": r"ann\x40example.com",
    "decimal": "ann&#64;example.com",
    "decimal-zeros": "ann&#00064;example.com",
    "decimal-many-zeros": "ann&#0000000000064;example.com",
    "hexadecimal-many-zeros": "ann&#x0000000000040;example.com",
    "decimal-open": "ann&#64example.com",
    "hexadecimal": "ann&#x40;example&#x2e;com",
    "hexadecimal-capital": "ann&#X40;example&#X2E;com",
    "named": "ann&commat;example&period;com",
    "named-upper": "ANN&COMMAT;EXAMPLE&PERIOD;COM",
    "whole-html": "".join(f"&#{ord(one)};" for one in ANN),
    "html-twice": "ann&amp;#64;example.com",
    "wide": "ann\uff20example.com",
    "small": "ann\ufe6bexample.com",
    "wide-dot": "ann@example\uff0ecom",
    "ideographic-dot": "ann\uff20example\u3002com",
    "soft-hyphen": "ann@exam\u00adple.com",
    "no-width": "ann\u200b@\ufeffexample\u2060.com",
    "no-width-json": r"ann\u200b\u0040example.com",
    "no-width-percent": "ann%E2%80%8B%40example.com",
    "percent-json": r"ann%5Cu0040example.com",
    "percent-html": "ann%26%2364%3Bexample.com",
    "percent-html-twice": "ann%2526%252364%253Bexample.com",
    "percent-named": "ann%26commat%3Bexample.com",
    "percent-wide": "ann%EF%BC%A0example.com",
    "percent-whole": "".join(f"%{ord(one):02X}" for one in ANN),
    "json-percent": r"ann\u002540example.com",
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("around", ["{}", "call {} now", "<b>{}</b>, Bob", 'x: "{}"', "({}) 50%"])
def test_a_disguised_address_is_found_and_scrubbed(disguise: str, around: str) -> None:
    """Its hash is that of the address, and the text around it stays, escapes and all."""
    text = around.format(DISGUISES[disguise])
    assert holds_address(text)
    assert scrub(text) == around.format(HASH)
    assert without_secrets(text) == around.format(HASH)


def test_the_rest_of_a_text_keeps_its_escapes() -> None:
    """Only the address is replaced: a page or a JSON text stays one."""
    text = r'{"a": "\u00fc &lt;b&gt; 5%20%", "to": "ann\u0040example.com", "z": "\"\\"}'
    assert scrub(text) == text.replace(r"ann\u0040example.com", HASH)
    page = "<i>a &amp; b</i> &lt;ann&#64;example.com&gt; &copy;"
    assert scrub(page) == page.replace("ann&#64;example.com", HASH)


def test_each_address_of_a_text() -> None:
    """Plain and disguised ones beside each other."""
    bob = sha256("bob@example.com")
    assert scrub(r"bob@example.com;ann\u0040example.com") == f"{bob};{HASH}"
    assert scrub("ann&#64;example.com,bob@example.com") == f"{HASH},{bob}"


def test_a_plain_address_with_an_escape_in_it_is_replaced_whole() -> None:
    """Nothing of it stays beside the hash, whichever way its characters are read."""
    for text in ("ann&#46;lee@example.com", r"ann\u002elee@example.com", "ann@example.com&#46;au"):
        assert scrub(f"to {text}!").count("to ") == 1
        assert scrub(text) == sha256(undisguised(text)[0])
    left = scrub("%adam@example.com &amp;")
    assert "dam" not in left
    assert left.endswith(" &amp;")


@pytest.mark.parametrize(
    "text",
    [
        "root@localhost",
        "ROOT@LocalHost",
        "ann@localhost:8080/x",
        "ann@localhost.",
        "ann@localhost.localdomain",
        "ann%40localhost",
        "ann@[10.1.2.3]",
        "ann@[IPv6:2001:db8::1]",
        "ann%40%5B10.1.2.3%5D",
        "ann@10.1.2.3",
        "postgresql://user:pw@10.1.2.3:5432/db",
        r"ann\u0040localhost",
        "ann\uff20[10.1.2.3]",
    ],
)
def test_hosts_without_a_domain(text: str) -> None:
    """Addresses of a machine or a network at home are addresses."""
    assert holds_address(text)
    scrubbed = scrub(f"to {text} now")
    assert not holds_address(scrubbed)
    for word in ("ann", "root", "pw", "localhost@", "10.1.2.3]"):
        assert word not in scrubbed.lower()


@pytest.mark.parametrize(
    "text",
    [
        r"C:\users\ann",
        r"a\u0040b",
        r"\u0040home",
        "R&D; a@b",
        "&#64;",
        "&commat;home",
        "\uff20home",
        "https://shop.example/?a=1&b=2&commatose=3",
        "https://shop.example/?a=%26&b=%5C",
        "x@localhosts",
        "x@localhost-2",
        "@localhost",
        "react@1.2.3",
        "app@1.2.3.4.5",
        "a@[1:2]",
        "a@[b]",
        "5 @ [10.1.2.3]",
        "日本\u3002語",
        "\\" * 50,
    ],
)
def test_no_false_alarms(text: str) -> None:
    """A text with escapes is not yet an address, and stays as it is."""
    assert not holds_address(text)
    assert scrub(text) == text


def test_a_dead_letter_names_the_column() -> None:
    """A replay leaves the column out, as it does for a plain address."""
    assert redact_columns({"order_id": r"ann\u0040example.com"}) == {
        "order_id": HASH,
        "scrubbed": ["order_id"],
    }


escapes = st.sampled_from(
    [
        *(*"\\&%#;.@ax0", "\\u0040", "\\\\u002e", "&#64;", "&amp;", "%40", "%2540", "%26", "%5C"),
        *(
            "%C3%BC",
            "\uff20",
            "\uff0e",
            "ann",
            "example",
            "com",
            " ",
            "&#1;",
            "&#x1F600;",
            "ü",
            "localhost",
        ),
    ]
)
texts = st.lists(escapes, max_size=12).map("".join)
pinned = settings(max_examples=500)


@pinned
@given(texts)
def test_places_of_a_decoded_text(text: str) -> None:
    """Each character has one, within the text, in order."""
    decoded, places = undisguised(text)
    assert len(places) == len(decoded)
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert places == sorted(places)


@pinned
@given(st.sampled_from([json.dumps, html.escape, quote, str]), texts, texts)
def test_an_address_is_found_in_any_surroundings(encode: object, before: str, after: str) -> None:
    """Whatever escapes stand beside it, separated by a space."""
    assert callable(encode)
    text = f"{before} {encode(ANN)} {after}"
    assert holds_address(text)
    assert ANN not in undisguised(scrub(text))[0]


HOSTILE = {
    "backslashes": "\\" * 100_000,
    "json": "\\u0040" * 16_000,
    "ampersands": "&" * 100_000,
    "entities": "&amp;" * 20_000,
    "nested": "&" + "amp;" * 25_000 + "#64;",
    "open": "&#" * 50_000,
    "letters": "&" + "a" * 100_000,
    "percent": "%5C" * 33_000 + "@example.com",
    "high": "%EF" * 33_000,
    "wide": "\uff20" * 100_000,
    "host": "a@localhost" * 9_000,
    "numbers": "a@[" + "1." * 50_000,
    "colons": "a@[IPv6:" + ":" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_costs_linear_time(name: str) -> None:
    """100,000 characters take a moment; a quadratic pattern would take minutes."""
    started = time.process_time()
    holds_address(HOSTILE[name])
    scrub(HOSTILE[name])
    assert time.process_time() - started < 5

"""E-mail addresses and hashes: hashing, given hashes, junk, and the search for addresses."""

from __future__ import annotations

import time
import urllib.parse
from typing import Any

import pytest
from unit_support import ADDRESS, MD5, SHA2, md5, sha256

from target_liveintent.privacy.identity import (
    IDENTITY_COLUMNS,
    NORMALIZATIONS,
    Identity,
    holds_address,
    identify,
    scrub,
)

GMAIL = NORMALIZATIONS["gmail"]


@pytest.mark.parametrize(
    ("address", "normalized", "its_md5", "its_sha2"),
    [
        ("John.Doe+office@gmail.com", "johndoe@gmail.com", MD5, SHA2),
        (
            "JaneSaoirse+Work@gmail.com",
            "janesaoirse@gmail.com",
            "015acf595d4cca14c5c38bd1e1985bce",
            "92ee26057ed9dea2535d6c8b141d48373932476599196e00352254896db5888f",
        ),
        (
            "JaneSaoirse+Work@example.com",
            "janesaoirse+work@example.com",
            None,
            "28aaee4815230cd3b4ebd88c515226550666e91ac019929e3adac3f66c288180",
        ),
        (
            "John_Smith@gmail.com",
            "john_smith@gmail.com",
            "ac862c981fee6b90654257051c4e197a",
            "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f",
        ),
    ],
)
def test_golden_vectors(address: str, normalized: str, its_md5: str | None, its_sha2: str) -> None:
    """The guide's addresses give the guide's hashes, both of them."""
    found = identify([address], GMAIL)
    assert GMAIL(address) == normalized
    assert found.md5 == (its_md5 or md5(normalized))
    assert found.sha2 == its_sha2
    assert found.notes == ()


@pytest.mark.parametrize(
    ("address", "gmail", "all_domains", "lowercase"),
    [
        (
            "John.Doe+office@gmail.com",
            "johndoe@gmail.com",
            "johndoe@gmail.com",
            "john.doe+office@gmail.com",
        ),
        ("A.b+c@Example.com", "a.b+c@example.com", "ab@example.com", "a.b+c@example.com"),
        ("  A.B@GoogleMail.COM\t", "ab@googlemail.com", "ab@googlemail.com", "a.b@googlemail.com"),
        ("a.b+@gmail.com", "ab@gmail.com", "ab@gmail.com", "a.b+@gmail.com"),
        ("a+b+c.d@gmail.com", "a@gmail.com", "a@gmail.com", "a+b+c.d@gmail.com"),
        ("a.b@mail.gmail.com", "a.b@mail.gmail.com", "ab@mail.gmail.com", "a.b@mail.gmail.com"),
        ("a.b@gmail.co.uk", "a.b@gmail.co.uk", "ab@gmail.co.uk", "a.b@gmail.co.uk"),
        ("a.b@notgmail.com", "a.b@notgmail.com", "ab@notgmail.com", "a.b@notgmail.com"),
        ("John_Smith@gmail.com", *["john_smith@gmail.com"] * 3),
        ("O'Neil-X@Example.IE", *["o'neil-x@example.ie"] * 3),
    ],
)
def test_each_normalization(address: str, gmail: str, all_domains: str, lowercase: str) -> None:
    """Each setting drops dots and `+…` where it says, and leaves the domain alone."""
    wanted = {"gmail": gmail, "all_domains": all_domains, "lowercase": lowercase}
    for name, normalized in wanted.items():
        found = identify([address], NORMALIZATIONS[name])
        assert (found.md5, found.sha2) == (md5(normalized), sha256(normalized)), name


def test_no_other_normalization() -> None:
    """The setting has exactly three values."""
    assert set(NORMALIZATIONS) == {"gmail", "all_domains", "lowercase"}


@pytest.mark.parametrize("address", ["\ufeffann@example.com", "ann\u200b@exam\u00adple.com\u200b"])
def test_characters_that_nobody_sees(address: str) -> None:
    """What copying from a page adds is no part of an address, and would make another hash."""
    assert identify([address], GMAIL) == identify(["ann@example.com"], GMAIL)


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("given", [MD5, MD5.upper(), f"  {MD5.title()} ", SHA2, SHA2.upper()])
def test_a_hash_goes_where_it_belongs(given: str, column: int) -> None:
    """A hash in any column is lower-cased, taken by its length, and never hashed again."""
    candidates: list[Any] = [None, None, None]
    candidates[column] = given
    found = identify(candidates, GMAIL)
    is_md5 = len(given.strip()) == 32
    assert found.md5 == (MD5 if is_md5 else None)
    assert found.sha2 == (None if is_md5 else SHA2)
    assert found.notes == tuple(f"{IDENTITY_COLUMNS[n]} empty" for n in range(3) if n != column)


def test_swapped_hashes_are_put_right() -> None:
    """MD5 in the column sha2 and the other way round is understood."""
    assert identify([None, SHA2, MD5], GMAIL) == Identity(MD5, SHA2, ("email empty",))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_raw_address_wins_over_hashes(place: int) -> None:
    """A raw address in any of the three columns wins, and the conflict is noted once."""
    candidates = ["a" * 32, "b" * 64]
    candidates.insert(place, "John.Doe+office@gmail.com")
    found = identify(candidates, GMAIL)
    assert (found.md5, found.sha2) == (MD5, SHA2)
    assert found.notes == ("conflict",)


@pytest.mark.parametrize("given", [["a" * 32, None], [None, "b" * 64], [MD5, "b" * 64]])
def test_each_contradicting_hash_is_noted(given: list[Any]) -> None:
    """Either hash may contradict the address, alone or beside one that agrees."""
    assert identify([ADDRESS, *given], GMAIL) == Identity(MD5, SHA2, ("conflict",))


@pytest.mark.parametrize("given", [md5(""), sha256("null"), "0" * 32, "0" * 64])
def test_a_junk_hash_contradicts_nothing(given: str) -> None:
    """The hash of an empty text beside an address is junk, not a conflict."""
    assert identify([ADDRESS, given, None], GMAIL) == Identity(MD5, SHA2, ("md5",))


@pytest.mark.parametrize("given", [MD5, MD5.upper(), SHA2, SHA2.upper()])
def test_an_agreeing_hash_is_no_conflict(given: str) -> None:
    """The hash of the address beside it does not contradict it."""
    assert identify(["john.doe@gmail.com", given, None], GMAIL) == Identity(MD5, SHA2)


@pytest.mark.parametrize("nothing", ["", "null", "none", "undefined", "NULL", "None"])
@pytest.mark.parametrize("digest", [md5, sha256])
def test_hashes_of_placeholders_are_junk(nothing: str, digest: Any) -> None:
    """The hash of a text that stands for an absent address is junk."""
    for given in (digest(nothing), digest(nothing).upper()):
        found = identify([None, given, None], GMAIL)
        assert found.md5 is found.sha2 is None
        assert found.notes == ("md5", "email empty", "sha2 empty")


def test_junk_does_not_hide_an_identity() -> None:
    """A junk hash in one column leaves the hash in another usable."""
    found = identify([sha256(""), MD5, None], GMAIL)
    assert (found.md5, found.sha2, found.notes) == (MD5, None, ("email", "sha2 empty"))


@pytest.mark.parametrize(
    "text",
    [
        "n/a",
        "guest",
        "@",
        "ann@",
        "@example.com",
        "ann@example",
        "ann example.com",
        "ann@@example.com",
        "ann@example..com",
        "ann@.com",
        "ann@example.c",
        "ann@10.0.0.1",
        "ann@example.com,bob@example.com",
        "ann@example.com bob@example.com",
        "Ann <ann@example.com>",
        "mailto:ann@example.com",
        "ann%40example.com",
        "+tag@gmail.com",
        "...@gmail.com",
        "a" * 31,
        "a" * 33,
        "a" * 40,
        "a" * 63,
        "a" * 65,
        "g" * 32,
        "\ud800ann@example.com",
        "ann@example.com\ud800",
        "ann@example.com\x00",
        f"{MD5}\n{MD5}",
    ],
)
def test_text_that_is_no_address_is_junk(text: str) -> None:
    """Everything that is neither an address nor a hash is junk."""
    found = identify([text], GMAIL)
    assert (found.md5, found.sha2, found.notes) == (None, None, ("email",))


@pytest.mark.parametrize(
    "address", ["a{}n@example.com", "an{}@example.com", "ann@ex{}ample.com", "ann@example.c{}m"]
)
def test_a_character_of_ascii_means_the_same_beside_others(address: str) -> None:
    """Addresses of ASCII alone have an expression of their own, which accepts the same ones."""
    for character in map(chr, range(128)):
        text = address.format(character)
        alone, beside = identify([text], GMAIL), identify([f"\u00e9{text}"], GMAIL)
        assert alone.notes == beside.notes, repr(character)


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC00, 0xDFFF])
@pytest.mark.parametrize("address", ["{}ann@example.com", "a{}n@example.com", "ann@example.com{}"])
def test_an_address_with_a_lone_surrogate_is_junk(code: int, address: str) -> None:
    """UTF-8 cannot encode the first nor the last surrogate, so there is no hash of them."""
    assert identify([address.format(chr(code))], GMAIL) == Identity(None, None, ("email",))


@pytest.mark.parametrize("value", [["ann@example.com"], {"email": "ann@example.com"}, 5, b"x"])
def test_values_that_are_no_text_are_junk(value: Any) -> None:
    """A list or an object is junk, even if it contains an address."""
    found = identify([value], GMAIL)
    assert found.md5 is found.sha2 is None
    assert found.notes == ("email",)


@pytest.mark.parametrize("nothing", [None, "", "  ", "\t\n"])
def test_empty_columns_are_not_junk(nothing: Any) -> None:
    """An empty column gives no identity and no note."""
    notes = tuple(f"{column} empty" for column in IDENTITY_COLUMNS)
    assert identify([nothing] * 3, GMAIL) == Identity(None, None, notes)
    assert identify([ADDRESS, nothing, nothing], GMAIL).notes == ()


def test_notes_name_the_columns_of_the_stream() -> None:
    """A stream may lack one of the three columns."""
    assert identify([None, "x"], GMAIL, ("email", "sha2")).notes == ("sha2", "email empty")


@pytest.mark.parametrize(
    "address",
    ["ünal@example.com", "ann@bücher.example", "用户@例子.广告", "ann@xn--bcher-kva.ch"],
)
def test_addresses_beyond_ascii(address: str) -> None:
    """Addresses in other scripts are hashed as UTF-8, in lower case."""
    assert identify([address.upper()], GMAIL) == Identity(md5(address), sha256(address))


FOUND = [
    "ann@example.com",
    "ANN@EXAMPLE.COM",
    "call ann@example.com now",
    "<ann@example.com>",
    "mailto:ann@example.com?subject=x",
    "Ann Lee <ann.lee+x@mail.example.co.uk>, Bob",
    "https://shop.example/?e=ann%40example.com&x=1",
    "https://shop.example/?u=https%3A%2F%2Fx.example%2F%3Fe%3Dann%2540example.com",
    "https://shop.example/?u=ann%252540example.com",
    '"ann lee"@example.com',
    "o'neil@example.ie",
    "ann_lee-x@example.com",
    "{ann}@example.com",
    "ünal@example.com",
    "ann@bücher.example",
    "ann@xn--bcher-kva.ch",
    "ann@example.com.",
    "x" * 300 + "@example.com",
    "\ud800ann@example.com",
]


@pytest.mark.parametrize("text", FOUND)
def test_addresses_are_found_and_scrubbed(text: str) -> None:
    """An address is found anywhere in a text, and nothing of it is left after scrubbing."""
    assert holds_address(text)
    scrubbed = scrub(text)
    assert not holds_address(scrubbed)
    assert "ann@" not in scrubbed.lower()
    assert "@example" not in scrubbed


def test_scrub_puts_the_sha256_of_the_lower_case_address() -> None:
    """The rest of the text stays, so that support can compare hashes."""
    digest = sha256("ann@example.com")
    assert scrub("to Ann@Example.com, bob") == f"to {digest}, bob"


def test_scrub_takes_each_address() -> None:
    """Two addresses in one text are two hashes."""
    a, b = sha256("a@example.com"), sha256("b@example.com")
    assert scrub("a@example.com;b@example.com") == f"{a};{b}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "@handle",
        "follow @handle now",
        "react@18.2.0",
        "https://cdn.example/npm/react@18.2.0/index.js",
        "npm/@scope/package.json",
        "50% off",
        "100%",
        "%40",
        "40",
        "a@b",
        "5 @ 3.50",
        "https://shop.example/?q=%40home",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    ],
)
def test_no_false_alarms(text: str) -> None:
    """A text with an @ is not yet an address."""
    assert not holds_address(text)
    assert scrub(text) == text


@pytest.mark.parametrize("url", ["https://user:pass@host.com/x", "https://ann:x@shop.example.com"])
def test_credentials_in_a_url_are_scrubbed(url: str) -> None:
    """A URL with a user name looks like an address, and its password does not survive."""
    assert holds_address(url)
    assert "pass@host" not in scrub(url)
    assert ":x@" not in scrub(url)


LOCAL_PARTS = [
    "ann&co",
    "ann/lee",
    "ann=lee",
    "ann?lee",
    "ann|lee",
    "ann&",
    "ann/",
    "ann=",
    "ann?",
    "ann|",
    "jose\u0301",
    "ann\u200b",
]


@pytest.mark.parametrize("local", LOCAL_PARTS)
def test_what_is_hashed_as_an_address_is_found_as_one(local: str) -> None:
    """An address that the column `email` would hash never passes through another column."""
    address = f"{local}@example.com"
    if identify([address], GMAIL).sha2:
        assert holds_address(address)
        assert "@example.com" not in scrub(address)


@pytest.mark.parametrize(
    "text",
    [
        "e=ann%40example%2Ecom",
        "e=ann%40example%2ecom",
        "e=ann%40b%C3%BCcher.example",
        "e=%C3%BCnal%40example.com",
        "u=%3Fe%3Dann%2540b%25C3%25BCcher.example",
    ],
)
def test_a_wholly_percent_encoded_address_is_found(text: str) -> None:
    """An address is also found if its dots or letters are encoded."""
    assert holds_address(urllib.parse.unquote(urllib.parse.unquote(text)))
    assert holds_address(text)
    assert not holds_address(scrub(text))


HOSTILE = {
    "letters": "a" * 100_000 + "@",
    "at signs": "a@" * 50_000,
    "domain": "a@" + "b" * 100_000,
    "labels": "a@" + "1." * 50_000,
    "short labels": "a@" + "a." * 50_000 + "1",
    "dashes": "a@" + "-." * 50_000,
    "percent": "a" + "%40" * 33_000,
    "percent 25": "a%" + "25" * 50_000 + "@",
    "many percent 25": "%2525" * 20_000 + "40",
    "quotes": '"' * 100_000 + "@",
    "quoted": '"a' * 50_000 + "@b.c",
    "xn": "a@" + "xn--" * 25_000,
    "spaces": " " * 100_000 + "@",
    "dots": "." * 100_000 + "@a.1",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_costs_linear_time(name: str) -> None:
    """100,000 characters take a moment; a quadratic pattern would take minutes."""
    text = HOSTILE[name]
    started = time.process_time()
    holds_address(text)
    scrub(text)
    identify([text], GMAIL)
    assert time.process_time() - started < 5

"""E-mail addresses and hashes: hashing, given hashes, placeholders, and IDs of events."""

import base64
import json
import sys
import unicodedata
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from unit_support import ADDRESS, LI_DID, MD5, SHA2, md5, sha256

from target_liveintent.conversions.coerce import UNUSABLE, decision_id
from target_liveintent.privacy.addresses import holds_address, scrub
from target_liveintent.privacy.characters import visible
from target_liveintent.privacy.identity import (
    JUNK_HASHES,
    NAMESPACE,
    NORMALIZATIONS,
    Identity,
    cause_of_junk,
    derive_event_id,
    identify,
    is_placeholder,
    pseudonym,
)
from target_liveintent.remarks import COLUMN_EMPTY, COLUMN_UNUSABLE, HASH_CONFLICT, Remark


def sent(candidates: list[Any], normalization: str = "gmail", *columns: Any) -> Identity:
    """Return an identity of some values, without the hashes that are not sent."""
    return msgspec.structs.replace(identify(candidates, normalization, *columns), others=())


@pytest.mark.parametrize(
    ("address", "its_md5", "its_sha2"),
    [
        (ADDRESS, MD5, SHA2),
        (
            "JaneSaoirse+Work@gmail.com",
            "015acf595d4cca14c5c38bd1e1985bce",
            "92ee26057ed9dea2535d6c8b141d48373932476599196e00352254896db5888f",
        ),
        (
            "JaneSaoirse+Work@example.com",
            md5("janesaoirse+work@example.com"),
            "28aaee4815230cd3b4ebd88c515226550666e91ac019929e3adac3f66c288180",
        ),
        (
            "John_Smith@gmail.com",
            "ac862c981fee6b90654257051c4e197a",
            "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f",
        ),
    ],
    ids=["dots and tag at Gmail", "tag at Gmail", "tag elsewhere", "underscore at Gmail"],
)
def test_the_addresses_of_the_guide_give_its_hashes(
    address: str, its_md5: str, its_sha2: str
) -> None:
    assert sent([address]) == Identity(its_md5, its_sha2)


@pytest.mark.parametrize(
    ("address", "gmail", "all_domains", "lowercase"),
    [
        (ADDRESS, "johndoe@gmail.com", "johndoe@gmail.com", "john.doe+office@gmail.com"),
        ("A.b+c@Example.com", "a.b+c@example.com", "ab@example.com", "a.b+c@example.com"),
        ("  A.B@GoogleMail.COM\t", "ab@googlemail.com", "ab@googlemail.com", "a.b@googlemail.com"),
        ("a.b+@gmail.com", "ab@gmail.com", "ab@gmail.com", "a.b+@gmail.com"),
        ("a+b+c.d@gmail.com", "a@gmail.com", "a@gmail.com", "a+b+c.d@gmail.com"),
        ("a.b@mail.gmail.com", "a.b@mail.gmail.com", "ab@mail.gmail.com", "a.b@mail.gmail.com"),
        ("a.b@notgmail.com", "a.b@notgmail.com", "ab@notgmail.com", "a.b@notgmail.com"),
        ("O'Neil-X@Example.IE", *["o'neil-x@example.ie"] * 3),
        # Addresses in other scripts are hashed as UTF-8, in lower case.
        ("ÜNAL@EXAMPLE.COM", *["ünal@example.com"] * 3),
        ("ANN@BÜCHER.EXAMPLE", *["ann@bücher.example"] * 3),
        # What copying from a page adds, and nobody sees, is no part of an address.
        ("ann\u200b@exam\u00adple.com\u200b", *["ann@example.com"] * 3),
    ],
    ids=[
        "dots and tag at Gmail",
        "dots and tag elsewhere",
        "Google Mail, spaces around",
        "empty tag",
        "several tags",
        "subdomain of Gmail",
        "domain that ends like Gmail",
        "apostrophe and hyphen",
        "umlaut in the name",
        "umlaut in the domain",
        "invisible characters",
    ],
)
def test_each_normalization_drops_dots_and_tags_only_where_it_says(
    address: str, gmail: str, all_domains: str, lowercase: str
) -> None:
    """Each setting drops dots and `+…` where it says, and leaves the domain alone."""
    wanted = {"gmail": gmail, "all_domains": all_domains, "lowercase": lowercase}
    assert {name: sent([address], name) for name in NORMALIZATIONS} == {
        name: Identity(md5(normalized), sha256(normalized)) for name, normalized in wanted.items()
    }


def empty(column: str) -> Remark:
    return Remark(COLUMN_EMPTY, column)


def unusable(column: str) -> Remark:
    return Remark(COLUMN_UNUSABLE, column)


A, B = "a" * 32, "b" * 64
BOTH = Identity(MD5, SHA2)
CONFLICT = Identity(MD5, SHA2, (Remark(HASH_CONFLICT, "email"),))


@pytest.mark.parametrize(
    ("candidates", "identity"),
    [
        # Given hashes: in lower case, by their length, in any column, never hashed again.
        ([MD5.upper(), None, None], Identity(MD5, None, (empty("md5"), empty("sha2")))),
        ([None, f"  {MD5.title()} ", None], Identity(MD5, None, (empty("email"), empty("sha2")))),
        ([None, None, SHA2.upper()], Identity(None, SHA2, (empty("email"), empty("md5")))),
        ([SHA2, None, None], Identity(None, SHA2, (empty("md5"), empty("sha2")))),
        ([None, SHA2, MD5], Identity(MD5, SHA2, (empty("email"),))),
        # A raw address wins over them, wherever it is, and a conflict is noted once.
        ([ADDRESS, A, B], CONFLICT),
        ([A, ADDRESS, B], CONFLICT),
        ([A, B, ADDRESS], CONFLICT),
        ([ADDRESS, MD5, B], CONFLICT),
        (["john.doe@gmail.com", MD5.upper(), None], BOTH),
        # A junk hash contradicts nothing, and hides no hash in another column.
        *(
            ([ADDRESS, one, None], Identity(MD5, SHA2, (unusable("md5"),)))
            for one in (md5(""), "0")
        ),
        (
            [None, md5(""), None],
            Identity(None, None, (unusable("md5"), empty("email"), empty("sha2"))),
        ),
        ([sha256(""), MD5, None], Identity(MD5, None, (unusable("email"), empty("sha2")))),
        # An empty column gives nothing, and is noted where there is no address.
        ([ADDRESS, None, " \t\n"], BOTH),
        (["", None, " \n"], Identity(None, None, (empty("email"), empty("md5"), empty("sha2")))),
    ],
    ids=[
        "md5 in email",
        "md5 in its column",
        "sha2 in its column",
        "sha2 in email",
        "hashes in swapped columns",
        "address first, hashes conflict",
        "address second, hashes conflict",
        "address last, hashes conflict",
        "only the sha2 conflicts",
        "md5 of the address",
        "address, md5 of nothing",
        "address, zero as md5",
        "md5 of nothing alone",
        "sha2 of nothing, good md5",
        "address, empty columns",
        "all columns empty",
    ],
)
def test_one_identity_is_made_of_all_columns_and_an_address_wins(
    candidates: list[Any], identity: Identity
) -> None:
    assert sent(candidates) == identity


def test_remarks_name_the_columns_of_the_stream() -> None:
    """A stream may lack one of the three columns."""
    assert sent([None, "x"], "gmail", ("email", "sha2")).remarks == (
        unusable("sha2"),
        empty("email"),
    )


BASE64 = {digest: base64.b64encode(bytes.fromhex(digest)).decode() for digest in (MD5, SHA2)}


TEXTS_IN_BASE64 = [(n, text) for n in (16, 32) for text in ("jane@example.com", "none given")]


@pytest.mark.parametrize(
    "spelling",
    [
        *("mailto:{}", "MAILTO:{}?subject=x@y.example", "Jane Doe <{}>", "<{}>", "{};", " {} ; "),
        # Characters that nobody sees, anywhere, and an accent as a character of its own.
        *(
            "\x1f{}\x1c",
            "\u202a{}\u202c",
            "\ufeff{}",
            "{}\x00",
            "\x07{}",
            "\u2066Jane <{}>",
            "{}\ufe0f",
        ),
    ],
)
def test_an_address_is_read_as_a_person_sees_it(spelling: str) -> None:
    """What stands around it, and what nobody sees, makes no other person."""
    for address in ("ann@example.com", "jos\u00e9@m\u00fcnchen.example"):
        wanted = Identity(md5(address), sha256(address))
        assert sent([spelling.format(address)]) == wanted
        apart = unicodedata.normalize("NFD", "\u200d".join(address))
        assert sent([spelling.format(apart)]) == wanted


@pytest.mark.parametrize("form", ["\\x{}", "0x{}", "0X{}", "{label}:{}", "\ufeff{}", "\u200b{}"])
@pytest.mark.parametrize(
    ("digest", "label"),
    [(MD5, "MD5"), (SHA2, "sha256"), (SHA2, "SHA-256")],
    ids=["md5", "sha2 in lower case", "sha2 with a hyphen"],
)
def test_hashes_in_the_forms_of_warehouses(form: str, digest: str, label: str) -> None:
    """They are sent as hexadecimal digits in lower case."""
    wanted = {MD5: Identity(MD5, None), SHA2: Identity(None, SHA2)}[digest]
    assert sent([form.format(digest.upper(), label=label)], "gmail", ["email"]) == wanted
    for_urls = base64.urlsafe_b64encode(bytes.fromhex(digest)).decode()
    for text in (BASE64[digest], for_urls):
        assert sent([text], "gmail", ["email"]) == wanted
    of_digits = base64.b64encode(MD5.encode()).decode()  # These are 32 bytes as well.
    assert sent([of_digits], "gmail", ["email"]) == Identity(MD5, None)


WHITE_SPACE = "\t\n\x0b\x0c\r \x85"
"""The characters of Latin-1 that Unicode calls white space."""


def test_the_invisible_characters_are_those_of_unicode() -> None:
    """The table has all that this Python knows as controls and formats, and no white space."""
    for character in map(chr, range(sys.maxunicode + 1)):
        category = unicodedata.category(character)
        is_space = character in WHITE_SPACE or category in {"Zs", "Zl", "Zp"}
        is_control = category in {"Cc", "Cf"} and not is_space
        is_hidden = visible(character) == ""
        assert is_hidden or not is_control, hex(ord(character))
        assert not is_hidden or category in {"Cc", "Cf", "Cn", "Mn", "Lo"}, hex(ord(character))
        assert not (is_hidden and is_space), hex(ord(character))


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ("jÃ¶rg@example.com", "wrong_encoding"),
        (
            "j\ufffdrg@example.com",
            "wrong_encoding",
        ),
        (" ann lee@example.com", "white_space"),
        *((value, None) for value in (" ann@example ", "x", 5, None)),
    ],
    ids=ascii,
)
def test_why_a_text_is_no_address(value: Any, cause: str | None) -> None:
    assert cause_of_junk(value) == cause


@pytest.mark.parametrize(
    "value",
    [
        *("n/a", "guest", "@", "ann@", "@example.com", "ann@example", "ann example.com"),
        *("ann@@example.com", "ann@example..com", "ann@.com", "ann@example.c", "ann@10.0.0.1"),
        *("ann@example.com,bob@example.com", "ann@example.com bob@example.com"),
        *("ann%40example.com", "mailto:ann%40example.com", "mailto:ann%2bb@example.com"),
        *("Ann <ann@example.com", "bob@example.com <ann@example.com>", "a@b.de;ann@example.com"),
        *("+tag@gmail.com", "...@gmail.com", "g" * 32, f"{MD5}\n{MD5}", "ann@example.com,"),
        # White space inside, also if it looks like none, and texts in a wrong encoding.
        *(
            "ann @example.com",
            "an\u00a0n@example.com",
            "ann@exam\u2009ple.com",
            "a\x85n@example.com",
        ),
        *("ï»¿ann@example.com", "jÃ¶rg@example.com", "\ufffdnn@example.com", "ann@exÃ\x81mple.com"),
        # Letters that only look like those of an address.
        *("\uff41nn@example.com", "a\ufb01n@example.com", "ann@\uff45xample.com"),
        # Text in base64 that has as many bytes as a hash.
        *(base64.b64encode(text.ljust(n).encode()).decode() for n, text in TEXTS_IN_BASE64),
        # A label for another algorithm, base64 without its padding, or with bits that mean nothing.
        *(f"md5:{SHA2}", f"sha256:{MD5}", f"sha1:{MD5}", f"0x0x{MD5}", BASE64[MD5][:-2]),
        *(BASE64[SHA2][:-1], f"{BASE64[MD5][:-3]}x=="),
        *("a" * length for length in (31, 33, 40, 63, 65)),
        *(["ann@example.com"], {"email": "ann@example.com"}, 5, b"x"),
        # UTF-8 cannot encode the first nor the last surrogate, so there is no hash of them.
        *(f"{chr(code)}ann@example.com" for code in (0xD800, 0xDBFF, 0xDC00, 0xDFFF)),
        *("a\udfffn@example.com", "ann@example.com\ud800", "ann@example.com\udfff"),
    ],
    ids=ascii,
)
def test_what_is_no_address_is_junk(value: Any) -> None:
    """Everything that is neither an address nor a hash is junk, also a list with an address."""
    assert sent([value]) == Identity(None, None, (unusable("email"),))


@pytest.mark.parametrize(
    "address", ["a{}n@example.com", "an{}@example.com", "ann@ex{}ample.com", "ann@example.c{}m"]
)
def test_a_character_of_ascii_means_the_same_beside_others(address: str) -> None:
    """Addresses of ASCII alone have an expression of their own, which accepts the same ones."""
    for character in map(chr, range(128)):
        text = address.format(character)
        alone, beside = sent([text]), sent([f"\u00e9{text}"])
        assert alone.remarks == beside.remarks, repr(character)


@pytest.mark.parametrize(
    "local",
    [
        *("ann&co", "ann/lee", "ann=lee", "ann?lee", "ann|lee", "ann&", "ann/", "ann=", "ann?"),
        *("ann|", "jose\u0301", "ann\u200b"),
    ],
)
def test_what_is_hashed_as_an_address_is_found_as_one(local: str) -> None:
    """An address that the column `email` would hash never passes through another column."""
    address = f"{local}@example.com"
    if sent([address]).sha2:
        assert holds_address(address)
        assert "@example.com" not in scrub(address)


# Placeholders: texts that stand for nobody, and their hashes

TEXTS = (
    *("undefined", "none", "null", "nil", "nan", "unknown", "(not set)", "n/a", "", "true"),
    *("false", "#n/a", "<null>", "not_set", "00000000-0000-0000-0000-000000000000"),
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_and_its_hashes(text: str) -> None:
    """A text that stands for nobody is no decision ID, and its hashes identify nobody either."""
    for variant in (text, text.upper(), text.title(), text.capitalize()):
        assert is_placeholder(variant)
        assert is_placeholder(f" {variant}\n")
        assert decision_id(f" {variant}\t") is (UNUSABLE if text else None)
        for junk in (md5(variant), sha256(variant).upper()):
            assert sent([junk]) == Identity(None, None, (unusable("email"),))


@pytest.mark.parametrize(
    "text",
    ["NaN", "[object Object]", "0" * 32, "0" * 64],
    ids=["no number", "object in JavaScript", "zeros as md5", "zeros as sha2"],
)
def test_words_that_programs_write_for_nothing_give_no_identity(text: str) -> None:
    """JavaScript's own spellings are hashed as they are; some programs write zeros for a hash."""
    assert md5(text) in JUNK_HASHES
    assert (text in JUNK_HASHES) == text.startswith("0")
    assert is_placeholder(text)


@pytest.mark.parametrize(
    "text",
    [LI_DID, MD5, SHA2, "nobody", "null-1", "x" * 1_000, "1"],
    ids=["device id", "md5", "sha2", "a word", "null with a suffix", "a long text", "a digit"],
)
def test_placeholders_in_any_case_are_no_ids(text: str) -> None:
    assert not is_placeholder(text)
    assert text not in JUNK_HASHES


# Event IDs: pseudonyms in place of addresses, and IDs derived from a record's values


scalars = st.one_of(st.text(), st.integers(), st.none())
nested = st.one_of(scalars, st.lists(scalars), st.dictionaries(st.text(), scalars))


@example("\ud800@example.com", [{"b": 1, "a": 2}, ["1", "2"], "1,2"])
@given(st.text(), st.lists(nested, max_size=3))
def test_ids_are_those_of_pythons_module(text: str, values: list[Any]) -> None:
    """They do not change as long as the name does not, which is JSON for derived IDs."""
    assert pseudonym(text) == str(uuid.uuid5(NAMESPACE, text.encode(errors="replace").decode()))
    name = json.dumps([text, *values], separators=(",", ":"), sort_keys=True)
    assert derive_event_id(text, values) == str(uuid.uuid5(NAMESPACE, name))


@pytest.mark.parametrize(
    "wrap", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["lists", "objects"]
)
def test_derived_ids_read_values_to_the_limit_of_nesting(wrap: Any) -> None:
    """A difference at the deepest level counts; what lies deeper is left out."""

    def derived(value: Any, depth: int) -> str:
        for _ in range(depth):
            value = wrap(value)
        return derive_event_id("s", [value])

    assert derived(1, 50) != derived(2, 50)
    assert derived(1, 51) == derived(2, 51)
    assert derived(1, 400) == derived(2, 400)

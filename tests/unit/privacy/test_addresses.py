"""Addresses in texts, plain or in the escapes of JSON, HTML and URLs, and how they are scrubbed."""

import html
import json
import time
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_support import sha256

from target_liveintent.privacy.addresses import holds_address, scrub
from target_liveintent.privacy.identity import identify
from target_liveintent.privacy.redaction import without_secrets

ANN = "ann@example.com"
HASH = sha256(ANN)
JSON = r"ann\u0040example.com"
ESCAPED = [
    # Of JSON, in JSON once more, and of programs.
    *(JSON, r"Ann\u0040EXAMPLE\u002Ecom", "".join(f"\\u{ord(one):04x}" for one in ANN)),
    *(r"ann\\u0040example.com", r"ann\\\\u0040example.com", r"ANN\U0040EXAMPLE.COM"),
    *(r"ann\U00000040example.com", r"ann\x40example.com"),
    # Of HTML.
    *("ann&#64;example.com", "ann&#00064;example.com", "ann&#0000000000064;example.com"),
    *("ann&#x0000000000040;example.com", "ann&#64example.com", "ann&#x40;example&#x2e;com"),
    *("ann&#X40;example&#X2E;com", "ann&commat;example&period;com"),
    *("ANN&COMMAT;EXAMPLE&PERIOD;COM", "".join(f"&#{ord(one)};" for one in ANN)),
    "ann&amp;#64;example.com",
    # Letters of other widths, and characters that nobody sees.
    *("ann\uff20example.com", "ann\ufe6bexample.com", "ann@example\uff0ecom"),
    *("ann\uff20example\u3002com", "ann@exam\u00adple.com", "ann\u200b@\ufeffexample\u2060.com"),
    "ann@example\uff61com",
    # Of URLs, alone and with the others.
    *(r"ann\u200b\u0040example.com", "ann%E2%80%8B%40example.com", "ann%5Cu0040example.com"),
    *("ann%26%2364%3Bexample.com", "ann%2526%252364%253Bexample.com", "ann%26commat%3Bexample.com"),
    *("ann%EF%BC%A0example.com", "".join(f"%{ord(one):02X}" for one in ANN)),
    *(r"ann\u002540example.com", "ann@example%2Ecom"),
    *("ann%u0040example.com", "ann%25u0040example.com", "ann%uFF20example%U3002com"),
    # Of other programs, and of Markdown.
    *(r"ann\u{40}example.com", r"ann\x{40}example.com", r"ann\100example\056com"),
    *("ann" + "\\" * 32 + "u0040example.com", r"ann\@example\.com"),
    # Without semicolons, and by names of other signs.
    *("ann&amp#64;example.com", "ann&percnt;40example.com", "ann&bsol;u0040example.com"),
    # Of e-mail: once, twice, behind others, in a header, and with a line that is broken.
    *("ann=40example.com", "ann=3D40example=2ecom", "ann%3D40example.com", "ann=2540example.com"),
    *("".join(f"={ord(one):02X}" for one in ANN), "ann@exam=\r\nple.com", "ann@example=2Ecom"),
    *("&#97;nn&equals;40example.com", "ann=EF=BC=A0example.com"),
    # Characters that look like others, wherever they stand: in an address, and in an escape.
    *("ａｎｎ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ann％４０example.com", "ann＆＃64;example.com"),  # noqa: RUF001
    *("𝐚𝐧𝐧@𝐞𝐱𝐚𝐦𝐩𝐥𝐞.𝐜𝐨𝐦", json.dumps("𝐚𝐧𝐧@𝒆𝒙𝒂𝒎𝒑𝒍𝒆.com").strip('"')),  # noqa: RUF001
    *("ann%\u200b40example.com", "a\u202enn@exam\ufe0fple.com", "a\0n\0n\0@\0example.com"),
    # More levels than anybody needs.
    f"ann%{'25' * 14}40example.com",
]
ACCENTS = [
    *("ann@mu\u0308nchen.example", "ann@m\u00fcnchen.example", "ann@mu%CC%88nchen.example"),
    *("ann%40m%FCnchen.example", "ann=40m=C3=BCnchen.example", "ann=40m=FCnchen.example"),
    *("ann@m&uuml;nchen.example", r"ann@mu\u0308nchen.example", "ann@m%u00FCnchen.example"),
]
AROUND = ["{}", "<b>{}</b>, Bob", 'x: "{}"', "({}) 50%"]


@pytest.mark.parametrize(
    ("escaped", "around"),
    [*((one, "call {} now") for one in ESCAPED), *((JSON, around) for around in AROUND)],
    ids=str,
)
def test_an_escaped_address_is_found_and_scrubbed(escaped: str, around: str) -> None:
    """Its hash is that of the address, and the text around it stays, escapes and all."""
    text = around.format(escaped)
    assert holds_address(text)
    assert scrub(text) == without_secrets(text) == around.format(HASH)


def test_an_address_that_only_the_text_has_as_it_came() -> None:
    """What is decoded here is a host that ends in 1a."""
    assert not holds_address(scrub("%20ann@127.0.0.1%61"))


@pytest.mark.parametrize(
    "text",
    [
        *("ann@example.com", "ANN@EXAMPLE.COM", "call ann@example.com now", "<ann@example.com>"),
        *("mailto:ann@example.com?subject=x", "Ann Lee <ann.lee+x@mail.example.co.uk>, Bob"),
        *("https://shop.example/?e=ann%40example.com&x=1", '"ann lee"@example.com'),
        "https://shop.example/?u=https%3A%2F%2Fx.example%2F%3Fe%3Dann%2540example.com",
        *("https://shop.example/?u=ann%252540example.com", "o'neil@example.ie"),
        "=?utf-8?q?ann=40example.com?=",
        *("ann_lee-x@example.com", "{ann}@example.com", "ünal@example.com", "ann@bücher.example"),
        *("ann@xn--bcher-kva.ch", "ann@example.com.", "x" * 300 + "@example.com"),
        *("\ud800ann@example.com", "e=ann%40example%2Ecom", "e=ann%40example%2ecom"),
        *("e=ann%40b%C3%BCcher.example", "e=%C3%BCnal%40example.com"),
        *("u=%3Fe%3Dann%2540b%25C3%25BCcher.example", "https://user:pw@host.com/x"),
        # A machine or a network at home.
        *("root@localhost", "ROOT@LocalHost", "ann@localhost:8080/x", "ann@localhost."),
        *("ann@localhost.localdomain", "ann%40localhost", "ann@[10.1.2.3]", "ann@10.1.2.3"),
        *("ann@[IPv6:2001:db8::1]", "ann%40%5B10.1.2.3%5D", r"ann\u0040localhost"),
        *("postgresql://user:pw@10.1.2.3:5432/db", "ann\uff20[10.1.2.3]"),
    ],
    ids=str,
)
def test_addresses_are_found_and_scrubbed(text: str) -> None:
    """An address is found anywhere in a text, and nothing of it is left after scrubbing."""
    assert holds_address(text)
    scrubbed = scrub(f"to {text} now")
    assert not holds_address(scrubbed)
    for part in ("ann@", "ann%", "ünal", "root", "pw", "@example", "localhost@", "10.1.2.3]"):
        assert part not in scrubbed.lower()


def test_the_rest_of_a_text_stays() -> None:
    """Only addresses are replaced, each by its hash: a page or a JSON text stays one."""
    text = r'{"a": "\u00fc &lt;b&gt; 5%20%", "to": "ann\u0040example.com", "z": "\"\\"}'
    assert scrub(text) == text.replace(JSON, HASH)
    page = "<i>a &amp; b</i> &lt;ann&#64;example.com&gt; &copy;"
    assert scrub(page) == page.replace("ann&#64;example.com", HASH)
    assert scrub("to Ann@Example.com, bob") == f"to {HASH}, bob"
    bob = sha256("bob@example.com")
    assert scrub(f"bob@example.com;{JSON};{ANN}") == f"{bob};{HASH};{HASH}"
    assert scrub("ann&#64;example.com,bob@example.com") == f"{HASH},{bob}"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ann&#46;lee@example.com", "ann.lee@example.com"),
        (r"ann\u002elee@example.com", "ann.lee@example.com"),
        (r"ann\_lee@example.com", "ann_lee@example.com"),
        ("ann@example.com&#46;au", "ann@example.com.au"),
        # Accents of their own, in all ways to write them, and other scripts.
        *((text, "ann@m\u00fcnchen.example") for text in ACCENTS),
        ("zo\u0065\u0308@example.com", "zo\u00eb@example.com"),
        ("ann@\u0938\u0902\u0917\u0920\u0928.\u092d\u093e\u0930\u0924",) * 2,
        (
            "\u0935\u093f\u091c\u092f%40\u0e44\u0e17\u0e22.\u0e44\u0e17\u0e22",
            "\u0935\u093f\u091c\u092f@\u0e44\u0e17\u0e22.\u0e44\u0e17\u0e22",
        ),
        ("ann@i\u2764\ufe0f.example", "ann@i\u2764.example"),
        ("ann@a.example@b.example", "ann@a.example"),
    ],
    ids=str,
)
def test_the_address_is_replaced_whole(text: str, address: str) -> None:
    """Nothing of it stays beside the hash, whichever way its characters are written."""
    assert holds_address(text)
    assert scrub(f"to {text}!") == f"to {sha256(address)}!"


def test_the_end_of_a_percent_code_may_begin_an_address() -> None:
    """Nothing of either reading stays."""
    left = scrub("%adam@example.com &amp;")
    assert "dam" not in left
    assert left.endswith(" &amp;")


@pytest.mark.parametrize(
    "text",
    [
        *("", "plain", "@handle", "follow @handle now", "react@18.2.0", "npm/@scope/package.json"),
        *("https://cdn.example/npm/react@18.2.0/index.js", "50% off", "100%", "%40", "40", "a@b"),
        *("5 @ 3.50", "https://shop.example/?q=%40home", "Mozilla/5.0 (X11; Linux x86_64)"),
        *(r"C:\users\ann", r"a\u0040b", r"\u0040home", "R&D; a@b", "&#64;", "&commat;home"),
        *("\uff20home", "https://shop.example/?a=1&b=2&commatose=3", "x@localhosts"),
        *("https://shop.example/?a=%26&b=%5C", "x@localhost-2", "@localhost", "react@1.2.3"),
        # The = of a parameter.
        *("size=40mm", "a=1&b=40", "https://shop.example/p?size=40mm.html&w=40shop.example"),
        *("/p?a=1&amp;w=40shop.example", "/p#w=40shop.example", "%3Fw%3D40shop.example"),
        *("10% off", "50%u", "user@", "@user", "%u00e9t%E9 \u00e9te\u0301", "a\u0301 = 40.example"),
        *("%" + "25" * 14 + "4", r"C:\100\x.y", "漢字％４０", "&ampere;40", r"\u{110000}@x"),  # noqa: RUF001
        *("app@1.2.3.4.5", "a@[1:2]", "a@[b]", "5 @ [10.1.2.3]", "日本\u3002語", "\\" * 50),
    ],
    ids=str,
)
def test_no_false_alarms(text: str) -> None:
    """A text with an @ or with escapes is not yet an address, and stays as it is."""
    assert not holds_address(text)
    assert scrub(text) == text


escapes = st.sampled_from(
    [
        *(*"\\&%#;.@ax0ü=", " ", "\\u0040", "\\\\u002e", "&#64;", "&amp;", "&#1;", "&#x1F600;"),
        *("%40", "%2540", "%26", "%5C", "%C3%BC", "\uff20", "\uff0e", "ann", "example", "com"),
        *("localhost", "=40", "=3D", "%u0040", "\u0301", "\u200b", "?q="),
    ]
)
texts = st.lists(escapes, max_size=12).map("".join)


@settings(max_examples=300)
@given(st.sampled_from([json.dumps, html.escape, urllib.parse.quote, str]), texts, texts)
def test_an_address_is_found_in_any_surroundings(
    encode: Callable[[str], str], before: str, after: str
) -> None:
    """Whatever escapes stand beside it."""
    text = f"{before} {encode(ANN)} {after}"
    assert holds_address(text)
    assert not holds_address(scrub(text))


def each(form: str, characters: str = "") -> Callable[[str], str]:
    """Return a function that escapes each of these characters, by default all of ASCII."""
    return lambda text: "".join(
        form.format(ord(one)) if one in (characters or one) and one.isascii() else one
        for one in text
    )


ENCODERS: dict[str, Callable[[str], str]] = {
    "json": lambda text: json.dumps(text)[1:-1],
    "html": html.escape,
    "percent": lambda text: urllib.parse.quote(text, safe=""),
    "json whole": each("\\u{:04x}"),
    "json signs": each("\\u{:04X}", "@.%&=\\"),
    "braces": each("\\u{{{:x}}}", "@.%&=\\"),
    "program": each("\\x{:02x}", "@.%&=\\"),
    "octal": each("\\{:03o}", "@.%&=\\"),
    "html decimal": each("&#{};"),
    "html hexadecimal": each("&#x{:X};", "@.%&=\\"),
    "percent whole": each("%{:02x}"),
    "percent u": each("%u{:04X}", "@.%&=\\"),
    "mail": each("={:02X}", "@="),
    "mail whole": each("={:02X}"),
    "wide": lambda text: text.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)}),
}
HIDDEN = "\u00ad\u200b\u200d\u202e\u2060\ufe0f\ufeff"


hidden = st.tuples(st.integers(0, 60), st.sampled_from(["", *HIDDEN]))


@settings(max_examples=300)
@given(
    st.sampled_from(
        [ANN, "O.Lee+x@mail.example.co.uk", "zoe@m\u00fcnchen.example", "a_b@10.1.2.3"]
    ),
    st.lists(st.tuples(hidden, st.sampled_from(list(ENCODERS))), max_size=5),
)
def test_an_address_is_found_behind_any_escapes(
    address: str, levels: list[tuple[tuple[int, str], str]]
) -> None:
    """In any order, with a character that nobody sees before each of them."""
    text = address
    for (place, character), encoder in levels:
        text = ENCODERS[encoder](text[:place] + character + text[place:])
    for around in ("{}", "to {}, now 50%", "https://shop.example/?size=40&q={}#top"):
        assert holds_address(around.format(text))
        left = scrub(around.format(text))
        assert not holds_address(left)
        assert left.startswith(around.partition("{")[0])
        assert left.endswith(around.partition("}")[2])


def test_a_text_that_is_escaped_too_deeply() -> None:
    """Nobody can say what it holds, so the words that cannot be read count as an address."""
    for escaped in (f"ann%{'25' * 16}40example.com", f"%{'25' * 16}41", f"&{'amp;' * 17}#65;"):
        assert holds_address(f"to {escaped}, now")
        to, digest, now = scrub(f"to {escaped}, now").split()
        assert (to, len(digest), now) == ("to", 64, "now")


LONG = 60_000
HOSTILE = {
    "backslashes": "\\" * LONG,
    "json": "\\u0040" * (LONG // 6),
    "entities": "&amp;" * (LONG // 5),
    "nested": "&" + "amp;" * (LONG // 4) + "#64;",
    "open": "&#" * (LONG // 2),
    "letters of an entity": "&" + "a" * LONG,
    "encoded backslashes": "%5C" * (LONG // 3) + "@example.com",
    "wide": "\uff20" * LONG,
    "host": "a@localhost" * (LONG // 11),
    "numbers": "a@[" + "1." * (LONG // 2),
    "colons": "a@[IPv6:" + ":" * LONG,
    "at signs": "a@" * (LONG // 2),
    "domain": "a@" + "b" * LONG,
    "labels": "a@" + "1." * (LONG // 2),
    "percent": "a" + "%40" * (LONG // 3),
    "percent 25": "a%" + "25" * (LONG // 2) + "@",
    "quoted": '"a' * (LONG // 2) + "@b.c",
    "xn": "a@" + "xn--" * (LONG // 4),
    "marks": "a@" + "\u0300\u0316" * (LONG // 2),
    "deep": ("%" + "25" * 16 + "40") * (LONG // 35),
    "mail": "=3D3D40" * (LONG // 7),
    "wide escapes": "％４０" * (LONG // 3),  # noqa: RUF001
    "names": ("a" * 60 + "=40") * (LONG // 63),
    "addresses": "a@b.example@" * (LONG // 12),
    "spaces": " " * LONG + "@",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_costs_linear_time(name: str) -> None:
    """60,000 characters take a moment; a quadratic pattern would take much longer."""
    text = HOSTILE[name]
    started = time.process_time()
    holds_address(text)
    scrub(text)
    identify([text], "gmail")
    assert time.process_time() - started < 2

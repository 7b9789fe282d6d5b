"""Decision IDs of records and of pages: what is one, and where in a URL it may be."""

import time
import uuid
from typing import Any
from urllib.parse import quote

import pytest
from unit_support import LI_DID

from target_liveintent.conversions.coerce import UNUSABLE, decision_id, decision_id_of_url

OTHER = "0e2f6f0c-5d0c-4f3e-9c57-2f0f3c6f2b11"
ZERO = "00000000-0000-0000-0000-000000000000"
SHOP = "https://shop.example"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (LI_DID, LI_DID),
        (f" {LI_DID.upper()} ", LI_DID.upper()),
        (uuid.UUID(LI_DID), LI_DID),
        ("any-Thing", "any-Thing"),
        (1007, "1007"),
        *((nothing, None) for nothing in (None, "", " ", "\t", float("nan"))),
        *((text, UNUSABLE) for text in ("null", "None", "NaN", "NIL", "Undefined", "(Not Set)")),
        *((value, UNUSABLE) for value in (ZERO, uuid.UUID(int=0), "0", 0, False, ["x"])),
    ],
)
def test_decision_id(value: Any, read: Any) -> None:
    """Any text is one; placeholders are unusable in any case, and blanks are empty."""
    assert decision_id(value) == read


def nested(parameter: str, times: int) -> str:
    """Return a URL with a parameter in a URL that is encoded so many times."""
    inner = f"{SHOP}/a?b=1&{parameter}&c=2"
    for _ in range(times):
        inner = quote(inner, safe="")
    return f"{SHOP}/go?x=1&next={inner}&y=2"


@pytest.mark.parametrize(
    "page",
    [
        *("/p?li_did={}", "/p?a=1&li_did={}&b=2", "/?li_did={}#top", "/#li_did={}"),
        *("/#/cart?a=1&li_did={}", "/#/cart/li_did={}/x", "/?a=1;li_did={}", "/?a=1&amp;li_did={}"),
        *("/?li_did=&li_did={}", "/?li_did=undefined&li_did={}", f"/?li_did={ZERO}&li_did={{}}"),
        *(f"/?old_li_did={OTHER}&li_did={{}}", f"/?next={SHOP}/?li_did={{}}"),
    ],
)
def test_the_places_in_a_url(page: str) -> None:
    """Query, fragment, and a URL that is a parameter; also where there is no host."""
    for start in (SHOP, "", "https://[shop.example"):
        assert decision_id_of_url(start + page.format(LI_DID)) == LI_DID


@pytest.mark.parametrize("page", ["?li_did={}", "li_did={}&a=1"])
def test_a_parameter_alone(page: str) -> None:
    assert decision_id_of_url(page.format(LI_DID)) == LI_DID


@pytest.mark.parametrize("times", range(5))
def test_a_url_in_a_parameter(times: int) -> None:
    """It is found however often it is encoded, with any parameter before it."""
    assert decision_id_of_url(nested(f"li_did={LI_DID}", times)) == LI_DID
    assert decision_id_of_url(nested(f"old_li_did={LI_DID}", times)) is None
    inner = f"{SHOP}/?li_did={LI_DID}#x"
    for _ in range(times):
        inner = quote(inner, safe="")
    assert decision_id_of_url(f"{SHOP}/go?{inner}") == LI_DID


def test_lower_case_codes() -> None:
    """Some programs write codes in lower case."""
    page = nested(f"li_did={LI_DID}", 1).replace("%3D", "%3d")
    assert decision_id_of_url(page) == LI_DID
    assert decision_id_of_url(page.replace("%26", "%3f")) == LI_DID


@pytest.mark.parametrize(
    "page",
    [
        f"{nested(f'li_did={OTHER}', 1)}&li_did={LI_DID}",
        f"{nested(f'li_did={LI_DID}', 1)}&li_did=undefined",
        nested(f"li_did={OTHER}", 2) + nested(f"li_did={LI_DID}", 1),
        f"{SHOP}/?li_did={LI_DID}&li_did={OTHER}",
    ],
)
def test_the_least_encoded_one_counts(page: str) -> None:
    """The page's own parameter is more likely that of its visitor than one of another URL."""
    assert decision_id_of_url(page) == LI_DID


@pytest.mark.parametrize(
    "page",
    [
        *(f"{SHOP}/?li_did={value}" for value in ("", "abc", "undefined", ZERO, f"{LI_DID}0")),
        *(f"{SHOP}/?li_did=%28not%20set%29", f"{SHOP}/#li_did=null", nested("li_did=undefined", 2)),
    ],
)
def test_a_parameter_that_is_no_uuid(page: str) -> None:
    """It is there, so the caller counts it, but it identifies nobody."""
    assert decision_id_of_url(page) is UNUSABLE


@pytest.mark.parametrize(
    "page",
    [
        *("", SHOP, f"{SHOP}/li_did", f"{SHOP}/li_did/{LI_DID}", f"{SHOP}/?li_did"),
        *(f"{SHOP}/?{name}={LI_DID}" for name in ("xli_did", "x_li_did", "x-li_did", "li_didx")),
        *(f"{SHOP}/?{name}={LI_DID}" for name in ("did", "x.li_did", "x%5Fli_did")),
    ],
)
def test_other_parameters(page: str) -> None:
    """Only a parameter of exactly this name has a decision ID."""
    assert decision_id_of_url(page) is None


@pytest.mark.parametrize("piece", ["li_did", "li_did=", "%25", "?li_did=a", "li_did%25"])
def test_long_urls_take_no_time(piece: str) -> None:
    """The time is linear in the length of a URL."""
    started = time.process_time()
    decision_id_of_url(piece * 20_000)
    assert time.process_time() - started < 1.0

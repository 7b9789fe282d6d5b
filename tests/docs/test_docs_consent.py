"""The recipes for consent strings, on strings that are made here by the layout of their bits."""

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import yaml
from docs_support import DOCS, blocks

from target_liveintent.conversions.coerce import consent
from target_liveintent.mapping.stream_maps import StreamMaps

PAGE = DOCS / "how-to" / "consent-strings.md"
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _text(bits: str) -> str:
    padded = bits + "0" * (-len(bits) % 6)
    return "".join(DIGITS[int(padded[n : n + 6], 2)] for n in range(0, len(padded), 6))


def tcf(purposes: Iterable[int], version: int = 2) -> str:
    """A TC string, with these consents."""
    before = [(version, 6), (0x2FFFFFFFF, 36), (0x2FFFFFFFF, 36), (4095, 12), (4095, 12), (63, 6)]
    before += [(4095, 12), (4095, 12), (63, 6), (1, 1), (1, 1), (4095, 12)]
    bits = "".join(format(value, f"0{width}b") for value, width in before)
    given = "".join("1" if number in purposes else "0" for number in range(1, 25))
    after = "1" * 24 + "1" + "1" * 12 + format(3, "016b") + "0" + "111"
    return _text(bits + given + after)


def gpp(sale: int, sharing: int, advertising: int, gpc: str = "") -> str:
    """A GPP string with the section of the United States alone."""
    header = _text("000011000001000000000001001011")  # the section 7 alone
    notices = "01" * 6
    answers = "".join(format(answer, "02b") for answer in (sale, sharing, advertising))
    return f"{header}~{_text('000001' + notices + answers + '00' * 18)}{gpc}"


def _says_yes(*columns: str) -> Callable[..., bool]:
    """Return what the recipe that reads just these columns makes of strings: yes or no."""
    maps = [yaml.safe_load(block.text) for block in blocks(PAGE) if block.kind == "yaml"]
    (given,) = (one for one in maps if _read(one) == set(columns))
    stream_maps = StreamMaps(given["stream_maps"], given.get("stream_map_config", {}))
    properties = {name: {} for name in ("paid_at", "email", *columns)}
    (plan,) = stream_maps.plans("orders", {"properties": properties})

    def says_yes(*texts: Any) -> bool:
        assert plan.transform is not None
        strings = dict(zip(columns, texts, strict=True))
        mapped = plan.transform({"paid_at": 0, "email": "jane@example.com", **strings})
        assert mapped is not None
        return consent(mapped["consent"])

    return says_yes


def _read(settings: dict[str, Any]) -> set[str]:
    return set(re.findall(r"get\('(\w+)'\)", settings["stream_maps"]["orders"]["consent"]))


USELESS = [None, "", "C", "CQ", "none", "null", 5, True, [], {}, ["C"], "C" + "." * 40, "C" * 26]
"""What stands in a column of strings and is none."""


def test_tcf() -> None:
    """Only a string with both purposes is a yes, whatever else is in it."""
    says_yes = _says_yes("tc_string")
    for number in range(2**10):
        purposes = {purpose for purpose in range(1, 11) if number >> (purpose - 1) & 1}
        assert says_yes(tcf(purposes)) is ({1, 7} <= purposes)
    assert says_yes(tcf({1, 7}) + ".YAAAAAAAAAAA")
    assert not says_yes(tcf({1, 7}, version=1))
    assert not says_yes(tcf({1, 7})[:26])
    assert not any(map(says_yes, USELESS))


def test_gpp() -> None:
    """Whoever opted out of one of the three, or by the browser, is a no."""
    says_yes = _says_yes("gpp")
    for answers in itertools.product(range(4), repeat=3):
        assert says_yes(gpp(*answers)) is all(answer in {0, 2} for answer in answers)
        assert says_yes(gpp(*answers, gpc=".QA")) is says_yes(gpp(*answers))
        assert not says_yes(gpp(*answers, gpc=".YA"))
    assert says_yes(gpp(2, 2, 2).replace("DBABL", "DBABLA"))
    assert not says_yes("DBACLM~BVQqAAAAAgA~1YNN")
    assert not any(map(says_yes, [*USELESS, "DBABL", "DBABLA~", "DBABL~BVQ"]))


def test_us_privacy() -> None:
    says_yes = _says_yes("us_privacy")
    for notice, sale, agreement in itertools.product("YN-", repeat=3):
        assert says_yes(f"1{notice}{sale}{agreement}") is (sale in "N-")
    assert not any(map(says_yes, [*USELESS, "2YNN", "1", "1Y", "1Y n", 1, 1.5]))


@pytest.mark.parametrize("purpose", range(1, 11))
def test_the_table_of_purposes(purpose: int) -> None:
    """The table names the character and the bit of each purpose."""
    rows = [
        line.split("|")[2:-1]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith(("| character", "| bit"))
    ]
    place, bit = (int(row[purpose - 1]) for row in rows)
    for given in ({purpose}, set(range(1, 25)) - {purpose}):
        assert bool(DIGITS.index(tcf(given)[place]) & bit) is (purpose in given)

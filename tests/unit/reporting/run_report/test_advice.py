"""What the run report advises, and when it says nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from report_support import MadeUpRun
from unit_support import MD5, TIME

LACKS: dict[str, tuple[dict[str, Any], str]] = {
    "email": ({"email": None, "md5": MD5}, "`email`"),
    "ip": ({"ip": None}, "`ip`"),
    "user agent": ({"user_agent": None}, "`user_agent`"),
    "device": ({"source": "app"}, "`idfa`"),
    "decision": ({"decision_id": None}, "`decision_id`"),
    "order": ({"order_id": None}, "`order_id`"),
    "value": ({"value": None}, "`value`"),
    "currency": ({"currency": None}, "`currency`"),
    "late": ({"event_time": TIME - 2 * 3_600}, "run the program more often"),
}


@pytest.mark.parametrize("lack", LACKS)
def test_advice(lack: str) -> None:
    """The advice names the share of events that lack something, and nothing else."""
    record, words = LACKS[lack]
    run = MadeUpRun().deliver(2).deliver(3, **record)
    (line,) = run.facts().advice
    assert line.startswith("100 % of the app" if lack == "device" else "60 % of the ")
    assert words in line
    assert run.facts().conclusions[-1] == f"To match more: {line}"
    assert "<h2>To match more</h2>" in run.page()


def test_few_events_are_not_mentioned() -> None:
    """Some buyers always lack something: the advice begins above a twentieth."""
    assert MadeUpRun().deliver(95).deliver(5, ip=None).facts().advice == []
    assert len(MadeUpRun().deliver(94).deliver(6, ip=None).facts().advice) == 1


def test_offline_events_have_no_browser() -> None:
    bare = {"source": "offline", "ip": None, "user_agent": None, "decision_id": None}
    assert MadeUpRun().deliver(5, **bare).facts().advice == []


def test_the_stream_at_fault() -> None:
    """The advice names the stream of several that lacks most."""
    run = MadeUpRun().deliver(5).deliver(3, "a", ip=None).deliver(1, "b", ip=None)
    assert run.facts().advice[0].endswith("(75 % of them are in stream a.)")
    run = MadeUpRun().deliver(5).deliver(3, "a", ip=None)
    assert run.facts().advice[0].endswith("(All of them are in stream a.)")


def test_columns_that_cannot_be_used() -> None:
    """The advice names columns that could not be used, but not those that are only empty."""
    run = MadeUpRun().deliver(50)
    run.counts.of("orders").left_out.update({"ip": 3, "value empty": 9, "conflict": 1, "email": 2})
    assert [line.split(".")[0] for line in run.facts().advice] == [
        "In 2 records, `email` is neither an e-mail address nor a hash of one",
        "In 1 record, a hash does not belong to the address",
        "In 3 records, `ip` cannot be used and is left out",
    ]


def test_the_most_useful_is_first() -> None:
    """What matches by hash, then what finds people, then what completes; then the most events."""
    run = MadeUpRun().deliver(10).deliver(8, value=None, currency=None).deliver(9, decision_id=None)
    run.deliver(6, ip=None).deliver(4, email=None, md5=MD5)
    assert columns_of(run) == ["email", "decision_id", "ip", "value"]
    run.deliver(9, ip=None)
    assert columns_of(run) == ["email", "ip", "decision_id", "value"]


def columns_of(run: MadeUpRun) -> list[str]:
    return [re.findall("`(.*?)`", line)[-1] for line in run.facts().advice]


def test_whose_events_lack_something() -> None:
    """The advice names the sources that should have the field, unless all should."""
    assert MadeUpRun().deliver(ip=None).facts().advice == [
        (
            "100 % of the web and app conversions have no IP address. Supply the buyer's IP address"
            " as `ip`."
        )
    ]
    assert MadeUpRun().deliver(value=None, currency=None).facts().advice == [
        "100 % of the conversions have no value. Supply the value as `value`."
    ]

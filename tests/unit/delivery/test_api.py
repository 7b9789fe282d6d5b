"""What each answer of the API means."""

import pytest

from target_liveintent.delivery.api import Answer, Verdict, answer_of
from target_liveintent.settings import PartialAnswer

VERDICTS = {
    204: Verdict.ACCEPTED,
    200: Verdict.UNCONFIRMED,
    400: Verdict.REFUSED,
    413: Verdict.TOO_LARGE,
    422: Verdict.REFUSED,
    401: Verdict.DENIED,
    403: Verdict.DENIED,
    408: Verdict.LIMITED,
    425: Verdict.LIMITED,
    429: Verdict.LIMITED,
    500: Verdict.FAULT,
    503: Verdict.LIMITED,
    599: Verdict.FAULT,
    201: Verdict.UNKNOWN,
    302: Verdict.UNKNOWN,
    404: Verdict.UNKNOWN,
    499: Verdict.UNKNOWN,
    600: Verdict.UNKNOWN,
}


@pytest.mark.parametrize(
    ("status", "verdict"), VERDICTS.items(), ids=[f"HTTP {status}" for status in VERDICTS]
)
def test_each_status_has_one_verdict(status: int, verdict: Verdict) -> None:
    """Any other status is unknown."""
    answer = answer_of(status, b"", ["1"], 3.0)
    is_repeated = verdict in {Verdict.FAULT, Verdict.LIMITED}
    assert answer == Answer(verdict, f"HTTP {status}", status, 3.0 if is_repeated else 0.0)


NAMING_ONE = (b'["e1"]', b'["e1", "e1"]', b'\n [ "e1" ] \r\n', rb'["\u00651"]')
NAMING_ALL = (b'["e1", "e2"]', b'["e2", "e1", "e2"]')
UNCLEAR = (
    *(*NAMING_ALL, b'["e1", "e3"]', b'["e1", null]', b'["e1", 1]', b'["e1", ["e2"]]'),
    *(b"[]", b"[1]", b'["E1"]', b'[" e1 "]', b'[["e1"]]', b'[{"eventId": "e1"}]'),
    *(b'{"failed": ["e1"]}', b'"e1"', b"e1", b'["e1"', b'["e1"] []', b'["e1"]\n["e2"]'),
    *(b"1", b"true", b"null", b"", b"\xff\xfe\x00", '["e1"]'.encode("utf-16")),
    *(rb'["\ud800"]', b"[" * 60_000),
)
"""Bodies that do not name a proper part of the events, as text of JSON."""


@pytest.mark.parametrize(
    ("body", "named"),
    [*((body, {"e1"}) for body in NAMING_ONE), *((body, set()) for body in UNCLEAR)],
    ids=[
        *(f"one event named, body {n}" for n in range(len(NAMING_ONE))),
        *(f"unclear body {n}" for n in range(len(UNCLEAR))),
    ],
)
def test_a_200_that_names_a_part_of_the_events_is_understood(body: bytes, named: set[str]) -> None:
    """The events that it names failed, unless the setting says that they were processed."""
    sent = {"e1", "e2"}
    verdict = Verdict.PARTLY if named else Verdict.UNCONFIRMED
    answer = answer_of(200, body, sent)
    assert (answer.verdict, answer.not_processed) == (verdict, named)
    if body not in NAMING_ALL:
        processed = answer_of(200, body, sent, 0.0, "processed")
        failed = sent - named if named else set()
        assert (processed.verdict, processed.not_processed) == (verdict, failed)
    unknown = answer_of(200, body, sent, 0.0, "unknown")
    assert unknown == Answer(Verdict.UNCONFIRMED, "HTTP 200", 200)


@pytest.mark.parametrize("body", NAMING_ALL)
@pytest.mark.parametrize(
    ("partial_answer", "verdict"),
    [
        ("failed", Verdict.UNCONFIRMED),
        ("processed", Verdict.ACCEPTED),
        ("unknown", Verdict.UNCONFIRMED),
    ],
    ids=["failed", "processed", "unknown"],
)
def test_a_200_that_names_all_events_delivers_them_only_if_it_names_what_was_processed(
    body: bytes, partial_answer: PartialAnswer, verdict: Verdict
) -> None:
    """If nothing was processed, the answer would be a 400."""
    answer = answer_of(200, body, ["e1", "e2"], 0.0, partial_answer)
    assert answer == Answer(verdict, "HTTP 200", 200)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "HTTP 400"),
        (b"bad\n event", "HTTP 400: bad event"),
        (b'{"errors": [{"message": "no pixel"}, {"message": 7}]}', "HTTP 400: no pixel; 7"),
        (b'{"error": "x"}', 'HTTP 400: {"error":"x"}'),
        (b"\xff", "HTTP 400: \N{REPLACEMENT CHARACTER}"),
        (b"x" * 1_000, "HTTP 400: " + "x" * 500),
    ],
    ids=[
        "no body",
        "plain text on two lines",
        "list of errors",
        "object of another form",
        "not UTF-8",
        "too long",
    ],
)
def test_what_a_refusal_says(body: bytes, detail: str) -> None:
    """What a refusal says is one line of a bounded length."""
    assert answer_of(400, body, ["1"]).detail == detail


@pytest.mark.parametrize(
    "body",
    [
        b"jane.roe@example.com is bad",
        b'{"errors": [{"message": "jane.roe@example.com is bad"}]}',
        rb'{"who": "jane.roe\u0040example.com"}',
        b"jane.roe&#64;example.com",
    ],
)
def test_a_refusal_that_repeats_an_address(body: bytes) -> None:
    """An address in a refusal is not kept, however it is written."""
    assert "roe" not in answer_of(400, body, ["1"]).detail

"""What the page says to those who do not run the program, where a golden page does not show it."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from overview_support import NOW, at, daily, entry, figures, overview

from target_liveintent.config import settings_of
from target_liveintent.delivery import api
from target_liveintent.delivery.api import Answer, Verdict
from target_liveintent.reasons import REASONS
from target_liveintent.reporting.overview import plain
from target_liveintent.reporting.overview.model import AS_USUAL, LOW
from target_liveintent.reporting.run_report.advice import GAPS


@pytest.mark.parametrize(("days", "is_lost"), [(6, False), (7, True), (30, True)])
def test_what_is_lost(days: int, is_lost: bool) -> None:
    """The window of the API is 7 days."""
    found = plain.what_waits(NOW - dt.timedelta(days=days), NOW)
    assert found.startswith("Conversions that are older than 7 days") == is_lost
    assert ("no waiting conversion is lost before" in found) != is_lost


def test_every_reason_and_gap_has_words() -> None:
    """Of those that a page can show; what to do is one sentence."""
    assert plain.REASONS.keys() == {name for name, one in REASONS.items() if one.letter}
    for one in plain.REASONS.values():
        assert re.fullmatch(r"(?:(?![.!?] [A-Z]).)*\.", one.what_to_do)
    for gap in GAPS:
        assert gap.verb in {"have", "lack"}
        assert "upply" in gap.words


def test_a_difference_that_nobody_sees_is_none() -> None:
    """90 % is not lower than 90 to 90 %, whatever the decimals say."""
    usual = daily(40, 1, streams={"orders": figures(10_000, hashes=9_020)})
    for hashes, verdict in ((8_980, AS_USUAL), (8_940, LOW)):
        today = entry(at(0), streams={"orders": figures(10_000, hashes=hashes)})
        assert overview([*usual, today]).figure("email_hash").verdict == verdict


def test_the_words_for_failures_fit_the_messages() -> None:
    """Each message that the words are for begins as they expect; others have words, too."""
    settings = settings_of({"customer_id": "a-1b2c", "auth_token": "x"})
    answer = Answer(Verdict.FAULT, "HTTP 503", 503)
    denied = api.access_denied(answer, settings, accepted=False)
    down = "LiveIntent could not be reached, or its API did not work"
    for error, expected in (
        (denied, "LiveIntent refused the access key (token)"),
        (api.outage(answer, settings), down),
        (api.stopped(answer, settings), down),
        (api.all_refused(3, "HTTP 400"), "LiveIntent refused every conversion"),
        (api.stopped(None, settings), "the program ended with an error"),
        (None, "the program ended with an error"),
    ):
        message = None if error is None else str(error)
        assert f": {expected}. " in plain.failure(message, 1, 0, at(0), NOW), message

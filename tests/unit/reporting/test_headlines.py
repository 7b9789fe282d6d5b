"""Codes decide about the headline: of the failure of a run, or of the rule that found something."""

from typing import Any

import msgspec
import pytest
from reporting_support import SETTINGS, at, causes_in, daily, failed, overview, run, shop

from target_liveintent import failures
from target_liveintent.delivery import api
from target_liveintent.failures import FAILURE_WORDS, Failure, FailureCode
from target_liveintent.reporting import words
from target_liveintent.reporting.headline import (
    FAILURE_HEADLINES,
    RULE_HEADLINES,
    Headline,
    headline_of,
    health_line,
)
from target_liveintent.reporting.history import Ending, Finding, Unusual
from target_liveintent.reporting.rules import RULES

NOT_REACHED = "LiveIntent could not be reached."
FAILED = "A run failed."


class AnyFacts(dict[str, Any]):
    """Facts that have a number for each name."""

    def __missing__(self, name: str) -> int:
        return 1


def headline_after(ending: Ending, **changes: Any) -> Headline:
    """Return the headline after a run with this ending, and good runs before it."""
    return headline_of(overview([*daily(20, 1), run(at(0), ending=ending, **changes)]))


def answer(verdict: api.Verdict, status: int | None, **changes: Any) -> api.Answer:
    return api.Answer(verdict, f"HTTP {status}", status, **changes)


FAULT = answer(api.Verdict.FAULT, 500)
DELIVERY_FAILURES = {
    "a long Retry-After": (
        api.outage(answer(api.Verdict.LIMITED, 429, retry_after=7_200.0), SETTINGS),
        FailureCode.LONG_WAIT,
        "LiveIntent asked a run to pause for a longer time than the settings allow.",
    ),
    "an outage": (api.outage(FAULT, SETTINGS), FailureCode.OUTAGE, NOT_REACHED),
    "a signal in an outage": (api.stopped(FAULT), FailureCode.STOPPED_IN_OUTAGE, NOT_REACHED),
    "a token that was rotated": (
        api.ended_by(answer(api.Verdict.DENIED, 401), SETTINGS, accepted=True),
        FailureCode.ACCESS_DENIED,
        "LiveIntent refused the access key.",
    ),
    "403 in the middle of a run": (
        api.ended_by(answer(api.Verdict.DENIED, 403), SETTINGS, accepted=True),
        FailureCode.ACCESS_LOST,
        "LiveIntent refused the access key.",
    ),
    "403 at once": (
        api.ended_by(answer(api.Verdict.DENIED, 403), SETTINGS, accepted=False),
        FailureCode.ACCESS_DENIED,
        "LiveIntent refused the access key.",
    ),
    "a certificate": (
        api.ended_by(answer(api.Verdict.UNREACHABLE, None), SETTINGS, accepted=False),
        FailureCode.UNREACHABLE,
        NOT_REACHED,
    ),
    "an unexpected answer": (
        api.ended_by(answer(api.Verdict.UNKNOWN, 302), SETTINGS, accepted=False),
        FailureCode.UNEXPECTED_ANSWER,
        FAILED,
    ),
    "refusals in a row": (
        api.all_refused(5, "HTTP 400"),
        FailureCode.ALL_REFUSED,
        "LiveIntent refused every conversion.",
    ),
}


@pytest.mark.parametrize(
    ("error", "code", "said"), DELIVERY_FAILURES.values(), ids=DELIVERY_FAILURES
)
def test_what_ends_delivery_has_its_headline(error: Any, code: FailureCode, said: str) -> None:
    """Nothing is lost on the way from the exception to the page, and all facts of it are known."""
    assert error.failure.code is code
    assert str(error) == error.failure.words
    headline = headline_after(Ending(error.failure))
    assert (headline.status, headline.said) == ("bad", said)


@pytest.mark.parametrize("code", FailureCode)
def test_each_code_has_words_and_a_headline(code: FailureCode) -> None:
    """It has a row in both tables; a new code without them fails here, and not in a report."""
    failure = Failure(code, AnyFacts())
    assert failure.words == FAILURE_WORDS[code](AnyFacts())
    headline = headline_after(Ending(failure))
    said, to_do = FAILURE_HEADLINES.get(code, (FAILED, "Ask"))
    assert headline.said == said
    assert headline.to_do.startswith(to_do)


def test_each_rule_has_words_and_a_headline() -> None:
    assert RULES.keys() == words.RULE_WORDS.keys() == RULE_HEADLINES.keys()


def test_a_reason_of_another_version_has_words() -> None:
    finding = Finding(count=40, main_reason="of_a_newer_version", main_count=40)
    said = words.unusual_words(Unusual("dead_letters", "orders", finding, at(0)))
    assert said.endswith(
        "with the reason of_a_newer_version. This version does not know the reason"
    )


@pytest.mark.parametrize("rule", ["dead_letters", "new_reason"])
@pytest.mark.parametrize(
    ("reason", "to_do", "waits"),
    [
        ("invalid_source", "to send these conversions again", True),
        ("missing_key", "to load these rows again", True),
        ("refused_by_api", "Ask your account manager at LiveIntent", True),
        ("no_identity", "A replay cannot send these conversions", False),
        ("event_too_old", "LiveIntent no longer accepts these conversions", False),
        ("mapping_failed", "to load these rows again", False),
    ],
    ids=[
        "a setting",
        "an ID to map",
        "refused by the API",
        "no identity",
        "too old",
        "an expression failed",
    ],
)
def test_who_acts_on_dead_letters_depends_on_their_reason(
    rule: str, reason: str, to_do: str, *, waits: bool
) -> None:
    """Nobody is asked to send what cannot be sent, or to fix what only LiveIntent can explain."""
    finding = Finding(reason if rule == "new_reason" else "", 40, main_reason=reason)
    said = headline_after(Ending(), unusual=[Unusual(rule, "orders", finding, at(0))]).to_do
    assert to_do in said
    assert ("LiveIntent accepts the first of these conversions until" in said) == waits


@pytest.mark.parametrize("stream", ["orders", "shop: orders", "the API denied access: x"])
def test_the_name_of_a_stream_changes_no_headline(stream: str) -> None:
    """Another loader has succeeded since its stream failed, so that the words name the stream."""
    denied = failed(FailureCode.ACCESS_DENIED)
    runs = [
        *daily(20, 1),
        run(at(0, 9), ending=denied, streams={stream: shop(0)}),
        run(at(0), streams={"visits": shop()}),
    ]
    found = overview(runs)
    assert f"The last run of {stream} failed: " in words.cause_words(
        causes_in(found)[0], found.as_of
    )
    assert headline_of(found).said == "LiveIntent refused the access key."


def test_other_words_change_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same headlines come of the same codes, whatever the log and the report say of them."""

    def headlines() -> list[tuple[str, ...]]:
        endings = [Ending(error.failure) for error, *_ in DELIVERY_FAILURES.values()]
        unusual = [[Unusual(rule, "orders", Finding(count=40), at(0))] for rule in RULES]
        after = [
            *map(headline_after, endings),
            *(headline_after(Ending(), unusual=found) for found in unusual),
        ]
        return [(one.status, one.said, one.to_do) for one in after]

    before = headlines()
    monkeypatch.setattr(
        failures, "FAILURE_WORDS", dict.fromkeys(FailureCode, lambda _: "the API: denied")
    )
    other_words = words.RuleWords(fact=lambda _: "failed: x", check=lambda _: "failed: x")
    monkeypatch.setattr(words, "RULE_WORDS", dict.fromkeys(RULES, other_words))
    assert DELIVERY_FAILURES["an outage"][0].failure.words == "the API: denied"
    assert headlines() == before
    assert len({said for _, said, _ in before}) == 13


def test_after_a_kill_it_is_said_how_meltano_starts_again() -> None:
    """Meltano refuses a job for five minutes if it was killed itself."""
    killed = overview([*daily(20, 1), run(at(0), ending=failed(FailureCode.KILLED))])
    denied = overview([*daily(20, 1), run(at(0), ending=failed(FailureCode.ACCESS_DENIED))])
    assert "`meltano run --force …`" in health_line(killed)
    assert "--force" not in health_line(denied)


def test_an_old_failure_is_read_in_new_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The history has the code and the facts of a failure, and no sentence."""
    stored = msgspec.json.encode(run(at(0), ending=failed(FailureCode.OUTAGE, max_retry_seconds=9)))
    assert b"accepted nothing" not in stored
    new_words = {FailureCode.OUTAGE: "LiveIntent was away for {max_retry_seconds} s".format_map}
    monkeypatch.setattr(failures, "FAILURE_WORDS", new_words)
    read = msgspec.json.decode(stored)["ending"]["failure"]
    assert msgspec.convert(read, Failure).words == "LiveIntent was away for 9 s"

"""The exceptions that end a run carry a failure: a code, and facts, of which its words are made."""

import pickle

import pytest

from target_liveintent.errors import ConfigurationError, InputError, OutageError, RunError
from target_liveintent.failures import Failure, FailureCode


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (RunError, FailureCode.OTHER),
        (ConfigurationError, FailureCode.CONFIGURATION),
        (InputError, FailureCode.INPUT),
    ],
    ids=["any", "configuration", "input"],
)
def test_a_text_gets_the_code_of_its_exception(kind: type[RunError], code: FailureCode) -> None:
    """What has happened is read in full, whatever it looks like."""
    error = kind("line 3: {not} a {name}")
    assert (error.failure.code, str(error)) == (code, "line 3: {not} a {name}")


def test_an_exception_keeps_its_failure_on_the_way_from_another_process() -> None:
    """Spark sends the exception of a task to its driver."""
    failure = Failure.of(FailureCode.STOPPED_WHILE_SENDING, batches=3)
    error = pickle.loads(pickle.dumps(OutageError(failure)))  # noqa: S301 (made here)
    assert isinstance(error, OutageError)
    assert error.failure == failure
    assert str(error) == "the run was stopped while it was still sending batches (3)"


def test_the_facts_of_a_rejected_record_that_are_not_known_are_left_out() -> None:
    known = {"stream": "orders", "event_id": "7", "reason": "no_identity"}
    some, more = (
        Failure.of(FailureCode.RECORD_REJECTED, **known, **others).words
        for others in ({"column": None, "detail": None}, {"column": "md5", "detail": "too short"})
    )
    assert some.startswith("a record of stream 'orders' (event ID 7) was rejected as no_identity,")
    assert "(event ID 7, column md5) was rejected as no_identity (too short), and" in more

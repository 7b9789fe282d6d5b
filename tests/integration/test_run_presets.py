"""Presets in the running target: records in their taps' shapes, to the sandbox and its rules."""

import time
from typing import Any

import pytest
from integration_support import Launcher, Message, Running, schema, state
from preset_records import Record, Sample, changed, sample

from target_liveintent.mapping.presets import PRESETS
from target_liveintent.sandbox import Sandbox

NAMES = list(PRESETS)


def messages(of: Sample, *records: Record) -> list[Message]:
    """A tap's output; Stripe's way to type a root included."""
    opening = schema(of.stream, of.record, of.keys)
    opening["schema"]["type"] = ["null", "object"]
    rows = [{"type": "RECORD", "stream": of.stream, "record": record} for record in records]
    return [opening, *rows, state({"done": True})]


def run(target: Launcher, of: Sample, name: str, *records: Record, **settings: Any) -> Running:
    """A run over records of a preset's stream, with no setting that could fill in for it."""
    done = target.run(
        *messages(of, *records),
        **{"presets": {of.stream: name}, "default_source": ..., **settings},
    )
    assert done.summary["total"].adds_up
    return done


def arrived(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The events that arrived, without their pixel."""
    events = [dict(event) for event in sandbox.events]
    assert {event.pop("pixelId") for event in events} <= {12345}
    return events


DROPPED: dict[str, dict[str, Any]] = {
    "shopify": {"displayFinancialStatus": "VOIDED"},
    "shopify_rest": {"cancelled_at": "2026-07-31T21:51:39-04:00"},
    "salesforce_opportunity": {"IsWon": False},
    "salesforce_lead": {"IsDeleted": True},
    "stripe_charges": {"status": "failed"},
    "postgres_orders": {"status": "pending"},
}
GUEST: dict[str, dict[str, Any]] = {
    "shopify": {"email": "", "customer": None, "customerJourneySummary": None},
    "shopify_rest": {"email": "", "contact_email": None, "customer": ..., "landing_site": None},
    "salesforce_opportunity": {"Contact_Email__c": None, "LI_Decision_Id__c": None},
    "salesforce_lead": {"Email": None},
    "stripe_charges": {"receipt_email": None, "billing_details.email": None, "metadata": {}},
    "postgres_orders": {"customer_email": None, "landing_url": None},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_preset(target: Launcher, sandbox: Sandbox, name: str) -> None:
    """Of a tap's records, conversions arrive as they are meant, by the API's rules.

    A record that is no conversion is filtered, one of nobody is a dead letter, and a run warns of
    nothing: enough records come for it to judge whether a column identifies anybody.
    """
    of = sample(name, time.time())
    count = 60
    records = [changed(of.record, {of.keys[0]: f"{n}"}) for n in range(count)]
    others = [changed(of.record, DROPPED[name]), changed(of.record, GUEST[name])]
    done = run(target, of, name, *records, *others)
    assert (done.code, done.states, done.warnings) == (0, [{"done": True}], [])
    counts = done.summary[of.stream]
    assert (counts.filtered, counts.delivered, counts.reasons) == (1, count, {"no_identity": 1})
    assert arrived(sandbox) == [{**of.event, "eventId": f"{n}"} for n in range(count)]

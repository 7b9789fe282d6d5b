"""Presets in the running target: records in their taps' shapes, to the sandbox and its rules."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from integration_support import schema, state
from preset_records import changed, sample

from target_liveintent.mapping import presets
from target_liveintent.mapping.presets import PRESETS

if TYPE_CHECKING:
    from integration_support import Launcher, Message, Running
    from preset_records import Record, Sample

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


def test_each_preset_has_its_records() -> None:
    """A new preset has a record that it drops, and one of somebody who is not known."""
    assert set(DROPPED) == set(GUEST) == set(NAMES)


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


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_printed(target: Launcher, sandbox: Sandbox, name: str) -> None:
    """The command needs no settings; what it prints, pasted, does the same as the preset."""
    printed = target.command("preset", name, forks=target.forks).wait()
    assert printed.code == 0
    assert printed.stdout + "\n" == presets.preset_text(name)
    of = sample(name, time.time())
    pasted = yaml.safe_load(printed.stdout)
    assert run(target, of, name, of.record, presets=..., **pasted).code == 0
    assert arrived(sandbox) == [of.event]


def test_money(target: Launcher, sandbox: Sandbox) -> None:
    """Minor units by the currency, exact in the request; nothing where it is not known."""
    of = sample("stripe_charges", time.time())
    currencies = ["usd", "jpy", "kwd", None]
    records = [{**of.record, "id": f"ch_{c}", "currency": c} for c in currencies]
    assert run(target, of, "stripe_charges", *records).code == 0
    money = [
        (event["purchaseData"].get("currency"), event["purchaseData"].get("value"))
        for event in arrived(sandbox)
    ]
    assert money == [("USD", 125.5), ("JPY", 12550), ("KWD", 12.55), (None, None)]


def test_who_opted_out_is_not_sent(target: Launcher, sandbox: Sandbox) -> None:
    """Nor is who does not say; neither is kept."""
    of = sample("salesforce_lead", time.time())
    records = [{**of.record, "HasOptedOutOfEmail": said} for said in (True, None)]
    done = run(target, of, "salesforce_lead", *records)
    assert done.summary["total"].drops == {"no_consent": 2}
    assert (arrived(sandbox), done.letters) == ([], [])


def test_from_the_environment(target: Launcher, sandbox: Sandbox) -> None:
    """The setting is JSON there; the user's own map of the stream goes first."""
    of = sample("shopify", time.time())
    own = {"orders": {"order_id": "legacyResourceId", "ip": "__NULL__"}}
    env = {"TARGET_LIVEINTENT_PRESETS": json.dumps({"orders": "shopify"})}
    config = target.config(default_source=..., stream_maps=own)
    done = target.command("--config", str(config), env=env, forks=target.forks)
    done.send(*messages(of, of.record)).close_input().wait()
    assert done.code == 0, done.log
    changes = {"purchaseData.orderId": of.record["legacyResourceId"], "userData.ip": ...}
    assert arrived(sandbox) == [changed(of.event, changes)]


def test_a_preset_is_suggested(target: Launcher, sandbox: Sandbox) -> None:
    """A stream that can give no event is recognised, and what the message says would do."""
    of = sample("shopify", time.time())
    done = target.run(*messages(of, of.record), default_source=...)
    assert done.code == 1
    offer = "`presets: {orders: shopify}`"
    assert offer in done.last_line
    assert "`target-liveintent preset shopify`." in done.last_line
    given = yaml.safe_load(offer.strip("`"))
    assert run(target, of, "shopify", of.record, **given).code == 0
    assert arrived(sandbox) == [of.event]


def test_what_a_preset_cannot_do(target: Launcher) -> None:
    """The pixel is the account's: a preset is suggested with it, and never twice."""
    of = sample("shopify", time.time())
    done = target.run(*messages(of), pixel_id=...)
    assert "`presets: {orders: shopify}`, and also pixel_id (column or" in done.last_line
    done = target.run(*messages(of), presets={"orders": "shopify"}, pixel_id=...)
    assert done.code == 1
    assert "it lacks pixel_id (column or setting)" in done.log
    assert "would do" not in done.log
    assert done.last_line.endswith("Set pixel_id (TARGET_LIVEINTENT_PIXEL_ID in the environment).")

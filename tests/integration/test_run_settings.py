"""The settings of a run: from the environment, wrong, for a dry run, and who must not be sent."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from faulty_server import FaultyServer
from integration_support import (
    SETTINGS,
    TOKEN,
    WITH_ID,
    Launcher,
    batch,
    lines,
    numbered,
    order,
    orders,
    schema,
    state,
)
from ledger_claims import ask, read_letters
from object_store import Store
from run_counts import RunCounts

from target_liveintent.config import SCHEMA
from target_liveintent.sandbox import Sandbox

# Environment variables


def test_environment(to_server: Launcher, server: FaultyServer) -> None:
    """Every setting can come from the environment, stream maps as JSON."""
    settings = {
        "customer_id": SETTINGS["customer_id"],
        "auth_token_path": "token-of-env",
        "api_url": server.url + "/{customer_id}/events",
        "pixel_id": 777,
        "default_source": "offline",
        "timezone": "America/New_York",
        "email_normalization": "all_domains",
        "source_url_parameters": "attribution",
        "batch_size_rows": 2,
        "max_concurrent_requests": 1,
        "max_requests_per_minute": 1_000_000,
        "flush_interval_seconds": 5,
        "request_timeout_seconds": 3,
        "max_retry_seconds": 1,
        "on_rejection": "dead_letter",
        "max_dead_letter_percent": 100,
        "store": "store-of-env.sqlite",
        "keep_delivered": True,
        "suppression_path": "suppressed-by-env.txt",
        "report_path": "report-of-env.html",
        "metrics_path": "metrics-of-env.prom",
        "history_days": 30,
        "validate_records": True,
        "dry_run": False,
        "presets": {"other-orders": "shopify"},
        "stream_maps": {
            "orders": {
                "event_id": "config['prefix'] + str(id)",
                "event_time": "event_time",
                "email": "email",
                "__else__": "__NULL__",
            }
        },
        "stream_map_config": {"prefix": "web-"},
    }
    assert settings.keys() == SCHEMA["properties"].keys() - {
        "auth_token",
        "limit",  # It would bar STATE.
    }
    (to_server.folder / "token-of-env").write_text(SETTINGS["auth_token"])
    (to_server.folder / "suppressed-by-env.txt").write_text("gone@example.com\n")
    # Twenty days ago, which only the source offline allows, in New York's own time.
    local = (dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=20)).replace(microsecond=0)
    columns = {"event_time": local.strftime("%Y-%m-%d %H:%M:%S"), "email": "J.D+x@Example.com"}
    env = {
        f"TARGET_LIVEINTENT_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }
    run = to_server.command(env=env, forks=to_server.forks).send(
        schema("orders", ("event_time", "email"), id={"type": "integer"}),
        *(order(n, **columns) for n in range(3)),
        order("four", **columns),
        order(5, **columns | {"email": "gone@example.com"}),
        order(0, **columns),
        state(1),
    )
    run.close_input().wait()
    assert (run.code, run.states) == (0, [1])
    counts = RunCounts.read(run.folder / "metrics-of-env.prom")
    assert counts.streams["orders"].drops == {"suppressed": 1, "already_sent": 1}
    assert (to_server.folder / "report-of-env.html").exists()
    assert [p.path for p in server.requests] == ["/a-1b2c/events"] * 2
    assert server.busiest == 1
    event = server.requests[0].events[0]
    assert (event["eventId"], event["pixelId"], event["source"]) == ("web-0", 777, "offline")
    assert event["eventTime"] - int(local.timestamp()) in {4 * 3600, 5 * 3600}
    assert event["userData"]["md5"] == hashlib.md5(b"jd@example.com").hexdigest()  # noqa: S324
    store = to_server.folder / "store-of-env.sqlite"
    (letter,) = read_letters(store)
    assert letter["reason"] == "schema_violation"
    assert len(ask(store, "SELECT * FROM delivered")) == 3


# A configuration file


def test_wrong_settings(target: Launcher, sandbox: Sandbox) -> None:
    """Wrong settings end the run with exit 2 before any input, in one line that names them all."""
    wrong: dict[str, Any] = {
        "customer_id": ...,
        "auth_token": "s3cr3t\r\nX-Evil: 1",
        "on_rejection": "s3cr3t",
        "store": "s3cr3t/own.sqlite",
        "ledger_path": "s3cr3t.sqlite",
        "stream_maps": {"orders": {"email": "s3cr3t token"}},
        "api_url": "https://*.s3cr3t.example.com",
    }
    run = target.start(**wrong).wait(8)  # Standard input is still open and empty.
    assert (run.code, run.stdout, sandbox.stats.requests) == (2, "", 0)
    assert len([line for line in run.err if "INFO" not in line]) == 1
    assert all(f"'{name}" in run.last_line for name in wrong)
    assert not [word for word in ("s3cr3t", TOKEN, "Traceback") if word in run.log]
    assert not target.store.exists()


def test_dry_run(target: Launcher, sandbox: Sandbox) -> None:
    """A dry run posts nothing, writes no STATE and no letters, and shows events and summary.

    It says "would be", and not where dead letters are.
    """
    messages = numbered(20)
    messages[3]["record"]["event_time"] = "?"
    run = target.run(schema(columns=WITH_ID), *messages, state(1), dry_run=True)
    assert (run.code, run.stdout, sandbox.stats.requests) == (0, "", 0)
    assert not target.store.exists()
    shown = [
        json.loads(found)
        for found in re.findall(r"INFO .*?(\{\"eventId.*\})$", run.log, re.MULTILINE)
    ]
    assert [e["eventId"] for e in shown[:3]] == ["order-0", "order-1", "order-2"]
    first = messages[0]["record"]
    assert shown[0] == {
        "eventId": "order-0",
        "eventTime": first["event_time"],
        "pixelId": 12345,
        "source": "web",
        "userData": {
            "md5": hashlib.md5(first["email"].encode()).hexdigest(),  # noqa: S324
            "sha2": hashlib.sha256(first["email"].encode()).hexdigest(),
        },
        "purchaseData": {"currency": "USD", "value": 12.5},
    }
    assert "@" not in run.log
    assert TOKEN not in run.log
    total = run.summary["total"]
    assert (total.read, total.reasons, total.adds_up) == (20, {"invalid_event_time": 1}, True)
    (*_, line) = [text for text in run.texts if text.startswith("total: read 20, ")]
    assert "would be delivered 19, would be dead-lettered 1 (invalid_event_time 1)" in line
    assert run.texts[-1].startswith("invalid_event_time 1: ")
    assert "dead letters are in" not in run.log


# Who must not be sent

COLUMNS = ("id", "event_time", "email", "value", "consent")


def sha2(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_never_a_letter_and_never_an_end(target: Launcher, sandbox: Sandbox) -> None:
    """Whatever else is wrong with such a record, it is dropped, counted, and the run goes on."""
    (target.folder / "people.txt").write_text("gone@example.com\n")
    wrong: list[dict[str, Any]] = [
        {},
        {"event_time": "soon"},
        {"event_time": "2019-01-01"},
        {"source": "pos"},
        {"pixel_id": "x"},
        {"id": ...},
        {"value": ["no number"]},
    ]
    no = [False, None, ..., "", "no", "maybe", ["yes"]]
    pairs = enumerate(zip(no, wrong, strict=True))
    bad = [order(n, **{"id": n, "consent": consent, **one}) for n, (consent, one) in pairs]
    gone = {"email": "gone@example.com", "consent": "yes"}
    bad += [order(n, **{"id": n, **gone, **one}) for n, one in enumerate(wrong)]
    run = target.run(
        schema("orders", (*COLUMNS, "source", "pixel_id"), value={"type": "number"}),
        *bad * 20,
        *orders(100, 103, consent="yes"),
        state(1),
        validate_records=True,
        suppression_path="people.txt",
        on_rejection="fail",
    )
    assert (run.code, run.states) == (0, [1]), run.log
    total = run.summary["total"]
    assert (total.delivered, total.reasons) == (3, {})
    assert total.drops == dict.fromkeys(("no_consent", "suppressed"), len(wrong) * 20)
    assert total.adds_up
    assert run.letters == []
    sent = {event["userData"]["sha2"] for event in sandbox.events}
    assert sent == {sha2(f"buyer{n}@example.com") for n in range(100, 103)}
    assert "consent" not in json.dumps(sandbox.events)
    assert not any(sha2(f"{who}@example.com") in run.log for who in ("gone", "buyer0", "buyer100"))


# Files in S3, by moto: the list of people, and BATCH files

SESSION = "made-up-session-token"
LOGGERS = ("botocore", "botocore.auth", "botocore.endpoint", "s3fs", "urllib3", "fsspec")
BUCKET = "files"


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    """Serve S3 with a list of people and a BATCH file."""
    store = Store()
    store.client.create_bucket(Bucket=BUCKET)
    objects = {
        "people.txt": b"buyer1@example.com\n",
        "rows.jsonl": lines(one["record"] for one in orders(3)),
    }
    for key, content in objects.items():
        store.client.put_object(Bucket=BUCKET, Key=key, Body=content)
    yield store
    store.close()


@pytest.mark.parametrize("configured", [False, True])
def test_what_is_read(target: Launcher, sandbox: Sandbox, s3: Store, configured: bool) -> None:
    """Neither keys nor signed headers are logged, also if the log is asked for all there is."""
    env = {**s3.environment, "AWS_SESSION_TOKEN": SESSION, "TARGET_LIVEINTENT_LOGLEVEL": "DEBUG"}
    if configured:
        config = {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"all": {"class": "logging.StreamHandler"}},
            "loggers": {name: {"level": "DEBUG", "handlers": ["all"]} for name in LOGGERS},
        }
        (target.folder / "log.yml").write_text(json.dumps(config))
        env["SINGER_SDK_LOG_CONFIG"] = str(target.folder / "log.yml")
    target.forks = None  # A process of its own begins with the log as the environment says.
    messages = (schema(), batch(f"s3://{BUCKET}/rows.jsonl"), state(1))
    run = target.run(*messages, suppression_path=f"s3://{BUCKET}/people.txt", env=env)
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 2), run.log
    assert run.summary["orders"].drops == {"suppressed": 1}
    for secret in (SESSION, "made-up-secret", "made-up-key", "AWS4-HMAC", "X-Amz", "x-amz"):
        assert secret not in run.log
    assert not list(target.folder.glob("s3*"))

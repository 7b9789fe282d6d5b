"""The settings of a run: from the environment, wrong, for a dry run, and who must not be sent."""

import datetime as dt
import gzip
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
from object_store import Store
from run_counts import RunCounts
from store_tables import ask, read_letters

from target_liveintent.config import SETTINGS_SCHEMA
from target_liveintent.sandbox import Sandbox


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
        "partial_answer": "processed",
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
    assert settings.keys() == SETTINGS_SCHEMA["properties"].keys() - {
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
    run = to_server.command(env=env, forked=True).send(
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


def test_wrong_settings(target: Launcher, sandbox: Sandbox) -> None:
    """Wrong settings end the run with exit 2 before any input, in one line that names them all."""
    wrong: dict[str, Any] = {
        "customer_id": ...,
        "auth_token": "s3cr3t\r\nX-Evil: 1",
        "on_rejection": "s3cr3t",
        "store": "s3cr3t/own.sqlite",
        "stream_maps": {"orders": {"email": "s3cr3t token", "_filter_": "s3cr3t"}},
        "api_url": "https://*.s3cr3t.example.com",
        "supression_path": "s3cr3t",
    }
    env = {"TARGET_LIVEINTENT_LIMT": "s3cr3t"}
    run = target.start(**wrong, env=env).wait(8)  # Standard input is still open and empty.
    assert (run.code, run.stdout, sandbox.stats.requests) == (2, "", 0)
    assert len([line for line in run.err if "INFO" not in line]) == 1
    names = (*wrong, "stream_maps.orders._filter_", *env)
    assert all(f"'{name}" in run.last_line for name in names)
    assert not [word for word in ("s3cr3t", TOKEN, "Traceback") if word in run.log]
    assert not target.store.exists()


def test_dry_run(target: Launcher, sandbox: Sandbox) -> None:
    """A dry run posts nothing, writes no STATE and no letters, and shows events and summary."""
    messages = numbered(20)
    messages[3]["record"]["event_time"] = "?"
    how = {"dry_run": True, "batch_size_rows": 2, "max_concurrent_requests": 1}
    run = target.run(schema(columns=WITH_ID), *messages, state(1), **how)
    assert (run.code, run.stdout, sandbox.stats.requests) == (0, "", 0)
    assert not target.store.exists()
    shown = re.findall(r"INFO .*?(\{\"eventId.*\})$", run.log, re.MULTILINE)
    assert [json.loads(e)["eventId"] for e in shown] == [f"order-{n}" for n in (0, 1, 2, 4, 5)]
    assert not [secret for secret in ("@", TOKEN) if secret in run.log]
    total = run.summary["total"]
    assert (total.read, total.reasons, total.adds_up) == (20, {"invalid_event_time": 1}, True)
    (*_, line) = [text for text in run.texts if text.startswith("total: read 20, ")]
    assert "would be delivered 19, would be dead-lettered 1 (invalid_event_time 1)" in line
    assert run.texts[-1].startswith("invalid_event_time 1: ")


# Files in S3, by moto: the list of people, and a BATCH file

SESSION = "made-up-session-token"
LOGGERS = ("botocore", "botocore.auth", "botocore.endpoint", "s3fs", "urllib3", "fsspec")


@pytest.fixture
def s3() -> Iterator[Store]:
    """Serve S3 with a list of people and a compressed BATCH file."""
    store = Store()
    store.client.create_bucket(Bucket="files")
    rows = gzip.compress(lines(one["record"] for one in orders(250)))
    for key, content in {"people.txt": b"buyer1@example.com\n", "rows.jsonl.gz": rows}.items():
        store.client.put_object(Bucket="files", Key=key, Body=content)
    yield store
    store.close()


def test_what_is_read(target: Launcher, sandbox: Sandbox, s3: Store) -> None:
    """Neither keys nor signed headers are logged, also if the log is asked for all there is."""
    env = {**s3.environment, "AWS_SESSION_TOKEN": SESSION, "TARGET_LIVEINTENT_LOGLEVEL": "DEBUG"}
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"all": {"class": "logging.StreamHandler"}},
        "loggers": {name: {"level": "DEBUG", "handlers": ["all"]} for name in LOGGERS},
    }
    (target.folder / "log.yml").write_text(json.dumps(config))
    env["SINGER_SDK_LOG_CONFIG"] = str(target.folder / "log.yml")
    target.forked = False  # A process of its own begins with the log as the environment says.
    maps = {"orders": {"__filter__": "id > 0"}}
    given = {"suppression_path": "s3://files/people.txt", "stream_maps": maps, "env": env}
    rows = batch("s3://files/rows.jsonl.gz", compression="gzip")
    run = target.run(schema(), rows, state(1), **given)
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 248), run.log
    counts = run.summary["orders"]
    assert (counts.read, counts.filtered, counts.drops) == (250, 1, {"suppressed": 1})
    for secret in (SESSION, "made-up-secret", "made-up-key", "AWS4-HMAC", "X-Amz", "x-amz"):
        assert secret not in run.log
    assert not list(target.folder.glob("s3*"))

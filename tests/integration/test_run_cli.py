"""The command line and the settings."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from integration_support import (
    SETTINGS,
    TOKEN,
    WITH_ID,
    numbered,
    order,
    read_letters,
    read_store,
    schema,
    state,
)
from run_counts import RunCounts

from target_liveintent.config import SCHEMA

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher, Running

    from target_liveintent.sandbox import Sandbox


# Environment variables


def env_of(settings: dict[str, Any]) -> dict[str, str]:
    return {
        f"TARGET_LIVEINTENT_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }


def with_env(target: Launcher, settings: dict[str, Any], *messages: Any) -> Running:
    run = target.command(env=env_of(settings), forks=target.forks)
    return run.send(*messages).close_input().wait()


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
    run = with_env(
        to_server,
        settings,
        schema("orders", ("event_time", "email"), id={"type": "integer"}),
        *(order(n, **columns) for n in range(3)),
        order("four", **columns),
        order(5, **columns | {"email": "gone@example.com"}),
        order(0, **columns),
        state(1),
    )
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
    assert len(read_store(store, "SELECT * FROM delivered")) == 3


# Wrong settings (`tests/unit/config/test_checks.py` has the table of all of them)


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
    assert len([line for line in run.err if "INFO" not in line.text]) == 1
    assert all(f"'{name}" in run.last_line for name in wrong)
    assert not [word for word in ("s3cr3t", TOKEN, "Traceback") if word in run.log]
    assert not target.store.exists()


def test_two_config_files(target: Launcher, sandbox: Sandbox) -> None:
    """Files are merged; a setting that does nothing is warned about, and the near one is named."""
    (target.folder / "more.json").write_text('{"pixel_id": 99, "batch_size_row": "s3cr3t"}')
    options = ("--config", str(target.config()), "--config", "more.json")
    run = target.command(*options, forks=target.forks).send(schema(), order(1)).close_input()
    assert run.wait().code == 0
    assert [e["pixelId"] for e in sandbox.events] == [99]
    (warning,) = run.warnings
    assert "'batch_size_row'" in warning
    assert "'batch_size_rows'" in warning
    assert "s3cr3t" not in run.log


# Other settings


def test_dry_run(target: Launcher, sandbox: Sandbox) -> None:
    """A dry run posts nothing, writes no STATE and no letters, and shows events and summary."""
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

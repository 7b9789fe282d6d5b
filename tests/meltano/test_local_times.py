"""Times without a zone, as the real tap writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from meltano_support import Project
    from postgres_server import Postgres

    from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.slow]


@pytest.mark.postgres
def test_local_times(
    project: Project,
    postgres: Postgres,
    orders: dict[str, str],
    account: dict[str, str],
    sandbox: Sandbox,
) -> None:
    """tap-postgres marks a `timestamp` as UTC: `timezone` counts only with local_time."""
    postgres.sql(
        "DELETE FROM orders WHERE order_no > 100020 OR customer_email IS NULL;"
        " ALTER TABLE orders ALTER paid_at TYPE timestamp"
        " USING paid_at AT TIME ZONE 'America/New_York'"
    )
    moments = postgres.sql(
        "SELECT json_object_agg(id, floor(extract(epoch FROM paid_at AT TIME ZONE"
        " 'America/New_York'))) FROM orders WHERE status = 'paid' AND NOT is_test"
    )
    command = ("run", "--no-install", "--full-refresh", "tap-postgres", "target-liveintent")
    settings = {**orders, **account, "TARGET_LIVEINTENT_TIMEZONE": "America/New_York"}
    settings["TARGET_LIVEINTENT_LEDGER"] = "false"  # The same rows are sent twice.
    warning = "setting 'timezone' has no effect on the event times of public-orders, because "

    done = project.run(*command, **settings)
    assert done.returncode == 0, done.stderr[-3000:]
    assert warning in done.stdout + done.stderr

    sandbox.reset()
    own = {"__else__": "__NULL__", "public-orders": {"event_time": "local_time(get('paid_at'))"}}
    done = project.run(*command, **settings, TARGET_LIVEINTENT_STREAM_MAPS=json.dumps(own))
    assert done.returncode == 0, done.stderr[-3000:]
    assert warning not in done.stdout + done.stderr
    assert {e["eventId"]: e["eventTime"] for e in sandbox.events} == json.loads(moments)

"""The settings of a run in their frozen form, free of the SDK, so that any engine can use them."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import datetime as dt


class EventDefaults(NamedTuple):
    """What the settings say about events.

    Attributes:
        pixel_id: Where the record has none.
        source: Where the record has none.
        zone: The zone of times without one.
        normalization: A key of `NORMALIZATIONS`.
    """

    pixel_id: int | None
    source: str | None
    zone: dt.tzinfo
    normalization: str


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a run, checked and ready to use.

    Attributes:
        url: Where events are posted.
        auth_token: The token; of `auth_token_path`, as it was when the run began.
        events: What the settings say about events.

    The others are described in `config.SCHEMA`.
    """

    customer_id: str
    auth_token: str = dataclasses.field(repr=False)
    auth_token_path: str | None
    api_url: str
    url: str
    events: EventDefaults
    batch_size_rows: int
    max_concurrent_requests: int
    flush_interval_seconds: int
    request_timeout_seconds: int
    max_retry_seconds: int
    fail_on_invalid: bool
    max_dead_letter_percent: int
    dead_letter_path: str
    replay_unconfirmed: bool
    ledger_path: str | None
    suppression_path: str | None
    report_path: str | None
    delivered_path: str | None
    metrics_path: str | None
    validate_records: bool
    dry_run: bool
    limit: int | None


def endpoint(api_url: str, customer_id: str) -> str:
    """The URL that events are posted to."""
    if "{customer_id}" in api_url:
        return api_url.replace("{customer_id}", customer_id)
    return f"{api_url.rstrip('/')}/conversions/{customer_id}"


def report_json(report_path: str) -> str:
    """The file beside the page of the run report."""
    return report_path.removesuffix(".html") + ".json"


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine by its loopback address or name."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

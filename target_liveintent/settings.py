"""The settings of a run: the definition of each, and the frozen object that holds their values.

The JSON schema for `--about` and Meltano (`config.SCHEMA`) and the documentation's tables are
generated from the fields of `Settings`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import ipaddress
import os
import zoneinfo
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit


def setting(description: str, *, default: Any = None, **rules: Any) -> Any:
    """Define a setting as a field of a dataclass, with rules of the JSON schema besides its type.

    None and the empty text stand for no default, `dict` for an empty object; `MISSING` makes the
    setting required.
    """
    metadata = {"description": description, "rules": rules}
    if default is dict:  # Its values may be secret, such as the salt of a hash in a stream map.
        return dataclasses.field(default_factory=dict, repr=False, metadata=metadata)
    return dataclasses.field(default=default, repr="secret" not in rules, metadata=metadata)


GROUPS = {
    "customer_id": "You need these",
    "stream_map_config": "What is sent",
    "batch_size_rows": "Pace",
    "validate_records": "What cannot be sent",
    "store": "Store and reports",
    "api_url": "This run",
}
"""The headings under which people read about the settings, by the first setting of each."""


class EventDefaults(NamedTuple):
    """What the settings supply to an event whose record lacks it.

    Attributes:
        pixel_id: The pixel that the event belongs to.
        source: Where the conversion happened: `web`, `app` or `offline`.
        zone: The time zone of times that are written without one.
        normalization: How addresses are normalized before they are hashed: a key of
            `privacy.NORMALIZATIONS`.
        url_parameters: What stays of the parameters of a page's URL: a key of
            `privacy.URL_PARAMETERS`.
    """

    pixel_id: int | None
    source: str | None
    zone: dt.tzinfo
    normalization: str
    url_parameters: str = "all_but_secrets"


class Account(NamedTuple):
    """Whose events a run sends.

    Attributes:
        customer_id: The setting.
        host: The name of the API's host, without a port.
    """

    customer_id: str
    host: str


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a run, checked and ready to use; `config.settings_of` makes them.

    Each field defines one setting: its name, type, default, rules and description. Where
    `auth_token_path` is set, `auth_token` holds what that file held when the run began.
    """

    customer_id: str = setting(
        "Your LiveIntent customer ID, such as `a-1b2c`. Your account manager gives it to you.",
        default=dataclasses.MISSING,
        pattern="^[a-b]-[0-9a-z]{4}$",  # Source: LiveIntent's guide.
    )
    auth_token: str = setting(
        "The API token. Your account manager gives it to you, and LiveIntent rotates it from time"
        " to time. Required, unless `auth_token_path` is set.",
        default="",
        minLength=1,
        secret=True,
    )
    auth_token_path: str | None = setting(
        "A file or mounted secret with the token, in place of `auth_token`. If the API denies"
        " access, the run reads it again, and continues with a new token.",
        minLength=1,
    )
    pixel_id: int | None = setting(
        "The ID of the pixel for all conversions whose record names no pixel.",
        minimum=1,
        maximum=2**63 - 1,
    )
    default_source: str | None = setting(
        "The source that an event gets if its record has no source."
    )
    presets: Mapping[str, str] = setting(
        "Ready stream maps for known taps, by stream: `{orders: shopify}`. A column that is also"
        " in `stream_maps` is taken from there.",
        default=dict,
    )
    # The SDK's schema of stream maps cannot be used: a part of it is not a valid JSON schema, so
    # that a wrong `__else__` would end in a traceback. `config.checks` checks them instead.
    stream_maps: Mapping[str, Any] = setting(
        "For each stream, how the columns of an event are made, and which records are left out:"
        " https://sdk.meltano.com/en/latest/stream_maps.html",
        default=dict,
        additionalProperties=True,
    )
    stream_map_config: Mapping[str, Any] = setting(
        "Values that stream maps use, as `config['name']`.", default=dict, additionalProperties=True
    )
    timezone: str = setting(
        "The time zone of event times without a zone, as an IANA name: `America/New_York`.",
        default="UTC",
    )
    email_normalization: str = setting(
        "How an address is normalized before it is hashed: without spaces around it, in lower case,"
        " and with `gmail` also without dots and `+…` if it is at Gmail, with `all_domains`"
        " wherever it is.",
        default="gmail",
    )
    source_url_parameters: str = setting(
        "Which parameters of page URLs are sent: all except secrets (keys, tokens, codes, phone"
        " numbers and the like), only those for attribution (`li_did`, `utm_…`, click IDs such as"
        " `gclid`), or none. A parameter with an e-mail address is never sent.",
        default="all_but_secrets",
    )
    suppression_path: str | None = setting(
        "The path or URL of a file that lists people. The events of these people are never sent."
        " Each line is an e-mail address or the hash of an address.",
        minLength=1,
    )
    batch_size_rows: int = setting(
        "How many events a request may contain at most, 1 to 100.",
        default=100,
        minimum=1,
        maximum=100,  # Source: LiveIntent's guide.
    )
    max_concurrent_requests: int = setting(
        "How many requests may be in flight at the same time, 1 to 256. A run starts with two, and"
        " finds out by itself how many the API accepts.",
        default=64,
        minimum=1,
        maximum=256,
    )
    max_requests_per_minute: int | None = setting(
        "How many requests a run may make in a minute. Set it if LiveIntent has told you a limit."
        " Without it, a run finds out by itself how many requests the API accepts.",
        minimum=1,
    )
    flush_interval_seconds: int = setting(
        "How long an event waits, at most, for its batch to become full.", default=60, minimum=1
    )
    request_timeout_seconds: int = setting(
        "How long a request may take, from connecting to the last byte of its answer.",
        default=30,
        minimum=1,
    )
    max_retry_seconds: int = setting(
        "How long a run continues to retry while the API accepts nothing.", default=300, minimum=0
    )
    validate_records: bool = setting(
        "Check each record against the tap's schema. A record that breaks the schema becomes a dead"
        " letter.",
        default=False,
    )
    on_rejection: str = setting(
        "What a run does with a record that it cannot send: write a dead letter, or fail.",
        default="dead_letter",
        enum=["dead_letter", "fail"],
    )
    max_dead_letter_percent: int = setting(
        "The highest percentage of records that may become dead letters. With more, a run of 100"
        " records or more fails at its end, and one of 1,000 already at the next STATE. A run that"
        " delivers nothing fails from ten dead letters on. 100 turns this off. Records without"
        " an identity and events that are too old do not count.",
        default=50,
        minimum=0,
        maximum=100,
    )
    store: str = setting(
        "Where delivered events, dead letters and the history of runs are: the path of an SQLite"
        " file, or a PostgreSQL database (`postgresql://user@host/database`), which several"
        " machines can share. A run creates what is missing. PostgreSQL needs"
        " `pip install 'target-liveintent[postgres]'`; the password can also come from"
        " `PGPASSWORD` or `~/.pgpass`.",
        default="liveintent.sqlite",
        minLength=1,
        secret=True,
    )
    keep_delivered: bool = setting(
        "Keep a row in the store for each delivered event, so that you can compare these events"
        " with the counts of LiveIntent. The command `delivered` prints them.",
        default=False,
    )
    history_days: int = setting(
        "How many days the store keeps runs, dead letters and delivered events.",
        default=400,
        minimum=1,
    )
    report_path: str | None = setting(
        "The path of the report: one page, such as `liveintent-report.html`, which each run"
        " renews at its end.",
        pattern=r"^.+\.html$",  # So that a browser shows it.
    )
    metrics_path: str | None = setting(
        "A file of metrics for Prometheus's textfile collector, such as `liveintent.prom`. The run"
        " writes it every `flush_interval_seconds`, and at its end.",
        minLength=1,
    )
    api_url: str = setting(
        "The base URL of the API, to which `/conversions/{customer_id}` is appended, unless the"
        " value itself contains `{customer_id}`. Plain http is allowed for loopback only.",
        default="https://conversions.liveintent.com",
    )
    dry_run: bool = setting(
        "Do everything except sending events, and log the first events. A dry run writes no STATE"
        " and changes nothing in the store.",
        default=False,
    )
    limit: int | None = setting(
        "Send only this number of events, then stop. The run writes no STATE, so the next run"
        " reads all records again, and does not send these events again.",
        minimum=1,
    )

    @property
    def url(self) -> str:
        """The URL that events are posted to."""
        return endpoint(self.api_url, self.customer_id)

    @property
    def has_database_server(self) -> bool:
        """Whether the store is a PostgreSQL database, and not a file."""
        return is_url(self.store)

    @functools.cached_property
    def api_host(self) -> str:
        """The name of the host that events are posted to, in lower case and without the port."""
        return urlsplit(self.url).hostname or ""

    @functools.cached_property
    def account(self) -> Account:
        """Whose events are sent."""
        return Account(self.customer_id, self.api_host)

    @functools.cached_property
    def events(self) -> EventDefaults:
        """What the settings supply to an event."""
        return EventDefaults(
            pixel_id=self.pixel_id,
            source=self.default_source,
            zone=zoneinfo.ZoneInfo(self.timezone),
            normalization=self.email_normalization,
            url_parameters=self.source_url_parameters,
        )

    @property
    def fail_on_rejection(self) -> bool:
        """Whether a record that cannot be sent ends the run."""
        return self.on_rejection == "fail"


def endpoint(api_url: str, customer_id: str) -> str:
    """Return the URL that events are posted to."""
    if "{customer_id}" in api_url:
        return api_url.replace("{customer_id}", customer_id)
    return f"{api_url.rstrip('/')}/conversions/{customer_id}"


def in_project(path: str) -> str:
    """Resolve a path of the settings, which starts at the root in a Meltano project."""
    return os.path.join(os.environ.get("MELTANO_PROJECT_ROOT", ""), path)  # noqa: PTH118


def is_url(path: str) -> bool:
    """Return whether a setting for a file holds a URL, such as that of a bucket, and no path."""
    return "://" in path


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine by its loopback address or name."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

"""The settings of a run: the struct `Settings` defines the settings and holds the values.

The JSON schema for `--about` and Meltano (`config.SETTINGS_SCHEMA`), the conversion from texts, the
defaults and the documentation's tables come from this struct.
"""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import zoneinfo
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(min_length=1)]
Secret = Annotated[Text, Meta(extra_json_schema={"secret": True, "writeOnly": True})]
Positive = Annotated[int, Meta(ge=1)]
PartialAnswer = Literal["failed", "processed", "unknown"]
MAX_EVENTS_PER_REQUEST = 100  # Source: LiveIntent's guide.


class EventDefaults(NamedTuple):
    """The values that the settings supply where a record lacks them.

    `zone` applies to times without a zone. `normalization` is a key of `NORMALIZATIONS` (privacy),
    and `url_parameters` is a key of `URL_PARAMETERS`.
    """

    pixel_id: int | None
    source: str | None
    zone: dt.tzinfo
    normalization: str
    url_parameters: str = "all_but_secrets"


class DeliverySettings(NamedTuple):
    """The settings that delivery needs; `Settings` explains each setting."""

    api_url: str
    customer_id: str
    request_timeout_seconds: int
    max_retry_seconds: int
    flush_interval_seconds: int


class Account(NamedTuple):
    """The account of a run: `customer_id`, and the API's host in lower case, without a port."""

    customer_id: str
    host: str

    @property
    def words(self) -> str:
        """The account in words: "a-1b2c at api.example.com"."""
        return f"{self.customer_id} at {self.host}"


class Settings(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The settings of a run, checked and ready to use; `config.settings_of` makes them.

    If `auth_token_path` is set, `auth_token` holds the token that the file had when the run began.
    `--about` and the documentation show the text below, group by group.

    You need these:
        customer_id: Your LiveIntent customer ID, such as `a-1b2c`. Your account manager gives it to
            you.
        auth_token: The API token. Your account manager gives it to you, and LiveIntent rotates it
            from time to time. Required, unless `auth_token_path` is set.
        auth_token_path: A file or mounted secret with the token, in place of `auth_token`. If the
            API denies access, the run reads it again, and continues with a new token.
        pixel_id: The ID of the pixel for all conversions whose record names no pixel.
        default_source: The source that an event gets if its record has no source.
        presets: Ready stream maps for known taps, by stream: `{orders: shopify}`. A column that is
            also in `stream_maps` is taken from there.
        stream_maps: For each stream, how the columns of an event are made, and which records are
            left out: https://sdk.meltano.com/en/latest/stream_maps.html

    What is sent:
        stream_map_config: Values that stream maps use, as `config['name']`.
        timezone: The time zone of event times without a zone, as an IANA name: `America/New_York`.
        email_normalization: How an address is normalized before it is hashed: without spaces around
            it, in lower case, and with `gmail` also without dots and `+…` if it is at Gmail, with
            `all_domains` wherever it is.
        source_url_parameters: Which parameters of page URLs are sent: all except secrets (keys,
            tokens, codes, phone numbers and the like), only those for attribution (`li_did`,
            `utm_…`, click IDs such as `gclid`), or none. A parameter with an e-mail address is
            never sent.
        suppression_path: The path or URL of a file that lists people. The events of these people
            are never sent. Each line is an e-mail address or the hash of an address.

    Pace:
        batch_size_rows: How many events a request may contain at most, 1 to 100.
        max_concurrent_requests: How many requests may be in flight at the same time, 1 to 256. A
            run starts with two, and finds out by itself how many the API accepts.
        max_requests_per_minute: How many requests a run may make in a minute. Set it if LiveIntent
            has told you a limit. Without it, a run finds out by itself how many requests the API
            accepts.
        flush_interval_seconds: How long an event waits, at most, for its batch to become full.
        request_timeout_seconds: How long a request may take, from connecting to the last byte of
            its answer.
        max_retry_seconds: How long a run continues to retry while the API accepts nothing.

    What cannot be sent:
        validate_records: Check each record against the tap's schema. A record that breaks the
            schema becomes a dead letter.
        on_rejection: What a run does with a record that it cannot send: write a dead letter, or
            fail.
        max_dead_letter_percent: The highest percentage of records that may become dead letters.
            Above it, a run of 100 records or more fails at its end, and a run of 1,000 at the next
            STATE. A run that delivers nothing fails from ten dead letters on. 100 turns this off.
            Records without an identity and events that are too old do not count.
        partial_answer: Which events the IDs in an answer 200 name: events that `failed` (a run
            assumes this with a WARNING until you set it), events that the API `processed`, or
            `unknown`. With `processed`, all other events become dead letters (`not_processed`);
            with `unknown`, all events (`unconfirmed`).

    Store and reports:
        store: Where delivered events, dead letters and the history of runs are: the path of an
            SQLite file, or a PostgreSQL database (`postgresql://user@host/database`), which several
            machines can share. A run creates what is missing. PostgreSQL needs `pip install
            'target-liveintent[postgres]'`; the password can also come from `PGPASSWORD` or
            `~/.pgpass`.
        keep_delivered: Keep a row in the store for each delivered event, so that you can compare
            these events with the counts of LiveIntent. The command `delivered` prints them.
        history_days: How many days the store keeps runs, dead letters and delivered events.
        report_path: The path of the report: one page, such as `liveintent-report.html`, which each
            run renews at its end.
        metrics_path: A file of metrics for Prometheus's textfile collector, such as
            `liveintent.prom`. The run writes it every `flush_interval_seconds`, and at its end.

    This run:
        api_url: The base URL of the API, to which `/conversions/{customer_id}` is appended, unless
            the value itself contains `{customer_id}`. Plain http is allowed for loopback only.
        dry_run: Do everything except sending events, and log the first events. A dry run writes no
            STATE and changes nothing in the store.
        limit: Send only this number of events, then stop. The run writes no STATE, so the next run
            reads all records again, and does not send these events again.
    """

    customer_id: Annotated[str, Meta(pattern="^[a-b]-[0-9a-z]{4}$")]  # Source: LiveIntent's guide.
    auth_token: Secret = ""
    auth_token_path: Text | None = None
    pixel_id: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    default_source: Literal["web", "app", "offline"] | None = None
    # The SDK's schema of stream maps cannot be used: a part of it is not a valid JSON schema, so a
    # wrong `__else__` would end in a traceback. `mapping.map_settings` checks stream maps instead.
    presets: Mapping[str, Any] = {}
    stream_maps: Mapping[str, Any] = {}
    stream_map_config: Mapping[str, Any] = {}
    timezone: str = "UTC"
    email_normalization: Literal["gmail", "all_domains", "lowercase"] = "gmail"
    source_url_parameters: Literal["all_but_secrets", "attribution", "none"] = "all_but_secrets"
    suppression_path: Text | None = None
    batch_size_rows: Annotated[int, Meta(ge=1, le=MAX_EVENTS_PER_REQUEST)] = MAX_EVENTS_PER_REQUEST
    max_concurrent_requests: Annotated[int, Meta(ge=1, le=256)] = 64
    max_requests_per_minute: Positive | None = None
    flush_interval_seconds: Positive = 60
    request_timeout_seconds: Positive = 30
    max_retry_seconds: Annotated[int, Meta(ge=0)] = 300
    validate_records: bool = False
    on_rejection: Literal["dead_letter", "fail"] = "dead_letter"
    max_dead_letter_percent: Annotated[int, Meta(ge=0, le=100)] = 50
    partial_answer: PartialAnswer | None = None
    store: Secret = "liveintent.sqlite"
    keep_delivered: bool = False
    history_days: Positive = 400
    report_path: Annotated[str, Meta(pattern=r"^.+\.html$")] | None = None  # As browsers expect.
    metrics_path: Text | None = None
    api_url: str = "https://conversions.liveintent.com"
    dry_run: bool = False
    limit: Positive | None = None

    def __repr__(self) -> str:
        """Show nothing that could be secret: maps may hold a salt, and URLs a password."""
        return f"Settings(customer_id={self.customer_id!r})"

    @property
    def url(self) -> str:
        """The URL that events are posted to."""
        if "{customer_id}" in self.api_url:
            return self.api_url.replace("{customer_id}", self.customer_id)
        return f"{self.api_url.rstrip('/')}/conversions/{self.customer_id}"

    @property
    def has_database_server(self) -> bool:
        """Whether the store is a PostgreSQL database, and not a file."""
        return is_url(self.store)

    @functools.cached_property
    def account(self) -> Account:
        """The account whose events a run sends."""
        return Account(self.customer_id, urlsplit(self.url).hostname or "")

    @property
    def delivery(self) -> DeliverySettings:
        """The settings that delivery needs."""
        return DeliverySettings(
            self.api_url,
            self.customer_id,
            self.request_timeout_seconds,
            self.max_retry_seconds,
            self.flush_interval_seconds,
        )

    @functools.cached_property
    def events(self) -> EventDefaults:
        """The values that the settings supply to an event."""
        zone, url_parameters = zoneinfo.ZoneInfo(self.timezone), self.source_url_parameters
        return EventDefaults(
            self.pixel_id, self.default_source, zone, self.email_normalization, url_parameters
        )


def is_url(path: str) -> bool:
    """Return whether the setting of a file holds a URL, such as a bucket's URL, and not a path."""
    return "://" in path


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine by its loopback address or name."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

"""The settings of a run. The struct `Settings` defines all settings, and contains their values.

The JSON schema (`config.SETTINGS_SCHEMA`), the conversion from texts, the defaults and the tables
in the documentation are generated from this struct.
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
    """The settings that the conversion of a record to an event needs.

    Attributes:
        pixel_id: The pixel ID of events whose record has none.
        source: The source of events whose record has none.
        zone: The time zone of times without a zone.
        normalization: A key of `NORMALIZATIONS` in `privacy`: how addresses are normalized.
        url_parameters: A key of `URL_PARAMETERS` in `privacy`: which parameters of URLs are sent.
    """

    pixel_id: int | None
    source: str | None
    zone: dt.tzinfo
    normalization: str
    url_parameters: str = "all_but_secrets"


class DeliverySettings(NamedTuple):
    """The settings that the delivery of events needs; `Settings` explains each setting."""

    api_url: str
    customer_id: str
    batch_size_rows: int
    max_concurrent_requests: int
    max_requests_per_minute: int | None
    flush_interval_seconds: int
    request_timeout_seconds: int
    max_retry_seconds: int
    dry_run: bool


class RunSettings(NamedTuple):
    """The settings that the loop of a run needs; `Settings` explains each setting."""

    batch_size_rows: int
    flush_interval_seconds: int
    on_rejection: str
    max_dead_letter_percent: int
    dry_run: bool
    limit: int | None


class Account(NamedTuple):
    """The account of a run: the `customer_id`, and the API's host in lower case without a port."""

    customer_id: str
    host: str

    @property
    def words(self) -> str:
        """The account in words: "a-1b2c at api.example.com"."""
        return f"{self.customer_id} at {self.host}"


class StoreSettings(msgspec.Struct, frozen=True):
    """The settings that the store needs; `Settings` explains each setting."""

    place: str
    account: Account
    events: EventDefaults
    keep_delivered: bool
    history_days: int
    max_retry_seconds: int
    dry_run: bool

    def __repr__(self) -> str:
        """Return only the account, because the URL of a database may contain a password."""
        return f"StoreSettings(account={self.account!r})"

    @property
    def is_on_server(self) -> bool:
        """Whether the store is a PostgreSQL database; otherwise, it is an SQLite file."""
        return is_url(self.place)


class Settings(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The checked settings of a run; `config.settings_of` returns them.

    If `auth_token_path` is set, `auth_token` holds the token that the file had when the run began.
    `--about` and the documentation show the text below, group by group.

    You need these:
        customer_id: Your LiveIntent customer ID, such as `a-1b2c`. Your account manager gives it to
            you.
        auth_token: The API token. Your account manager gives it to you, and LiveIntent rotates it
            from time to time. Required, unless `auth_token_path` is set.
        auth_token_path: The path of a file with the token, in place of `auth_token`. If the API
            denies access, the run reads the file again, and continues with a new token.
        pixel_id: The pixel ID of events whose record has no pixel ID.
        default_source: The source of events whose record has no source.
        presets: For each stream, a ready-made stream map for a known tap: `{orders: shopify}`.
            Columns in `stream_maps` take precedence over those of the preset.
        stream_maps: For each stream, the expressions for the columns of an event, and a filter for
            records: https://sdk.meltano.com/en/latest/stream_maps.html

    What is sent:
        stream_map_config: Values that expressions in stream maps read as `config['name']`.
        timezone: The time zone of event times without a zone, as an IANA name: `America/New_York`.
        email_normalization: How an address is normalized before it is hashed. `lowercase` removes
            spaces around it, and makes it lower case. `gmail` also removes dots and `+…` from the
            names of Gmail addresses; `all_domains` does this for all addresses.
        source_url_parameters: Which parameters of page URLs are sent: all except secrets (such as
            keys, tokens, codes and phone numbers), only those for attribution (`li_did`, `utm_…`,
            click IDs such as `gclid`), or none. A parameter with an e-mail address is never sent.
        suppression_path: The path or URL of a file that lists people. The events of these people
            are never sent. Each line is an e-mail address or the hash of an address.

    Pace:
        batch_size_rows: The maximum number of events in a request, 1 to 100.
        max_concurrent_requests: The maximum number of requests in flight, 1 to 256. A run starts
            with two, and finds out by itself how many the API accepts.
        max_requests_per_minute: The maximum number of requests in a minute. Set it if LiveIntent
            has told you a limit. Without it, a run finds out by itself how many requests the API
            accepts.
        flush_interval_seconds: The maximum time that an event waits for its batch to become full.
        request_timeout_seconds: The maximum time for a request, from connecting to the last byte
            of the answer.
        max_retry_seconds: How long a run continues to retry while the API accepts nothing.

    What cannot be sent:
        validate_records: Check each record against the tap's schema. A record that does not match
            the schema becomes a dead letter.
        on_rejection: What a run does with a record that it cannot send: write a dead letter, or
            fail.
        max_dead_letter_percent: The maximum percentage of records that may become dead letters.
            Above this limit, a run of at least 100 records fails at its end, and one of at least
            1,000 records at the next STATE. A run that delivers nothing fails if it has at least
            ten dead letters. 100 turns off both checks. Some reasons do not count, such as
            `no_identity` and `event_too_old`.
        partial_answer: What the IDs in an answer 200 mean: events that `failed`, events that the
            API `processed`, or `unknown`. Without this setting, a run assumes `failed`, and logs a
            WARNING. With `processed`, all other events become dead letters (`not_processed`); with
            `unknown`, all events do (`unconfirmed`).

    Store and reports:
        store: Where delivered events, dead letters and the history of runs are stored: the
            path of an SQLite file, or a PostgreSQL database
            (`postgresql://user@host/database`), which several machines can share. A run creates the
            file or the tables. PostgreSQL needs `pip install 'target-liveintent[postgres]'`; the
            password can also come from `PGPASSWORD` or `~/.pgpass`.
        keep_delivered: Keep a row in the store for each delivered event, so that you can compare
            these events with the counts of LiveIntent. The command `delivered` prints them.
        history_days: How many days the store keeps runs, dead letters and delivered events.
        report_path: The path of the report, such as `liveintent-report.html`. Each run writes this
            HTML page again at its end.
        metrics_path: The path of a file with metrics for Prometheus's textfile collector, such as
            `liveintent.prom`. The run writes it every `flush_interval_seconds`, and at its end.

    This run:
        api_url: The base URL of the API. The run appends `/conversions/{customer_id}`, unless the
            value contains `{customer_id}`. Plain http is allowed only for loopback addresses.
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
        """Return only the customer ID, because maps may contain a salt, and URLs a password."""
        return f"Settings(customer_id={self.customer_id!r})"

    @property
    def url(self) -> str:
        """The URL to which the run posts events."""
        if "{customer_id}" in self.api_url:
            return self.api_url.replace("{customer_id}", self.customer_id)
        return f"{self.api_url.rstrip('/')}/conversions/{self.customer_id}"

    @functools.cached_property
    def account(self) -> Account:
        """The account that the run sends events to."""
        return Account(self.customer_id, urlsplit(self.url).hostname or "")

    @property
    def delivery(self) -> DeliverySettings:
        """The settings that the delivery of events needs."""
        return DeliverySettings(
            api_url=self.api_url,
            customer_id=self.customer_id,
            batch_size_rows=self.batch_size_rows,
            max_concurrent_requests=self.max_concurrent_requests,
            max_requests_per_minute=self.max_requests_per_minute,
            flush_interval_seconds=self.flush_interval_seconds,
            request_timeout_seconds=self.request_timeout_seconds,
            max_retry_seconds=self.max_retry_seconds,
            dry_run=self.dry_run,
        )

    @property
    def storage(self) -> StoreSettings:
        """The settings that the store needs."""
        return StoreSettings(
            place=self.store,
            account=self.account,
            events=self.events,
            keep_delivered=self.keep_delivered,
            history_days=self.history_days,
            max_retry_seconds=self.max_retry_seconds,
            dry_run=self.dry_run,
        )

    @property
    def run(self) -> RunSettings:
        """The settings that the loop of a run needs."""
        return RunSettings(
            batch_size_rows=self.batch_size_rows,
            flush_interval_seconds=self.flush_interval_seconds,
            on_rejection=self.on_rejection,
            max_dead_letter_percent=self.max_dead_letter_percent,
            dry_run=self.dry_run,
            limit=self.limit,
        )

    @functools.cached_property
    def events(self) -> EventDefaults:
        """The settings that the conversion of a record to an event needs."""
        return EventDefaults(
            pixel_id=self.pixel_id,
            source=self.default_source,
            zone=zoneinfo.ZoneInfo(self.timezone),
            normalization=self.email_normalization,
            url_parameters=self.source_url_parameters,
        )


def is_url(path: str) -> bool:
    """Return whether the value of a setting is a URL, such as that of a bucket, and not a path."""
    return "://" in path


def is_loopback(url: str) -> bool:
    """Return whether the host of a URL is this machine: a loopback address, or `localhost`."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

"""Compares what two configurations make of one input, for `explain --against`.

This module sends no event. It reads the whole input once, and converts each record with the same
code as a run: by the first configuration, which is in use, and by the second, which is new.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, NamedTuple

from target_liveintent.config import setting_warnings, settings_of
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.errors import ConfigurationError, StreamMappingError
from target_liveintent.explain.comparison import (
    Comparison,
    EventOfPlan,
    StreamMatcher,
    notes_on_columns,
)
from target_liveintent.explain.description import Explained, run_failures
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.stream_maps import Stream, StreamMaps, StreamPlan
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.reasons import REASONS
from target_liveintent.settings import Settings, StoreSettings
from target_liveintent.singer.explaining import pass_streams, violations_of
from target_liveintent.singer.reader import MessageReader
from target_liveintent.singer.streams import RecordRules, unmapped_message
from target_liveintent.store.deduplication import Deduplicator
from target_liveintent.store.delivered_keys import DeliveredKeys
from target_liveintent.store.opening import open_existing

_ASKED_AT_ONCE = 1_000
"""The store is asked about so many events together."""


class Configuration(NamedTuple):
    """One of the two configurations.

    Attributes:
        name: How messages call it.
        warnings: Sentences about its settings and its list of people.
    """

    name: str
    settings: Settings
    maps: StreamMaps
    rules: RecordRules
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any]) -> Configuration:
        """Check the values of settings, and return them as a configuration.

        Raises:
            ConfigurationError: If the settings are wrong. The message begins with `name`.
        """
        with _named(name):
            settings = settings_of(values)
            suppressions = Suppressions(settings.suppression_path)
        maps = StreamMaps(settings.stream_maps, settings.stream_map_config, settings.presets)
        rules = RecordRules(
            settings.events, suppressions, settings.validate_records, settings.on_rejection
        )
        warnings = (*setting_warnings(values), *suppressions.warnings)
        return cls(name, settings, maps, rules, warnings)


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Name the configuration in the message about what is wrong with it.

    A map that cannot be used is here a wrong configuration, too.
    """
    try:
        yield
    except (ConfigurationError, StreamMappingError) as error:
        msg = f"{name}: {error}"
        raise ConfigurationError(msg) from None


def compare_configurations(source: IO[str], old: Configuration, new: Configuration) -> Comparison:
    """Return how the events differ that two configurations make of a Singer stream.

    The store of the first configuration says which events were delivered. If it does not exist, it
    is not created.

    Raises:
        RunError: If the input, the maps or the store cannot be used.
    """
    with _known_to(old) as delivered:
        comparing = _Comparing(old, new, delivered)
        pass_streams(source, comparing.reader, comparing.register)
        return comparing.result()


@contextlib.contextmanager
def _known_to(configuration: Configuration) -> Iterator[DeliveredKeys | None]:
    """Yield what the store of a configuration knows as delivered; None if there is no store."""
    with _named(configuration.name):
        database = open_existing(configuration.settings.storage)
    if database is None:
        yield None
        return
    with contextlib.closing(database):
        yield DeliveredKeys(database)


class _Sender:
    """What one configuration makes of the input, and the counts of a run with it."""

    def __init__(self, configuration: Configuration, now: Callable[[], float]) -> None:
        self._configuration, self._now = configuration, now
        self._explained: dict[tuple[str, str], Explained] = {}
        self._deduplicator = Deduplicator(configuration.settings.account)

    def converters(self, stream: Stream) -> list[Callable[[dict[str, Any]], EventOfPlan | None]]:
        """Return a function for each map of a stream, which converts a record to an event."""
        with _named(self._configuration.name):
            plans = self._configuration.maps.plans(stream.name, stream.schema, stream.keys)
        return [self._converter(stream, plan) for plan in plans]

    def _converter(
        self, stream: Stream, plan: StreamPlan
    ) -> Callable[[dict[str, Any]], EventOfPlan | None]:
        rules = self._configuration.rules
        new = Explained(stream, plan)
        explained = self._explained.setdefault((stream.name, plan.stream), new)
        gives_events = explained.take_schema(stream, plan, rules.events)
        if not gives_events:
            return lambda _: self._skip(explained)
        converter = RecordConverter(stream, plan, rules.events, rules.suppressions, self._now)
        violation = violations_of(stream, rules)
        return lambda record: self._event(
            explained, plan.stream, converter.convert(record, violation(record))
        )

    @staticmethod
    def _skip(explained: Explained) -> None:
        explained.counts.read += 1
        explained.counts.unmapped += 1

    def _event(
        self, explained: Explained, plan: str, result: Conversion | Rejection | None
    ) -> EventOfPlan | None:
        """Count a result; return the event if a run would send it or has sent it before."""
        counts = explained.counts
        counts.read += 1
        if result is None:
            counts.filtered += 1
            return None
        if isinstance(result, Conversion) and result.expires_at <= self._now():
            result = result.too_old()
        if isinstance(result, Conversion):
            counts.delivered += 1
            (key,) = self._deduplicator.keys_of([result])
            return EventOfPlan(plan, key, result.event)
        if not REASONS[result.reason].letter:
            counts.dropped[result.reason] += 1
            return None
        counts.count_rejected(result)
        if not explained.rejections:
            explained.rejections.append(result)  # (`run_failures` needs only the first.)
        return None

    def notes(self, streams: Mapping[str, object]) -> Iterator[str]:
        """Yield sentences about the settings, and about why a run would fail."""
        name, settings = self._configuration.name, self._configuration.settings
        for warning in self._configuration.warnings:
            yield f"{name}: {warning}"
        plans = [*self._explained.values()]
        failures = run_failures(plans, settings.on_rejection, settings.max_dead_letter_percent)
        words = [failure.words for failure in failures]
        has_events = any(plan.gives_events or plan.is_refused for plan in plans)
        if not has_events and any(plan.counts.read for plan in plans):
            words.append(unmapped_message(streams, self._configuration.maps.names))
        for text in words:
            yield f"{name}: a run over this input would fail: {text}"


class _Comparing:
    """Converts the records of an input by both configurations, and matches the events."""

    def __init__(
        self, old: Configuration, new: Configuration, delivered: DeliveredKeys | None
    ) -> None:
        self._configurations = (old, new)
        self._moment = time.time()
        self._old, self._new = (_Sender(one, lambda: self._moment) for one in (old, new))
        self._matchers = defaultdict[str, StreamMatcher](StreamMatcher)
        self._delivered = delivered
        self._delivered_counts: Counter[str] = Counter()
        self._to_ask: list[tuple[str, bytes]] = []  # Events with their streams.
        self.reader = MessageReader(lambda: None)

    def register(self, stream: Stream) -> Callable[[dict[str, Any]], None]:
        """Return the function that takes the next records of a stream."""
        name, matcher = stream.name, self._matchers[stream.name]
        of_old, of_new = self._old.converters(stream), self._new.converters(stream)

        def take(record: dict[str, Any]) -> None:
            self._moment = time.time()  # Both judge the age of the event at the same time.
            old = [made for convert in of_old if (made := convert(record)) is not None]
            new = [made for convert in of_new if (made := convert(record)) is not None]
            for before, _ in matcher.take(old, new):
                self._to_ask.append((name, before.key))
            if len(self._to_ask) >= _ASKED_AT_ONCE:
                self._ask()

        return take

    def _ask(self) -> None:
        """Ask the store which events were delivered whose IDs change."""
        if self._delivered is not None and self._to_ask:
            known = self._delivered.among([key for _, key in self._to_ask])
            self._delivered_counts.update(name for name, key in self._to_ask if key in known)
        self._to_ask.clear()

    def result(self) -> Comparison:
        """Return the comparison of all records."""
        self._ask()
        has_store, counts = self._delivered is not None, self._delivered_counts
        streams = {
            name: matcher.figures(counts[name] if has_store else None)
            for name, matcher in self._matchers.items()
        }
        notes = [
            *self._old.notes(streams),
            *self._new.notes(streams),
            *notes_on_settings(*(one.settings for one in self._configurations)),
            *notes_on_columns([*streams.values()]),
        ]
        return Comparison(notes, streams)


def notes_on_settings(old: Settings, new: Settings) -> Iterator[str]:
    """Yield a note if the account changes, and if the store changes."""
    if old.account != new.account:
        yield (
            f"The account changes, from {old.account.words} to {new.account.words}. So all event"
            " IDs count as changed"
        )
    if _place_of(old.storage) != _place_of(new.storage):
        yield (
            "The setting store changes. If its new value names another store, that store does not"
            " know what was delivered. All events would then be sent again, even those whose IDs"
            " stay the same"
        )


def _place_of(store: StoreSettings) -> str:
    """Return what identifies a store; for a database, this is without the user.

    The result is never shown, because the parameters of a URL may contain a password.
    """
    if not store.is_on_server:
        return os.path.realpath(store.place)
    address, _, parameters = store.place.partition("://")[2].partition("?")
    return f"{address.rpartition('@')[2]}?{parameters}"

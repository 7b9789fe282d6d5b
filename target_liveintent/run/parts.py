"""What a run works with: the things that it is given instead of making them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.conversions import Conversion, Rejection, SentEvent
from target_liveintent.delivery import (
    Client,
    Delivery,
    DeliveryStatus,
    DryRun,
    Suspicion,
    delivery_of,
)
from target_liveintent.run.counts import RunCounts
from target_liveintent.settings import Settings
from target_liveintent.storage import (
    DeadLetterWriter,
    DeliveredWriter,
    EventLedger,
    Ledger,
    LedgerAccount,
    LedgerInDatabase,
    LedgerInFile,
    LedgerPreview,
    LedgerStore,
    Places,
)


class ReplayedLetters(Protocol):
    """Learns what becomes of the dead letters that a replay has taken over, by their numbers."""

    @property
    def current(self) -> int | None:
        """The number of the dead letter that was read last."""

    def settle(self, letters: Iterable[int | None]) -> None:
        """Note that dead letters need not be kept: they were sent, or nobody may send them."""

    def replace(self, letter: int, line: bytes) -> None:
        """Put another line in the place of a dead letter; raises `StorageError` if it fails."""

    def close(self) -> None:
        """Put back all others; raises `StorageError` if it fails, and can be tried again."""


class OutcomeWriter(Protocol):
    """Learns the outcome of each event; each method raises `StorageError` if it fails."""

    def delivered(self, conversions: Sequence[Conversion], sent_at: Sequence[float]) -> None:
        """Note events that the API has taken, and the Unix time at which each was sent."""

    def undelivered(self, rejection: Rejection, reason: str) -> None:
        """Note a record that is not delivered, and the reason under which it is counted."""


class RunParts(NamedTuple):
    """What a run works with. `parts_of` makes it from the settings.

    Attributes:
        run_id: The ID of the run.
        ledger: Knows which events were delivered before, in a dry run without noting any; None if
            it is off.
        delivered_file: Takes what was delivered; None without the setting.
        replayed: Learns what becomes of each dead letter; None unless the run is a `--replay`.
        outcomes: Learns the outcome of each event; None if the engine keeps no table of them.
        write_state: Writes a STATE. Without it, the engine itself remembers what is done.
        stop_reading: Called when the setting `limit` is reached.
        on_delivered: Called with each result of a batch: the name under which its events are
            counted, those that were delivered, the Unix time at which each of them was sent, and
            the seconds that each request took. The last result has all of these seconds.
        on_progress: Called about once a second with the counts, and how far delivery is.
    """

    clock: Clock
    run_id: str
    delivery: Delivery
    dead_letters: DeadLetterWriter
    ledger: EventLedger | None = None
    delivered_file: DeliveredWriter | None = None
    replayed: ReplayedLetters | None = None
    outcomes: OutcomeWriter | None = None
    write_state: Callable[[str], None] = lambda _: None
    stop_reading: Callable[[], None] = lambda: None
    on_delivered: (
        Callable[[str, Sequence[SentEvent], Sequence[float], Sequence[float]], None] | None
    ) = None
    on_progress: Callable[[RunCounts, DeliveryStatus], None] = lambda *_: None


def parts_of(
    settings: Settings,
    logger: logging.Logger,
    clock: Clock = SYSTEM_CLOCK,
    *,
    run_id: str,
    suspicion: Suspicion | None = None,
) -> RunParts:
    """Make what a run works with; the caller replaces what is different for its engine.

    Args:
        settings: The settings.
        logger: A dry run shows its events there.
        clock: Tells the time.
        run_id: The ID of the run.
        suspicion: As in `delivery_of`.

    Raises:
        ConfigurationError: If a file or a bucket that the settings name cannot be used.
        StorageError: If a store that they name cannot be reached.
    """
    places = Places(settings, logger, clock)
    dead_letters = places.dead_letters(run_id)
    client = Client(settings, clock)  # Also in a dry run: it hides the token in the log.
    if settings.dry_run:  # It writes no file.
        preview = _preview_of(settings, logger, clock, run_id) if settings.ledger else None
        return RunParts(clock, run_id, DryRun(logger, clock), dead_letters, preview)
    ledger = _ledger_of(settings, logger, clock, run_id) if settings.ledger else None
    if ledger is not None:
        places.between_tries = ledger.write  # So that the run's claims do not lapse meanwhile.
    delivered_file = places.delivered(run_id)
    delivery = delivery_of(settings, client, clock, suspicion)
    return RunParts(clock, run_id, delivery, dead_letters, ledger, delivered_file)


def _preview_of(
    settings: Settings, logger: logging.Logger, clock: Clock, run_id: str
) -> LedgerPreview:
    """Open the ledger if its file is there, or it is in a database: a dry run makes none."""
    is_there = settings.ledger_url is not None or os.path.exists(settings.ledger_path)  # noqa: PTH110 (a path with a NUL is no file)
    if not is_there:
        return LedgerPreview(None)
    return LedgerPreview(_ledger_of(settings, logger, clock, run_id, reads_only=True))


def _ledger_of(
    settings: Settings,
    logger: logging.Logger,
    clock: Clock,
    run_id: str,
    *,
    reads_only: bool = False,
) -> Ledger:
    """Open the ledger; a run can do without the one that nobody has asked for."""
    account = LedgerAccount(settings.customer_id, settings.api_host)
    store: LedgerStore
    if settings.ledger_url is not None:
        store = LedgerInDatabase(
            settings.ledger_url,
            account,
            password=settings.ledger_password,
            run_id=run_id,
            clock=clock,
            reads_only=reads_only,
        )
    else:
        path, url = settings.ledger_path, settings.url
        warn = logger.warning if settings.has_default_ledger else None
        store = LedgerInFile(path, account, url, run_id=run_id, warn=warn, clock=clock)
    return Ledger(store, account, clock)

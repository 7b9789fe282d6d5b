"""Makes what a run works with from the settings, for any engine."""

from __future__ import annotations

import logging

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.delivery import (
    Batch,
    BatchResult,
    Breaker,
    Client,
    DeliveryPool,
    DryRun,
    RunDeadline,
    Sender,
    SenderParts,
)
from target_liveintent.run.parts import RunParts
from target_liveintent.settings import Settings
from target_liveintent.storage import DeadLetterFile, DeliveredFile, Ledger


def parts_of(settings: Settings, logger: logging.Logger, clock: Clock = SYSTEM_CLOCK) -> RunParts:
    """Make what a run works with; the caller replaces what is different for its engine.

    Args:
        settings: The settings.
        logger: Takes the events that a dry run shows, and a warning of the delivered file.
        clock: Tells the time.

    Raises:
        ConfigurationError: If a file that the settings name cannot be used.
    """
    letters = DeadLetterFile(settings.dead_letter_path)
    client = Client(settings, clock)  # Also in a dry run: it hides the token in the log.
    if settings.dry_run:  # It writes no file.
        return RunParts(clock, DryRun(logger, clock), letters)
    account = (settings.url, settings.customer_id)
    ledger = Ledger(settings.ledger_path, account) if settings.ledger_path is not None else None
    delivered_file = None
    if settings.delivered_path is not None:
        delivered_file = DeliveredFile(settings.delivered_path, logger)
    delivery = delivery_of(settings, client, clock)
    return RunParts(clock, delivery, letters, ledger, delivered_file)


def delivery_of(settings: Settings, client: Client, clock: Clock) -> DeliveryPool:
    """Make the threads that deliver the batches of a run.

    Args:
        settings: The settings.
        client: Sends requests; all threads share it.
        clock: Tells the time.
    """
    deadline = RunDeadline(clock)
    parts = SenderParts(settings, client, Breaker(), deadline, clock)

    def deliver(batch: Batch) -> BatchResult:
        return Sender(batch, parts).deliver()

    return DeliveryPool(deliver, deadline, settings.max_concurrent_requests)

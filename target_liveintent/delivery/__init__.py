"""How batches reach the Conversions API."""

from typing import TypeAlias

from target_liveintent.delivery.ahead import read_ahead
from target_liveintent.delivery.api import refused_as_a_whole
from target_liveintent.delivery.client import Client, is_usable_token, read_token
from target_liveintent.delivery.dry_run import DryRun
from target_liveintent.delivery.model import Batch, BatchResult, DeliveryStatus
from target_liveintent.delivery.pool import DeliveryPool, delivery_of
from target_liveintent.delivery.refusals import MOST_UNPROVEN_OF_NONE, Refusals, SharedRefusals

Delivery: TypeAlias = DeliveryPool | DryRun
"""Delivers batches: they are submitted, and their results are taken."""

__all__ = [
    "MOST_UNPROVEN_OF_NONE",
    "Batch",
    "BatchResult",
    "Client",
    "Delivery",
    "DeliveryStatus",
    "DryRun",
    "Refusals",
    "SharedRefusals",
    "delivery_of",
    "is_usable_token",
    "read_ahead",
    "read_token",
    "refused_as_a_whole",
]

"""How batches reach the Conversions API."""

from target_liveintent.delivery.client import Client, DryClient, is_usable_token, read_token
from target_liveintent.delivery.model import Batch, BatchResult, DeliveryStatus
from target_liveintent.delivery.pool import DeliveryPool, delivery_of
from target_liveintent.delivery.refusals import MOST_UNPROVEN_OF_NONE, Refusals

__all__ = [
    "MOST_UNPROVEN_OF_NONE",
    "Batch",
    "BatchResult",
    "Client",
    "DeliveryPool",
    "DeliveryStatus",
    "DryClient",
    "Refusals",
    "delivery_of",
    "is_usable_token",
    "read_token",
]

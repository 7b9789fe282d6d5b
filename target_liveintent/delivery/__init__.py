"""How batches reach the Conversions API."""

from target_liveintent.delivery.breaker import Breaker, refused_as_a_whole
from target_liveintent.delivery.client import Client
from target_liveintent.delivery.deadline import RunDeadline
from target_liveintent.delivery.dry_run import DryRun
from target_liveintent.delivery.model import Batch, BatchResult
from target_liveintent.delivery.pool import DeliveryPool
from target_liveintent.delivery.sender import Sender, SenderParts
from target_liveintent.delivery.tokens import is_usable_token, read_token

__all__ = [
    "Batch",
    "BatchResult",
    "Breaker",
    "Client",
    "DeliveryPool",
    "DryRun",
    "RunDeadline",
    "Sender",
    "SenderParts",
    "is_usable_token",
    "read_token",
    "refused_as_a_whole",
]

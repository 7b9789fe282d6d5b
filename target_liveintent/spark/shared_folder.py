"""Checks that a task sees the same folder as the driver."""

from __future__ import annotations

from target_liveintent.errors import StorageError
from target_liveintent.spark.object_store import ObjectStore


def check_shared(store: ObjectStore, name: str) -> None:
    """Raise a `StorageError` if a folder lacks the file that the driver has written there.

    Args:
        store: The folder.
        name: The name of the file.
    """
    if not store.exists(name):
        msg = (
            f"{store.setting} must name a folder that all machines share: this machine does not"
            " find the file that the driver wrote to this folder"
        )
        raise StorageError(msg)

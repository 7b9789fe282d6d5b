"""From a setting to what it names: a file on this machine, or a folder of an object store."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.errors import ConfigurationError
from target_liveintent.privacy import Suppressions
from target_liveintent.settings import Settings, is_url
from target_liveintent.storage.dead_letters import DeadLetterFile, DeadLetterWriter
from target_liveintent.storage.delivered import DeliveredFile, DeliveredObjects, DeliveredWriter
from target_liveintent.storage.delivered_rows import row_format
from target_liveintent.storage.files import can_be_written, replace_file
from target_liveintent.storage.folders import Folder, LocalFolder
from target_liveintent.storage.journals import TakenOver
from target_liveintent.storage.letter_objects import DeadLetterObjects
from target_liveintent.storage.letter_parts import Letters
from target_liveintent.storage.object_store import ObjectStore
from target_liveintent.storage.put_back import PutBack, PutBackToFile, PutBackToStore
from target_liveintent.storage.stored_letters import StoredLetters

_HISTORY_SECONDS = 10
"""For how long the history is tried again, at most: the run is over and waits for nothing else."""


class Places:
    """Opens what the settings name.

    Methods raise `ConfigurationError` if it cannot be used, and `StorageError` if a store cannot be
    reached.

    Args:
        settings: The settings.
        logger: Gets warnings.
        clock: Tells the time.

    Attributes:
        between_tries: Called while a store that cannot be reached is waited for.
    """

    def __init__(
        self, settings: Settings, logger: logging.Logger, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._settings = settings
        self._logger = logger
        self._clock = clock
        self.between_tries: Callable[[], None] = lambda: None

    def check_dead_letters(self) -> None:
        """Check that a run can write dead letters to its file, which only the first one creates."""
        settings = self._settings
        path = settings.dead_letter_path
        writes_none = settings.dry_run or settings.fail_on_rejection
        if writes_none or is_url(path) or can_be_written(path):
            return
        place = os.path.abspath(path)  # noqa: PTH100
        if path == Settings.dead_letter_path:
            msg = (
                f"setting 'dead_letter_path' is not set, and its default, '{place}', cannot be"
                " written: set dead_letter_path to a file in a folder that the run can write to"
            )
        else:
            msg = (
                f"setting 'dead_letter_path' names '{place}', which cannot be written: set"
                " dead_letter_path to a file in a folder that the run can write to"
            )
        raise ConfigurationError(msg)

    def dead_letters(self, run_id: str) -> DeadLetterWriter:
        """Return what takes the dead letters of a run; a dry run writes none."""
        settings = self._settings
        if not is_url(settings.dead_letter_path):
            return DeadLetterFile(settings.dead_letter_path)
        store = self._store("dead_letter_path", settings.dead_letter_path)
        if not settings.dry_run:
            store.check()
        return DeadLetterObjects(store, run_id, settings.flush_interval_seconds, self._clock)

    def delivered(self, run_id: str) -> DeliveredWriter | None:
        """Return what takes the rows of delivered events; None without the setting."""
        path = self._settings.delivered_path
        if path is None:
            return None
        rows = row_format(path, run_id, self._logger)
        if not is_url(path):
            return DeliveredFile(path, rows)
        store = self._store("delivered_path", path)
        store.check()
        return DeliveredObjects(store, rows, run_id, self._clock)

    def letters(self, path: str) -> Letters:
        """Return the dead letters that a path or a URL names, for a replay. None need be there."""
        to = self._settings.dead_letter_path
        if not is_url(path):
            return TakenOver(path, self._put_back(to))
        store = self._store("dead_letter_path", path)
        stays = to.rstrip("/") == store.url
        return StoredLetters(store, None if stays else self._put_back(to), _folder_for(to))

    def _put_back(self, to: str) -> PutBack:
        if is_url(to):
            return PutBackToStore(self._store("dead_letter_path", to))
        return PutBackToFile(to)

    def suppressions(self) -> Suppressions:
        """Return the people who must not be sent."""
        path = self._settings.suppression_path
        if path is None or not is_url(path):
            return Suppressions(path)
        folder, _, name = path.rpartition("/")
        try:
            content = self._store("suppression_path", folder).read(name, ConfigurationError)
        except FileNotFoundError:
            msg = "suppression_path cannot be read: the object does not exist"
            raise ConfigurationError(msg) from None
        return Suppressions(path, content)

    def report_replacer(self) -> Callable[[str, str], None]:
        """Return what replaces the text of the page of the report, or of the JSON beside it."""
        path = self._settings.report_path
        if path is None or not is_url(path):
            return replace_file
        store = self._store("report_path", path.rpartition("/")[0])
        store.check()
        return lambda url, text: store.put(url.rpartition("/")[2], text.encode())

    def history(self) -> Folder | None:
        """Return the folder of the history, which is not made yet; None without the setting."""
        path = self._settings.history_path
        if path is None:
            return None
        if not is_url(path):
            return LocalFolder("history_path", path)
        seconds = min(self._settings.max_retry_seconds, _HISTORY_SECONDS)
        return self._store("history_path", path, seconds)

    def _store(self, setting: str, url: str, seconds: float | None = None) -> ObjectStore:
        if seconds is None:
            seconds = self._settings.max_retry_seconds
        return ObjectStore(
            setting,
            url,
            seconds,
            self._logger.warning,
            self._clock,
            between_tries=lambda: self.between_tries(),  # noqa: PLW0108 (it is set later)
        )


def _folder_for(dead_letter_path: str) -> str | None:
    """Return a folder for what a replay of objects needs on this machine, if there is one."""
    if not is_url(dead_letter_path):
        return os.path.dirname(os.path.realpath(dead_letter_path))  # noqa: PTH120
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return None

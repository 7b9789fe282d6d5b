"""A folder of an object store, such as a bucket of S3, which fsspec reaches.

A store that cannot be reached is tried again; what no retry can fix is raised at once. Credentials
and endpoints come from the environment, as the store's own library finds them. Messages name the
setting and say nothing that came from the store, besides the code of a fault.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import IO, Any
from urllib.parse import urlsplit

from target_liveintent.clock import SYSTEM_CLOCK, Clock
from target_liveintent.errors import ConfigurationError, RunError, StorageError
from target_liveintent.spark.store_faults import is_lasting, missing_package, reason

_WITH_FOLDERS = {"file", "ftp", "hdfs", "local", "sftp", "smb", "ssh", "webhdfs"}
"""The kinds of URLs whose folders are made. In all others, the first name is that of a bucket."""
_FIND_BY_PREFIX = {"abfs", "az", "gcs", "gs", "s3", "s3a"}
"""The kinds of URLs whose stores list the objects that begin with some text."""
_ONE_TRY = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
_OPTIONS = {"s3": _ONE_TRY, "s3a": _ONE_TRY}
"""Options of file systems: botocore leaves it to `ObjectStore` to try again."""
_LEAST_SECONDS, _MOST_SECONDS = 5.0, 20.0
"""Seconds that one try may take, at least, however long the store has failed by then, and at most:
an object has few megabytes, and what a task has reserved lapses after 30 seconds."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
"""Seconds between two tries."""


class ObjectStore:
    """A folder of an object store. Methods raise `StorageError` if the store fails.

    Args:
        setting: The setting that names the folder, for messages.
        url: A URL or path that fsspec understands. The constructor neither reads nor writes there.
        retry_seconds: For how long a store that cannot be reached is tried again.
        warn: Takes a message when that begins.
        clock: Tells the time, and waits.

    Attributes:
        setting: What `url` came from.
        url: The URL, without a slash at its end.

    Raises:
        ConfigurationError: If there is no package for such URLs, or the URL names no bucket.
    """

    def __init__(
        self,
        setting: str,
        url: str,
        retry_seconds: float,
        warn: Callable[[str], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.setting = setting
        self.url = url.rstrip("/")
        self._retry_seconds = retry_seconds
        self._warn = warn
        self._clock = clock
        self._failing_since: float | None = None
        with self._named("used", ConfigurationError):
            try:
                # Imported here because only a run with such a URL needs it.
                from fsspec import asyn, url_to_fs  # noqa: PLC0415

                options = _OPTIONS.get(urlsplit(url).scheme, {})
                self._files, root = url_to_fs(
                    url, skip_instance_cache=True, use_listings_cache=False, **options
                )
                self._call_async = asyn.sync
            except ImportError as error:
                hint = missing_package(urlsplit(url).scheme, error)
                msg = f"{setting} needs a package that is not installed: {hint}"
                raise ConfigurationError(msg) from None
            except ValueError:
                msg = (
                    f"{setting} must be a URL with a scheme that fsspec supports, such as"
                    " s3://bucket/folder"
                )
                raise ConfigurationError(msg) from None
        self._root = root.rstrip("/")
        if not self._root:
            msg = f"{setting} does not name a bucket: give a URL such as s3://bucket/folder"
            raise ConfigurationError(msg)

    def check(self) -> None:
        """Check that the bucket exists, as far as that is allowed; make a folder on a disk.

        Raises:
            ConfigurationError: If there is no such bucket, or no credentials; or if a folder cannot
                be made.
        """
        with self._named("used", ConfigurationError):
            if self.has_folders:
                self._call("makedirs", self._root, exist_ok=True)
                return
            root = "/" if self._root.startswith("/") else ""
            bucket = self._root.strip("/").partition("/")[0]
            try:
                self._call("info", root + bucket)
            except FileNotFoundError:
                msg = (
                    f"the bucket '{bucket}' of {self.setting} does not exist, and a run never"
                    " creates buckets: create the bucket, or correct the setting"
                )
                raise ConfigurationError(msg) from None
            except PermissionError:
                pass  # Whoever may only write may not look.

    def put(self, name: str, content: bytes) -> None:
        """Write an object in one step; it replaces one of the same name."""
        with self._named("written"):
            path = self._path(name)
            self._make_folder_of(path)
            self._call("pipe_file", path, content)

    def read(self, name: str, refusal: type[RunError] = StorageError) -> bytes:
        """Return the content of an object.

        Args:
            name: Its name.
            refusal: The error that is raised if the store is there and does not give the object.

        Raises:
            FileNotFoundError: If there is none of this name.
        """
        with self._named("read", refusal, absent=True):
            content: bytes = self._call("cat_file", self._path(name))
            return content

    def names(self, folder: str = "", prefix: str = "") -> list[str]:
        """Return the names of the objects directly in the folder, or in a subfolder, in order.

        Args:
            folder: The subfolder.
            prefix: How the names begin.
        """
        path = self._path(folder).rstrip("/")
        with self._named("listed"):
            try:
                if prefix and self._finds_by_prefix:  # There may be millions of others.
                    found = [*self._call("find", path, detail=True, prefix=prefix).values()]
                else:
                    found = self._call("ls", path, detail=True)
            except FileNotFoundError:  # There is no object in it.
                return []
        places = (one["name"].rpartition("/") for one in found if one["type"] == "file")
        here = path.strip("/")
        return sorted(
            name
            for place, _, name in places
            if place.strip("/") == here and name.startswith(prefix)
        )

    def delete(self, name: str) -> None:
        """Delete an object, if there is one of this name."""
        with self._named("written"), contextlib.suppress(FileNotFoundError):
            self._call("rm_file", self._path(name))

    def exists(self, name: str) -> bool:
        """Return whether there is an object of this name."""
        with self._named("read"):
            return bool(self._call("exists", self._path(name)))

    def move(self, name: str, new: str) -> None:
        """Move an object; it replaces one of the new name."""
        old_path, new_path = self._path(name), self._path(new)
        with self._named("written"):
            if self._files.async_impl:  # A store copies, and replaces what is there.
                self._call("cp_file", old_path, new_path)
                self._call("rm_file", old_path)
                return
            if self._call("exists", new_path):  # HDFS moves no file onto another.
                self._call("rm_file", new_path)
            self._call("mv", old_path, new_path)

    def open(self, name: str) -> IO[bytes]:
        """Begin an object that is written piece by piece, and is there when it is closed.

        On a disk, only its owner can read it. What is done to it belongs into `failures_named`.
        """
        with self.failures_named():
            path = self._path(name)
            self._make_folder_of(path)
            file: IO[bytes] = self._files.open(path, "wb")
            with contextlib.suppress(OSError, AttributeError):  # An object store has neither.
                os.fchmod(file.fileno(), 0o600)
        return file

    def failures_named(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which a failure to write becomes a `StorageError`."""
        return self._named("written")

    @property
    def has_folders(self) -> bool:
        """Whether it is a folder as on a disk, where others may see half a file."""
        return not self._protocols.isdisjoint(_WITH_FOLDERS)

    @property
    def _finds_by_prefix(self) -> bool:
        return not self._protocols.isdisjoint(_FIND_BY_PREFIX)

    @property
    def _protocols(self) -> set[str]:
        protocol = self._files.protocol
        return {protocol} if isinstance(protocol, str) else set(protocol)

    def _make_folder_of(self, path: str) -> None:
        if self.has_folders:
            self._call("makedirs", path.rpartition("/")[0], exist_ok=True)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _call(self, operation: str, *arguments: Any, **options: Any) -> Any:
        """Call the file system, again and again while the store cannot be reached."""
        pause = _FIRST_PAUSE
        while True:
            try:
                result = self._try(operation, arguments, options)
            except Exception as error:
                if is_lasting(error):
                    raise
                if self._failing_since is None:
                    self._failing_since = self._clock.monotonic()
                    msg = (
                        f"{self.setting} cannot be reached ({reason(error)}); the run keeps"
                        f" trying for up to {self._retry_seconds:.0f} seconds"
                    )
                    self._warn(msg)
                if self._seconds_left() <= 0:
                    msg = (
                        f"{self.setting} could not be reached for {self._retry_seconds:.0f}"
                        f" seconds: {reason(error)}. Check the network and the endpoint of the"
                        " object store, then start the run again"
                    )
                    raise StorageError(msg) from None
            else:
                self._failing_since = None
                return result
            self._clock.wait(time.sleep, min(pause, max(0.0, self._seconds_left())))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _try(self, operation: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if not self._files.async_impl:
            return getattr(self._files, operation)(*arguments, **options)
        seconds = min(max(self._seconds_left(), _LEAST_SECONDS), _MOST_SECONDS)
        function = getattr(self._files, f"_{operation}")
        return self._call_async(self._files.loop, function, *arguments, timeout=seconds, **options)

    def _seconds_left(self) -> float:
        """Return for how long a store that fails is tried again."""
        if self._failing_since is None:
            return self._retry_seconds
        return self._failing_since + self._retry_seconds - self._clock.monotonic()

    @contextlib.contextmanager
    def _named(
        self, what: str, kind: type[RunError] = StorageError, *, absent: bool = False
    ) -> Iterator[None]:
        """Turn what no retry can fix into an error of a kind, which names the setting.

        Args:
            what: What cannot be done to it.
            kind: The error.
            absent: Whether an object that is not there is left to the caller.
        """
        try:
            yield
        except RunError:
            raise
        except Exception as error:
            if absent and isinstance(error, FileNotFoundError):
                raise
            msg = f"{self.setting} cannot be {what}: {reason(error)}"
            raise kind(msg) from None

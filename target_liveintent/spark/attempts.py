"""Names writes and attempts at tasks, so that no two of them ever share a file.

A write of a micro-batch has names that begin with the micro-batch: what an earlier attempt of it
has left is found by them. Spark's properties tell a task where it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import NamedTuple

_QUERY, _BATCH = "sql.streaming.queryId", "streaming.sql.batchId"
"""The local properties in which Spark names a micro-batch to its tasks."""
_RUN, _EXECUTION = "spark.jobGroup.id", "spark.sql.execution.id"
"""The same for the start of the query, and for the execution, which counts upwards."""


def short_hash(*parts: str) -> str:
    """Return eight characters that stand for texts in a file name."""
    return blake2b("\0".join(parts).encode(errors="replace"), digest_size=4).hexdigest()


class MicroBatch(NamedTuple):
    """An attempt at a micro-batch of a stream.

    Attributes:
        query: The ID of the query, which it keeps when it is started again.
        number: The number of the micro-batch.
        run: Stands for the start of the query: a micro-batch that begins again has another one.
        execution: Spark's number of the write's execution; a later one is larger.
    """

    query: str
    number: int
    run: str
    execution: int


class Write(NamedTuple):
    """A write.

    Attributes:
        id: What no other write has.
        target: Stands for the stream name, the account and the pixel.
        batch: The micro-batch that it belongs to; None outside of a stream.
    """

    id: str
    target: str
    batch: MicroBatch | None = None

    @property
    def name(self) -> str:
        """What a user calls it: its ID, or the query and the number of the micro-batch."""
        return self.id if self.batch is None else f"{self.batch.query}-{self.batch.number}"

    @property
    def kin(self) -> str:
        """How the names begin that it shares with all writes which may have sent its events."""
        return f"{self.name}-" if self.batch is None else f"{self.name}-{self.target}-"

    @property
    def siblings(self) -> str:
        """How the names begin that it shares with the writes of this attempt at a micro-batch."""
        return self.kin if self.batch is None else f"{self.kin}{self.batch.run}-"

    @property
    def prefix(self) -> str:
        """How the names of its own files begin."""
        return self.kin if self.batch is None else f"{self.siblings}{self.id}-"

    @property
    def marker(self) -> str:
        """The name of the file that says where the write stands among those of its micro-batch."""
        execution = 0 if self.batch is None else self.batch.execution
        return f"{self.siblings}{execution:012}"

    def is_outdated(self, name: str) -> bool:
        """Return whether a file is of an attempt at a micro-batch that this one has superseded."""
        if self.batch is None or not name.startswith(f"{self.batch.query}-"):
            return False
        found = re.match(r"(\d+)-[0-9a-f]+-([0-9a-f]+)-", name[len(self.batch.query) + 1 :])
        if found is None:
            return False
        number, run = int(found[1]), found[2]
        return number < self.batch.number or (number == self.batch.number and run != self.batch.run)

    def found_in(self, names: Iterable[str]) -> Write:
        """Return the write with its micro-batch, if its files have the name of one.

        A driver of which no task is done knows the ID only.
        """
        for name in names:
            if found := re.match(rf"(.+)-(\d+)-([0-9a-f]+)-([0-9a-f]+)-{self.id}-", name):
                query, number, target, run = found.groups()
                return Write(self.id, target, MicroBatch(query, int(number), run, 0))
        return self


class Attempt(NamedTuple):
    """An attempt at a task.

    Attributes:
        number: A number that no other attempt of the write has.
    """

    write: Write
    partition: int
    number: int

    @property
    def place(self) -> str:
        """How the names begin of all attempts at the same partition, within the write."""
        return f"{self.write.prefix}{self.partition:05}-"

    @property
    def name(self) -> str:
        """How the names of its own files begin."""
        return f"{self.place}{self.number}"


def write_of(write_id: str, target: str, property_of: Callable[[str], str | None]) -> Write:
    """Return the write that a task belongs to.

    Args:
        write_id: Its ID.
        target: As in `Write`.
        property_of: Returns a local property of the task.
    """
    query = property_of(_QUERY)
    if not query:
        return Write(write_id, target)
    number, execution = property_of(_BATCH) or "0", property_of(_EXECUTION) or "0"
    run = short_hash(property_of(_RUN) or "")
    return Write(write_id, target, MicroBatch(query, int(number), run, int(execution)))

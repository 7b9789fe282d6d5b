"""A record as the tap sent it, by way of its stream's plan, to a conversion or a rejection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from target_liveintent.conversions.model import READ_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from target_liveintent.conversions.builder import EventBuilder
    from target_liveintent.conversions.model import Conversion, Rejection


class MappingFailedError(Exception):
    """An expression failed for one record.

    Attributes:
        column: The column that it computes, or `__filter__`.
        kind: The name of the exception. Its text could hold what is in the record.
    """

    def __init__(self, column: str, kind: str) -> None:
        """Say where and how."""
        super().__init__(column, kind)
        self.column = column
        self.kind = kind


class Source(NamedTuple):
    """Where a column of a mapped record comes from.

    Attributes:
        expression: The expression as the user wrote it.
        paths: What the expression reads, as far as that is known: a column, and the steps into it.
    """

    expression: str
    paths: frozenset[tuple[str, ...]]


class ComputedColumns(Protocol):
    """What a stream map computes, for messages and for `--explain`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the map computes."""

    @property
    def sources(self) -> Mapping[str, Source]:
        """What each column is computed of, the filter first if there is one."""


class StreamPlan(NamedTuple):
    """What is done with the records of a stream.

    Attributes:
        stream: Under which name they are counted.
        named: Whether the user's configuration names the stream, or there are no maps at all.
        properties: The columns that come out; empty if records are dropped.
        passes_others: Whether columns that the map does not name come out as well.
        reads: The columns of a record that it needs; None for all.
        transform: Gives a mapped record, or None if the map's filter drops it; None itself if all
            records are dropped.
        map: The map that it is; None if there is none.
    """

    stream: str
    named: bool
    properties: tuple[str, ...]
    passes_others: bool
    reads: frozenset[str] | None
    transform: Callable[[dict[str, Any]], dict[str, Any] | None] | None
    map: ComputedColumns | None = None

    @classmethod
    def without_map(
        cls, stream: str, properties: Iterable[str], *, named: bool = True
    ) -> StreamPlan:
        """Return the plan of a stream whose records are used as they are.

        Args:
            stream: The name of the stream.
            properties: The columns of its records.
            named: Whether the user wants the records to be sent.
        """
        return cls(
            stream,
            named,
            tuple(properties),
            passes_others=True,
            reads=READ_COLUMNS,
            transform=dict,
        )


class RecordConverter:
    """Converts the records of one stream: the stream map, then the event builder.

    Args:
        plan: The stream's plan; its records are not dropped.
        builder: The stream's builder.
        left_out: Counts the columns that could not be used.
        now: Returns the Unix time.
    """

    def __init__(
        self,
        plan: StreamPlan,
        builder: EventBuilder,
        left_out: dict[str, int],
        now: Callable[[], float] = time.time,
    ) -> None:
        """Look up once what every record needs."""
        assert plan.transform is not None  # noqa: S101 (a dropped stream needs no converter)
        self._transform = plan.transform
        self._builder = builder
        self._build = builder.build
        self._left_out = left_out
        self._now = now

    def convert(
        self, record: dict[str, Any], violation: str | None = None
    ) -> Conversion | Rejection | None:
        """Convert one record.

        Args:
            record: The record as the tap sent it.
            violation: How the record breaks the tap's schema; None if it does not, or if nobody
                checked.

        Returns:
            The conversion, the rejection that says why there is none, or None if the map's filter
            drops the record.
        """
        try:
            mapped = self._transform(record)
        except MappingFailedError as failure:
            return self._builder.reject_unmapped(failure.column, record, failure.kind)
        if mapped is None:
            return None
        return self._build(mapped, record, self._now(), self._left_out, violation)

"""The faults that people can script, and how each kind of fault changes an answer.

A fault affects the next `times` requests to which it applies. If `times` is null, it affects such
requests until somebody removes the fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import msgspec

from target_liveintent.sandbox.contract import Answer, Event, Outcome, lookup, problem, refuse

Accepted = Mapping[int, Event]
"""The events of a request that are accepted without a fault, by their positions in the batch."""


class _Fault(
    msgspec.Struct, kw_only=True, tag_field="kind", forbid_unknown_fields=True, omit_defaults=True
):
    times: Annotated[int, msgspec.Meta(ge=1)] | None = 1

    def matches(self, accepted: Accepted) -> bool:  # noqa: ARG002 - subclasses use it
        """Return whether this fault applies to a request with these events."""
        return True


class Latency(_Fault, kw_only=True, tag="latency"):
    """Answers `seconds` later; can be combined with the other kinds."""

    seconds: Annotated[float, msgspec.Meta(ge=0, le=600)]


class Status(_Fault, kw_only=True, tag="status"):
    """Answers with this status, whatever the request contains, and accepts no event."""

    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    headers: dict[str, str] = {}

    def answer(self, accepted: Accepted) -> Answer:  # noqa: ARG002 - other kinds use it
        """Return an answer with the status and the headers of this fault."""
        said = f"scripted fault: status {self.status}"
        return refuse(self.status, said, outcome=Outcome.FAULT, headers=self.headers)


class Drop(_Fault, kw_only=True, tag="drop"):
    """Closes the connection without an answer, `before` or `after` the events are accepted."""

    when: Literal["before", "after"]

    def answer(self, accepted: Accepted) -> Answer:
        """Return the answer that stands for a closed connection: it has no status."""
        return Answer(
            outcome=Outcome.DROPPED,
            status=None,
            accepted=tuple(accepted) if self.when == "after" else (),
            problems=(f"scripted fault: connection dropped {self.when} processing",),
        )


class _AboutEvents(_Fault, kw_only=True):
    """A fault of requests with an event that has one of `event_ids`, or all values in `where`.

    `where` maps paths such as `userData.ip` to values.
    """

    event_ids: frozenset[str] = frozenset()
    where: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Raise a `ValueError` if the fault has neither `event_ids` nor `where`."""
        if not self.event_ids and not self.where:
            msg = "A fault of this kind needs `event_ids` or `where`"
            raise ValueError(msg)

    def matches(self, accepted: Accepted) -> bool:
        """Return whether the fault selects any of these events."""
        return bool(self._selected(accepted))

    def _selected(self, accepted: Accepted) -> list[int]:
        return [index for index, event in accepted.items() if self._selects(event)]

    def _selects(self, event: Event) -> bool:
        return event["eventId"] in self.event_ids or (
            bool(self.where)
            and all(lookup(event, path.split(".")) == value for path, value in self.where.items())
        )


class Refuse(_AboutEvents, kw_only=True, tag="refuse"):
    """Answers 400 to a batch that contains one of the selected events."""

    def answer(self, accepted: Accepted) -> Answer:
        """Return a refusal that names the selected events."""
        rule = "refused by a scripted fault"
        return refuse(400, *(problem(accepted, rule, n) for n in self._selected(accepted)))


class Partial(_AboutEvents, kw_only=True, tag="partial"):
    """Answers 200, accepts all but the selected events; `names` says which IDs the body lists."""

    names: Literal["failed", "processed"] = "failed"

    def answer(self, accepted: Accepted) -> Answer:
        """Return an answer of partial success."""
        selected = self._selected(accepted)
        others = sorted(accepted.keys() - selected)
        named = selected if self.names == "failed" else others
        return Answer(
            outcome=Outcome.PARTIAL,
            status=200,
            accepted=others,
            problems=[problem(accepted, "scripted fault: not processed", n) for n in selected],
            body=msgspec.json.encode([accepted[n]["eventId"] for n in named]),
        )


Fault = Latency | Status | Drop | Refuse | Partial

KINDS: dict[str, type[Fault]] = {kind.__struct_config__.tag: kind for kind in get_args(Fault)}
"""The kinds of faults by their names. The first line of a docstring says what a kind does."""

SWITCHES: Sequence[tuple[str, str, Fault]] = (
    ("Unavailable", "answers 503", Status(status=503, times=None)),
    (
        "Too many requests",
        "429, Retry-After: 2",
        Status(status=429, headers={"Retry-After": "2"}, times=None),
    ),
    ("Token refused", "answers 401", Status(status=401, times=None)),
    ("Slow", "answers 2 s later", Latency(seconds=2, times=None)),
    ("Lost request", "accepts nothing, closes the connection", Drop(when="before", times=None)),
    ("Lost answer", "accepts, closes the connection", Drop(when="after", times=None)),
)
"""The faults that the page switches on and off: the name, the effect, and the fault."""

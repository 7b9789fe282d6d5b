"""What an earlier attempt has delivered is not sent again, with a ledger and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes import event

pytest.importorskip("pyarrow", reason="an extra")

from target_liveintent.spark.skipping import AttemptLedger
from target_liveintent.storage import Claim

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from target_liveintent.conversions import Conversion


class Known:
    """A ledger that knows one event, and one that is on its way elsewhere; and an audit."""

    is_kept = True
    waits_for = "the database"

    def __init__(self) -> None:
        self.calls: list[object] = []

    def claim(self, batches: Mapping[int, Sequence[Conversion]]) -> dict[int, Claim]:
        self.calls.append({n: [one.event_id for one in batch] for n, batch in batches.items()})
        return {
            number: Claim(
                [one for one in batch if one.event_id not in {"known", "elsewhere"}],
                [one for one in batch if one.event_id == "elsewhere"],
                sum(one.event_id == "known" for one in batch),
            )
            for number, batch in batches.items()
        }

    def confirm(self, number: int, confirmed: Sequence[Conversion]) -> None:
        self.calls.append((number, len(confirmed)))

    def end(self, number: int, confirmed: Sequence[Conversion]) -> None:
        self.calls.append(number)

    def write(self) -> None:
        self.calls.append("write")

    def close(self) -> None:
        self.calls.append("close")

    def already_sent(self, conversions: Iterable[Conversion]) -> None:
        self.calls.append([one.event_id for one in conversions])


def test_without_a_ledger() -> None:
    """Events of the same pixel and ID are left out, and copies within the data are not."""
    ledger = AttemptLedger({1: {"old"}, 2: {"new"}}, None, None)
    claims = ledger.claim({0: [event("old"), event("new"), event("new")], 1: [event("old")]})
    assert [one.event_id for one in claims[0].mine] == ["new", "new"]
    assert (claims[0].waiting, claims[0].sent) == ([], 1)
    assert claims[1] == Claim([], [], 1)
    ledger.end(0, [])
    ledger.write()
    ledger.close()
    assert (ledger.is_kept, ledger.waits_for) == (False, "")


def test_with_a_ledger() -> None:
    """It is asked about the others; what it knows is noted, as the audit has no row of it."""
    known = Known()
    ledger = AttemptLedger({1: {"old"}}, known, known)  # type: ignore[arg-type]
    events = [event(name) for name in ("old", "known", "elsewhere", "new")]
    claims = ledger.claim({0: events, 1: [event("old")]})
    assert claims == {0: Claim([events[3]], [events[2]], 2), 1: Claim([], [], 1)}
    ledger.end(0, [])
    ledger.write()
    ledger.close()
    assert known.calls == [{0: ["known", "elsewhere", "new"]}, ["known"], 0, "write", "close"]
    assert (ledger.is_kept, ledger.waits_for) == (True, "the database")

"""The accounts of a run."""

from target_liveintent.run.amounts import (
    Amounts,
    CurrencyFigures,
    amount_words,
    counted,
    currency_lines,
)
from target_liveintent.run.counts import ReservedByOther, RunCounts, StreamCounts
from target_liveintent.run.doubts import count_time
from target_liveintent.run.identification import what_to_do
from target_liveintent.run.parts import Outcomes, RunParts
from target_liveintent.run.replay import ReplayChoice, ReplayConverter, addressee
from target_liveintent.run.run import Run

__all__ = [
    "Amounts",
    "CurrencyFigures",
    "Outcomes",
    "ReplayChoice",
    "ReplayConverter",
    "ReservedByOther",
    "Run",
    "RunCounts",
    "RunParts",
    "StreamCounts",
    "addressee",
    "amount_words",
    "count_time",
    "counted",
    "currency_lines",
    "what_to_do",
]

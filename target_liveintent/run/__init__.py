"""The accounts of a run."""

from target_liveintent.run.amounts import (
    Amounts,
    CurrencyFigures,
    amount_words,
    counted,
    currency_lines,
)
from target_liveintent.run.counts import Elsewhere, RunCounts, StreamCounts
from target_liveintent.run.identification import Identification, what_to_do
from target_liveintent.run.parts import parts_of
from target_liveintent.run.run import Run
from target_liveintent.run.state_gate import Closed

__all__ = [
    "Amounts",
    "Closed",
    "CurrencyFigures",
    "Elsewhere",
    "Identification",
    "Run",
    "RunCounts",
    "StreamCounts",
    "amount_words",
    "counted",
    "currency_lines",
    "parts_of",
    "what_to_do",
]

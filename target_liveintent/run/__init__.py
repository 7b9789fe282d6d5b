"""The accounts of a run."""

from target_liveintent.run.amounts import (
    Amounts,
    CurrencyFigures,
    amount_words,
    counted,
    currency_lines,
)
from target_liveintent.run.copies import Copies
from target_liveintent.run.counts import RunCounts, StreamCounts
from target_liveintent.run.elsewhere import Elsewhere
from target_liveintent.run.identification import what_to_do
from target_liveintent.run.parts import RunParts, parts_of
from target_liveintent.run.run import Run
from target_liveintent.run.state_gate import Closed

__all__ = [
    "Amounts",
    "Closed",
    "Copies",
    "CurrencyFigures",
    "Elsewhere",
    "Run",
    "RunCounts",
    "RunParts",
    "StreamCounts",
    "amount_words",
    "counted",
    "currency_lines",
    "parts_of",
    "what_to_do",
]

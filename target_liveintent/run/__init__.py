"""The accounts of a run."""

from target_liveintent.run.amounts import (
    OTHERS,
    Amount,
    Amounts,
    CurrencyFigures,
    amount_warnings,
    amount_words,
    counted,
    currency_figures,
    currency_lines,
)
from target_liveintent.run.counts import (
    ABSENT,
    ALL_SOURCES,
    FIELDS,
    HOUR,
    NOT_SHOWN,
    ReservedByOther,
    RunCounts,
    StreamCounts,
    add,
)
from target_liveintent.run.identification import what_to_do
from target_liveintent.run.parts import Outcomes, RunParts
from target_liveintent.run.replay import ReplayChoice, ReplayConverter, addressee
from target_liveintent.run.run import Run

__all__ = [
    "ABSENT",
    "ALL_SOURCES",
    "FIELDS",
    "HOUR",
    "NOT_SHOWN",
    "OTHERS",
    "Amount",
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
    "add",
    "addressee",
    "amount_warnings",
    "amount_words",
    "counted",
    "currency_figures",
    "currency_lines",
    "what_to_do",
]

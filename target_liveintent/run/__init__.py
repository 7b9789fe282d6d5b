"""The outcomes of the records of a run, its figures, and which STATE can be written."""

from target_liveintent.run.amounts import (
    OTHERS,
    Amount,
    CurrencyFigures,
    amount_words,
    counted,
    currency_figures,
)
from target_liveintent.run.counts import (
    ALL_SOURCES,
    FIELDS,
    HOUR,
    ReservedByOther,
    RunCounts,
    StreamCounts,
    add,
)
from target_liveintent.run.doubts import (
    idle,
    most_frequent,
    too_many_rejected,
    warnings_of,
    what_to_do,
)
from target_liveintent.run.replay import ReplayChoice, ReplayConverter, addressee
from target_liveintent.run.run import Outcomes, Run, RunParts

__all__ = [
    "ALL_SOURCES",
    "FIELDS",
    "HOUR",
    "OTHERS",
    "Amount",
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
    "amount_words",
    "counted",
    "currency_figures",
    "idle",
    "most_frequent",
    "too_many_rejected",
    "warnings_of",
    "what_to_do",
]

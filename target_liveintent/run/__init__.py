"""The outcomes of the records of a run, its figures, and which STATE can be written."""

from target_liveintent.run.amounts import (
    OTHERS,
    Amount,
    CurrencyFigures,
    counted,
    currency_figures,
    money,
    money_in,
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
    too_many_rejected,
    warnings_of,
    what_to_do,
)
from target_liveintent.run.replay import ReplayChoice, ReplayConverter
from target_liveintent.run.run import TICK, Outcomes, Run, RunParts

__all__ = [
    "ALL_SOURCES",
    "FIELDS",
    "HOUR",
    "OTHERS",
    "TICK",
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
    "counted",
    "currency_figures",
    "money",
    "money_in",
    "too_many_rejected",
    "warnings_of",
    "what_to_do",
]

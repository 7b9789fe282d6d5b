"""The accounts of a run."""

from target_liveintent.run.counts import RunCounts, StreamCounts
from target_liveintent.run.parts import parts_of
from target_liveintent.run.run import Run
from target_liveintent.run.state_gate import Closed

__all__ = [
    "Closed",
    "Run",
    "RunCounts",
    "StreamCounts",
    "parts_of",
]

"""Singer's side: messages in, and the SDK's stream maps."""

from target_liveintent.singer.batch_files import batch_records
from target_liveintent.singer.cli import (
    check_environment,
    environment_settings,
    failure_text,
    make_command,
    print_dead_letters,
    print_explanation,
    readable_failures,
)
from target_liveintent.singer.endings import afterwards, stopped_by, what_waits
from target_liveintent.singer.history import print_health, print_report
from target_liveintent.singer.options import Options, check_options
from target_liveintent.singer.printing import print_lines
from target_liveintent.singer.reader import Message, MessageReader, Record, state_of, stream_of
from target_liveintent.singer.replay import ReplayConverter
from target_liveintent.singer.replay_command import ReplayCommand
from target_liveintent.singer.signals import STOP_SECONDS, StopSignals
from target_liveintent.singer.standard_io import (
    StateOutput,
    check_input,
    check_log,
    check_output,
    input_of,
)
from target_liveintent.singer.stream_maps import StreamMaps, stream_maps_of
from target_liveintent.singer.streams import StreamRegistry
from target_liveintent.singer.validation import RecordValidator

__all__ = [
    "STOP_SECONDS",
    "Message",
    "MessageReader",
    "Options",
    "Record",
    "RecordValidator",
    "ReplayCommand",
    "ReplayConverter",
    "StateOutput",
    "StopSignals",
    "StreamMaps",
    "StreamRegistry",
    "afterwards",
    "batch_records",
    "check_environment",
    "check_input",
    "check_log",
    "check_options",
    "check_output",
    "environment_settings",
    "failure_text",
    "input_of",
    "make_command",
    "print_dead_letters",
    "print_explanation",
    "print_health",
    "print_lines",
    "print_report",
    "readable_failures",
    "state_of",
    "stopped_by",
    "stream_maps_of",
    "stream_of",
    "what_waits",
]

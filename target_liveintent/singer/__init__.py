"""Singer's side: messages in, and the SDK's stream maps."""

from target_liveintent.singer.batch_files import batch_records
from target_liveintent.singer.endings import afterwards, stopped_by, what_waits
from target_liveintent.singer.environment import check_environment, environment_settings
from target_liveintent.singer.explain import explain as explain_input
from target_liveintent.singer.explain import write_config
from target_liveintent.singer.failures import failure_text, readable_failures
from target_liveintent.singer.reader import (
    Message,
    MessageReader,
    decode_object,
    state_of,
    stream_of,
)
from target_liveintent.singer.replaying import Replay, ReplayRequest, letters_of, summary
from target_liveintent.singer.signals import STOP_SECONDS, StopSignals
from target_liveintent.singer.standard_io import (
    StateOutput,
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
    "RecordValidator",
    "Replay",
    "ReplayRequest",
    "StateOutput",
    "StopSignals",
    "StreamMaps",
    "StreamRegistry",
    "afterwards",
    "batch_records",
    "check_environment",
    "check_log",
    "check_output",
    "decode_object",
    "environment_settings",
    "explain_input",
    "failure_text",
    "input_of",
    "letters_of",
    "readable_failures",
    "state_of",
    "stopped_by",
    "stream_maps_of",
    "stream_of",
    "summary",
    "what_waits",
    "write_config",
]

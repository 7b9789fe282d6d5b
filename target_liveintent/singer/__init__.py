"""Singer's side: messages in, and the SDK's stream maps."""

from target_liveintent.singer.batch_files import batch_records
from target_liveintent.singer.explaining import explain as explain_input
from target_liveintent.singer.failures import (
    afterwards,
    failure_text,
    readable_failures,
    stopped_by,
    what_waits,
)
from target_liveintent.singer.proposal import write_config
from target_liveintent.singer.reader import (
    Message,
    MessageReader,
    state_of,
    stream_of,
)
from target_liveintent.singer.replaying import (
    Replay,
    ReplayRequest,
    letters_to_replay,
    summary,
)
from target_liveintent.singer.signals import STOP_SECONDS, StopSignals
from target_liveintent.singer.standard_io import (
    StateOutput,
    check_log,
    check_output,
    input_of,
)
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
    "StreamRegistry",
    "afterwards",
    "batch_records",
    "check_log",
    "check_output",
    "explain_input",
    "failure_text",
    "input_of",
    "letters_to_replay",
    "readable_failures",
    "state_of",
    "stopped_by",
    "stream_of",
    "summary",
    "what_waits",
    "write_config",
]

"""Singer's side: messages in, STATE out, signals, and the commands that read an input."""

from target_liveintent.singer.batch_files import batch_records
from target_liveintent.singer.explaining import explain as explain_input
from target_liveintent.singer.explaining import write_config
from target_liveintent.singer.failures import failure_text, readable_failures
from target_liveintent.singer.process import StateOutput, StopSignals, check_standard_streams
from target_liveintent.singer.reader import Message, MessageReader, state_of
from target_liveintent.singer.replaying import letters_to_replay, replay_letters
from target_liveintent.singer.streams import RecordValidator, StreamRegistry

__all__ = [
    "Message",
    "MessageReader",
    "RecordValidator",
    "StateOutput",
    "StopSignals",
    "StreamRegistry",
    "batch_records",
    "check_standard_streams",
    "explain_input",
    "failure_text",
    "letters_to_replay",
    "readable_failures",
    "replay_letters",
    "state_of",
    "write_config",
]

"""Maps the records of a tap to the columns of an event."""

from target_liveintent.mapping.expressions import FILTER
from target_liveintent.mapping.functions import CURRENCIES
from target_liveintent.mapping.map_checks import (
    absent_streams,
    did_you_mean,
    lacking_for_events,
    map_problems,
    misspelled,
    unused_zone,
)
from target_liveintent.mapping.presets import PRESETS, likely_preset, preset_text
from target_liveintent.mapping.proposals import advise_map, config_text, propose
from target_liveintent.mapping.stream_maps import (
    DELETION_COLUMNS,
    MELTANO_TEST_STREAM,
    RecordConverter,
    Stream,
    StreamMaps,
    StreamPlan,
    stream_maps_of,
)

__all__ = [
    "CURRENCIES",
    "DELETION_COLUMNS",
    "FILTER",
    "MELTANO_TEST_STREAM",
    "PRESETS",
    "RecordConverter",
    "Stream",
    "StreamMaps",
    "StreamPlan",
    "absent_streams",
    "advise_map",
    "config_text",
    "did_you_mean",
    "lacking_for_events",
    "likely_preset",
    "map_problems",
    "misspelled",
    "preset_text",
    "propose",
    "stream_maps_of",
    "unused_zone",
]

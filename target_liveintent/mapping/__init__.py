"""Maps the records of a tap to the columns of an event."""

from target_liveintent.mapping.converter import (
    DELETION_COLUMNS,
    FILTER,
    MELTANO_TEST_STREAM,
    ColumnOrigin,
    MappingFailedError,
    RecordConverter,
    Stream,
    StreamPlan,
)
from target_liveintent.mapping.expressions import Compiler, Expression
from target_liveintent.mapping.functions import CURRENCIES, FUNCTIONS, GET, coalesce
from target_liveintent.mapping.map_checks import dots_advice, map_problems
from target_liveintent.mapping.presets import (
    NULL_VALUES,
    PRESETS,
    expand_presets,
    likely_preset,
    preset_text,
    shipped_columns,
)
from target_liveintent.mapping.proposals import advise_map, config_text, propose
from target_liveintent.mapping.reads import Reads, reads_of
from target_liveintent.mapping.recognition import MAX_SAMPLES
from target_liveintent.mapping.stream_maps import StreamMaps, stream_maps_of
from target_liveintent.mapping.suggestions import (
    absent_streams,
    did_you_mean,
    did_you_mean_stream,
    lacking_for_events,
    nearest,
    settings_to_set,
    unknown_columns,
    unknown_read,
    unknown_reads,
    unused_zone,
)

__all__ = [
    "CURRENCIES",
    "DELETION_COLUMNS",
    "FILTER",
    "FUNCTIONS",
    "GET",
    "MAX_SAMPLES",
    "MELTANO_TEST_STREAM",
    "NULL_VALUES",
    "PRESETS",
    "ColumnOrigin",
    "Compiler",
    "Expression",
    "MappingFailedError",
    "Reads",
    "RecordConverter",
    "Stream",
    "StreamMaps",
    "StreamPlan",
    "absent_streams",
    "advise_map",
    "coalesce",
    "config_text",
    "did_you_mean",
    "did_you_mean_stream",
    "dots_advice",
    "expand_presets",
    "lacking_for_events",
    "likely_preset",
    "map_problems",
    "nearest",
    "preset_text",
    "propose",
    "reads_of",
    "settings_to_set",
    "shipped_columns",
    "stream_maps_of",
    "unknown_columns",
    "unknown_read",
    "unknown_reads",
    "unused_zone",
]

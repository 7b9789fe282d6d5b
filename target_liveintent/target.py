"""The Singer target: the class that performs a run, from its settings to its exit code.

The path of a record: `MessageReader` → `LiveIntentSink.process_record` → `RecordConverter.convert`
→ `Run`, which collects batches and keeps the counts → delivery. The command line is in `cli.py`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import IO, Any, ClassVar

import msgspec
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.helpers.capabilities import PluginCapabilities, TargetCapabilities
from singer_sdk.target_base import Target

from target_liveintent import __version__, config
from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.delivery.client import client_of
from target_liveintent.delivery.pool import delivery_of
from target_liveintent.errors import StorageError
from target_liveintent.failures import Failure
from target_liveintent.mapping.stream_maps import StreamMaps
from target_liveintent.privacy.suppression import Suppressions
from target_liveintent.reporting import history
from target_liveintent.reporting.reporter import RunReporter
from target_liveintent.run import store_warnings
from target_liveintent.run.kinds import REPLAY_RUN, kind_of_run
from target_liveintent.run.replay_converter import ReplayChoice, ReplayConverter
from target_liveintent.run.run import Run, RunParts
from target_liveintent.run_id import new_run_id, run_named
from target_liveintent.singer.batch_files import process_batch
from target_liveintent.singer.exit_codes import failure_of
from target_liveintent.singer.process import StopSignals, write_state
from target_liveintent.singer.reader import Message, MessageReader, state_of
from target_liveintent.singer.replay_input import letters_to_replay, replay_letters
from target_liveintent.singer.streams import RecordRules, StreamRegistry
from target_liveintent.sinks import LiveIntentSink, SkippedSink, needed_columns
from target_liveintent.store.database import Attempts
from target_liveintent.store.opening import open_store
from target_liveintent.system import handle_break, use_one_heap


class TargetLiveIntent(Target):
    """Delivers conversion events to LiveIntent's Conversions API."""  # (`--about` shows this.)

    name = "target-liveintent"
    config_jsonschema = config.SETTINGS_SCHEMA
    capabilities: ClassVar[list[Any]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.BATCH,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.STRUCTURED_LOGGING,
        TargetCapabilities.VALIDATE_RECORDS,
    ]
    message_reader: MessageReader

    def __init__(
        self,
        *,
        run_id: str | None = None,
        replay: ReplayChoice | None = None,
        send_again: bool = False,
        unknown_variables: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        """Create the parts of a run; no environment variable is read.

        Args:
            run_id: The ID of the run; None means a new ID.
            replay: Which dead letters the run sends; None for a run that reads a tap's output.
            send_again: Whether the run also sends events that were delivered before.
            unknown_variables: The names of environment variables that look like settings, but
                belong to no setting.
            kwargs: The arguments of the SDK's `Target`, such as `config`.

        Raises:
            ConfigurationError: If a setting is missing or wrong.
            StorageError: If the store cannot be opened.
        """
        super().__init__(**kwargs)
        for warning in config.setting_warnings(self.config, unknown_variables):
            self.logger.warning(warning)
        if self.config.get("suppression_path", "") is None:  # Such as from an empty template.
            self.logger.warning(
                "setting 'suppression_path' is null, so the run sends events of all people. If you"
                " do not want this, set it to the path or URL of the list of people"
            )
        settings = config.settings_of(self.config, unknown_variables)
        self.run_id = run_id or new_run_id()
        self._replay = replay
        if replay is None:
            kind, then = kind_of_run(settings.limit), "the next run continues from the last STATE"
        else:
            kind, then = REPLAY_RUN, "run the replay again to send the rest"
        self.settings = settings = msgspec.structs.replace(settings, **kind.fixed_settings)
        self._then = then + run_named(self.run_id)
        self._signals = StopSignals(self.logger, self._then)
        attempts = Attempts(
            is_stopped=lambda: self._signals.received is not None, warn=self.logger.warning
        )
        client = client_of(settings, self.logger)
        program = f"{self.name} {__version__}"
        self._reporter = RunReporter(settings, program, self.logger, sys.stderr, run_id=self.run_id)
        delivery = delivery_of(settings.delivery, client, SYSTEM_CLOCK)
        self._store = open_store(
            settings.storage, self.run_id, kind=kind.name, attempts=attempts, send_again=send_again
        )
        now = SYSTEM_CLOCK.time()
        for warning in store_warnings.warnings_at_start(self._store, settings.storage, kind, now):
            self.logger.warning(warning)
        parts = RunParts(
            SYSTEM_CLOCK,
            delivery,
            self._store,
            kind,
            write_state=write_state,
            stop_reading=self._stop_reading,
            on_progress=self._reporter.progress,
        )
        self.run = Run(settings.run, parts)
        self._state: str | None = None  # The last STATE of the input.
        self.message_reader = MessageReader(self.run.tick)
        maps = StreamMaps(settings.stream_maps, settings.stream_map_config, settings.presets)
        self.streams = StreamRegistry(maps, settings.events, self.logger)

    @functools.cached_property
    def _rules(self) -> RecordRules:
        """The rules for records, with the list of people from `suppression_path`.

        The list is read after the run has begun. So a failure because of a wrong list is recorded
        in the history of runs.
        """
        settings, suppressions = self.settings, Suppressions(self.settings.suppression_path)
        for warning in suppressions.warnings:
            self.logger.warning(warning)
        return RecordRules(
            settings.events, suppressions, settings.validate_records, settings.on_rejection
        )

    # Methods of the SDK that do nothing here

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Add no settings, because the schema already has every setting that has an effect."""

    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805 (as in the SDK)
        return {}

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:  # noqa: ARG002
        """Return no problems: `settings_of` checks the settings, and shows no values."""
        return []

    def setup_mapper(self) -> None:
        """Create no mapper, because the `StreamRegistry` applies the stream maps."""

    def _setup_signal_handlers(self) -> None:
        """Install no handlers yet: `process` installs them when the run begins."""

    # The run

    def process(self, file_input: IO[str] | None) -> None:
        """Read an input until its end or a signal, and deliver its events.

        Args:
            file_input: A tap's output; None means standard input. For a replay, dead letters that
                the run first puts into the store; None means no such dead letters.

        Raises:
            RunError: If the run fails.
            SystemExit: If a signal stopped the run. The exit code is 128 plus the signal's number.
        """
        use_one_heap()
        # Records make no reference cycles, and imported modules are needed until the end. So the
        # garbage collector would find nothing, and cost 5 % of a run and 0.06 s at the exit.
        gc.freeze()
        gc.set_threshold(50_000)
        super()._setup_signal_handlers()
        handle_break(self._handle_termination)
        why = None
        try:
            self._read(file_input)
        except BaseException as failure:
            why = failure_of(failure)
            try:
                self.run.abandon(failure)
            except Exception as second:  # noqa: BLE001 (the user must fix the first failure)
                self.logger.warning("a second failure followed: %s", failure_of(second).words)
            if self._signals.received is None:
                raise
            self.logger.warning(why.words)
        finally:
            self._end(why)
            self._signals.close()
        if (number := self._signals.received) is not None:
            self.logger.warning("stopped by %s; %s", signal.Signals(number).name, self._then)
            sys.exit(128 + number)

    def _read(self, file_input: IO[str] | None) -> None:
        """Read an input until its end, a signal, or the limit of events."""
        reader = self.message_reader
        suppressions = self._rules.suppressions  # Even without streams, a wrong list is a failure.
        if self._replay is not None:
            account, events = self.settings.account, self.settings.events
            how = ReplayConverter(account, events, suppressions, self._replay)
            letters = letters_to_replay(file_input, account, events, self._store)
            replay_letters(self.run, how, letters, lambda: reader.stopped)
            return
        # The SDK calls `MessageReader.process_lines`, which calls the methods below.
        self.listen(file_input)
        if self.run.limit_reached:
            # Meltano fails a run whose target stops reading before the tap stops writing.
            reader.drain(file_input, lambda: self._signals.received is None)

    def _end(self, failure: Failure | None) -> None:
        """Report how the run ended, and close the store."""
        number = self._signals.received
        ending = history.Ending(failure, None if number is None else signal.Signals(number).name)
        is_test = self.streams.has_only_test
        if is_test and ending.kind == history.DONE:
            self.logger.info(
                "meltano config test: the settings are valid, and the store can be opened. The test"
                " sent nothing, and left nothing in the store%s",
                run_named(self.run_id),
            )
        else:
            self._reporter.end(self.run.counts, ending, None if is_test else self._store)
        with contextlib.suppress(StorageError):  # The run has already reported the problem.
            self._store.close(forget=is_test)

    def _stop_reading(self) -> None:
        self.message_reader.stopped = True
        said = f"the limit of {self.settings.limit} events (setting 'limit') is reached"
        self.logger.info("%s; %s", said, self._then)

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Record a signal, so that the main loop stops after the current message."""
        if self._signals.note(signum):
            self.message_reader.stopped = True
            self.run.request_stop()

    # Messages

    def _process_schema_message(self, message: Message) -> None:  # type: ignore[override]
        registered = self.streams.register(message)
        if registered is None:
            return
        stream, plans = registered
        sinks = [
            LiveIntentSink(stream, plan, self.run, self._rules)
            if gives_events
            else SkippedSink(plan, self.run)
            for plan, gives_events in plans
        ]
        # From here on, the reader calls `process_record` of each sink for a RECORD of the stream.
        processes = [sink.process_record for sink in sinks]
        self.message_reader.pass_records(stream.name, needed_columns(sinks, stream), *processes)

    def _process_batch_message(self, message: Message) -> None:  # type: ignore[override]
        process_batch(self.message_reader, message)

    def _process_state_message(self, message: Message) -> None:  # type: ignore[override]
        self._state = state_of(message)
        if self.streams.has_events:  # A run without events may still fail at its end.
            self.run.gate.hold(self._state)

    def _process_activate_version_message(self, message: Message) -> None:  # type: ignore[override]
        """Ignore the message: versions of a table do not matter to conversions."""

    def process_endofpipe(self) -> None:
        """Deliver all remaining events at the end of the input.

        Raises:
            StreamMappingError: If records were read, but no stream has events.
        """
        if not self.message_reader.stopped:
            self.streams.warn_at_end()
        if not self.streams.has_events and self.run.counts.total.read > 0:
            self.streams.fail_unmapped()
        if self._state is not None:
            self.run.gate.hold(self._state)
        self.run.finish()

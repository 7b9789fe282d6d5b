"""The target: what the SDK calls for a run, from its settings to its exit code.

The path of a record: `MessageReader` → `LiveIntentSink.process_record` → `RecordConverter.convert`
→ `Run`, which collects batches and keeps the counts → delivery. The command line is in `cli.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import IO, Any, ClassVar

from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.helpers.capabilities import PluginCapabilities, TargetCapabilities
from singer_sdk.target_base import Target

from target_liveintent import config, reporting, singer, store
from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.conversions import DEAD_LETTERS
from target_liveintent.delivery import Client, DryRun, Refusals, delivery_of
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.mapping import Stream, StreamPlan, stream_maps_of
from target_liveintent.printing import print_lines
from target_liveintent.privacy import Suppressions, hide_token
from target_liveintent.run import ReplayConverter, Run, RunParts, counted
from target_liveintent.run_id import new_run_id, run_named
from target_liveintent.singer import Message, MessageReader, ReplayRequest
from target_liveintent.sinks import LiveIntentSink, SkippedSink


class TargetLiveIntent(Target):
    """Delivers conversion events to LiveIntent's Conversions API."""  # (`--about` shows this.)

    name = "target-liveintent"
    config_jsonschema = config.SCHEMA
    default_sink_class = LiveIntentSink
    capabilities: ClassVar[list[Any]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.BATCH,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.STRUCTURED_LOGGING,
        TargetCapabilities.VALIDATE_RECORDS,
    ]
    stop_seconds: ClassVar[float] = singer.STOP_SECONDS
    message_reader: MessageReader

    def __init__(
        self,
        *,
        run_id: str | None = None,
        replay: ReplayRequest | None = None,
        send_again: bool = False,
        **kwargs: Any,
    ) -> None:
        """Make the parts of a run.

        Args:
            run_id: The ID of the run; None for a new one.
            replay: What the command `replay` asks for; None for a run that reads a tap's output.
            send_again: Whether events that were delivered before are sent once more.
            kwargs: The arguments of the SDK's `Target`. No environment variable is read.

        Raises:
            ConfigurationError: If a setting is absent or wrong.
            StorageError: If standard error is closed, or standard output, where STATE goes; or if
                the store cannot be reached.
        """
        super().__init__(**kwargs)
        for warning in config.warnings_of(self.config):
            self.logger.warning(warning)
        self.settings = config.settings_of(self.config)
        if replay is not None:  # It reaches its end whatever the dead letters are like.
            self.settings = dataclasses.replace(
                self.settings, max_dead_letter_percent=100, on_rejection="dead_letter"
            )
        self.run_id = run_id or new_run_id()
        self._replay = replay
        self._then = singer.afterwards(is_replay=replay is not None) + run_named(self.run_id)
        hide_token(self.settings.auth_token)
        singer.check_log()
        if not self.settings.dry_run:
            singer.check_output()
        program = f"{self.name} {self.plugin_version}"
        try:  # Before the store: if a file cannot be read, the run must not create any.
            self._suppressions = Suppressions(self.settings.suppression_path)
            # Also in a dry run: it hides the token in the log.
            client = Client(self.settings)
        except ConfigurationError as failure:
            if replay is None:
                reporting.keep_failure(str(failure), self.settings, self.run_id, program)
            raise
        self._store: store.RunStore | None = None
        output = singer.StateOutput()
        self._signals = singer.StopSignals(
            self.logger,
            lambda: singer.what_waits(output, self._store),
            self._then,
            self.stop_seconds,
        )
        self._reporter = reporting.RunReporter(
            self.settings, program, self.logger, sys.stderr, run_id=self.run_id
        )
        parts = self._parts(client, send_again=send_again)._replace(
            write_state=output.write,
            stop_reading=self._stop_reading,
            on_progress=self._reporter.progress,
        )
        self.run = Run(self.settings, parts)
        self.run.gate.awaits_stream = True
        self.message_reader = MessageReader(self.run.tick)
        self.streams = singer.StreamRegistry(
            stream_maps_of(self.settings),
            self._make_sink,
            self.settings.events,
            self.settings.presets,
            self.logger,
        )

    def _parts(self, client: Client, *, send_again: bool) -> RunParts:
        """Return what the run works with: in a dry run, what neither sends nor writes."""
        settings = self.settings
        if settings.dry_run:
            dry = store.DryStore(
                store.open_for_reading(settings), store.account_of(settings), send_again=send_again
            )
            return RunParts(SYSTEM_CLOCK, DryRun(self.logger, SYSTEM_CLOCK), dry)
        kind = reporting.USUAL if settings.limit is None else reporting.CANARY
        kind = reporting.REPLAY if self._replay else kind
        stopped = self._signals
        waiting = store.Waiting(
            is_stopped=lambda: stopped.received is not None, warn=self.logger.warning
        )
        self._store = opened = store.open_store(
            settings, self.run_id, kind=kind, waiting=waiting, send_again=send_again
        )
        if opened.expired_letters:
            self.logger.warning(
                "%s older than history_days (%d) went out of the store",
                counted(opened.expired_letters, "dead letter"),
                settings.history_days,
            )
        if self._replay is None:
            self._warn_of_another_pixel(opened)
        # An API that accepts nothing may do so as only the bad events are left to be replayed.
        refusals = Refusals(accepted=self._replay is not None)
        return RunParts(SYSTEM_CLOCK, delivery_of(settings, client, SYSTEM_CLOCK, refusals), opened)

    def _warn_of_another_pixel(self, opened: store.RunStore) -> None:
        settings = self.settings
        former = store.former_pixel(
            opened.database, store.account_of(settings), settings.pixel_id, opened.number
        )
        if former is not None:
            self.logger.warning(
                "this is the first run for customer ID %s and pixel %s, but the store knows %s that"
                " runs for customer ID %s and pixel %s have sent. If the input has these events,"
                " they are sent again. If you have changed customer_id or pixel_id by mistake,"
                " stop this run",
                settings.customer_id,
                settings.pixel_id,
                counted(former.events, "event"),
                former.customer_id,
                former.pixel_id,
            )

    # What the SDK must not do by itself

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Add no settings: the schema has all that do something, including those of the SDK."""

    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805 (as in the SDK)
        return {}

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:  # noqa: ARG002
        """Leave the check to `settings_of`, which shows no value."""
        return []

    def setup_mapper(self) -> None:
        """Leave the stream maps to the `StreamRegistry`."""

    def _setup_signal_handlers(self) -> None:
        """Do nothing yet: only `process` can stop a run."""

    # The run

    def process(self, file_input: IO[str] | None) -> None:
        """Read the input (None: standard input) to its end, or to a signal, and deliver it.

        Raises:
            RunError: If not every record that was read has an outcome.
            SystemExit: After a signal, with 128 plus its number.
        """

        def read() -> None:
            self.listen(file_input)
            if self.run.limit_reached and self._signals.received is None:
                # Meltano fails a run whose target stops reading before the tap stops writing.
                self.message_reader.drain(file_input, lambda: self._signals.received is None)

        self._do(read)

    def replay(self) -> None:
        """Deliver the dead letters of the store, or of a file, which is imported first.

        Raises:
            RunError: If not every dead letter that was read has an outcome.
            SystemExit: After a signal, with 128 plus its number.
        """
        assert self._replay is not None  # noqa: S101 (only the command calls this)
        choice, source = self._replay
        left_out = self.run.counts.of(DEAD_LETTERS).left_out
        converter = ReplayConverter(self.settings, self._suppressions, choice, left_out)
        replay = singer.Replay(self.run, converter)
        letters = singer.letters_to_replay(source, self.settings, self._store)
        self._do(lambda: replay.process_all(letters, lambda: self.message_reader.stopped))
        print_lines(singer.summary(self.run.counts))

    def _do(self, read: Callable[[], None]) -> None:
        """Do the run, whose input is read by a function; report on it, and close the store."""
        # Records make no reference cycles, and imported modules stay to the end. So the garbage
        # collector finds nothing; without this, it costs 0.06 s at the exit and 5 % of a run.
        gc.freeze()
        gc.set_threshold(50_000)
        with self._signals as wake:
            super()._setup_signal_handlers()
            self.message_reader.wake = wake
            ending = reporting.Ending(reporting.DONE)
            try:
                read()
            except BaseException as failure:
                ending = reporting.Ending(reporting.FAILED, singer.failure_text(failure))
                self._abandon(failure)
                if self._signals.received is None:
                    raise
                self.logger.warning(ending.message)
            finally:
                self._end(ending)
            if (number := self._signals.received) is not None:
                self.logger.warning("%s; %s", singer.stopped_by(number), self._then)
                sys.exit(128 + number)

    def _abandon(self, failure: BaseException) -> None:
        try:
            self.run.abandon(failure)
        except Exception as second:  # noqa: BLE001 (the user must fix the first one)
            self.logger.warning("a second failure followed: %s", singer.failure_text(second))

    def _end(self, ending: reporting.Ending) -> None:
        """Report how the run ended, and close the store."""
        if (number := self._signals.received) is not None:
            texts = [singer.stopped_by(number), *([ending.message] if ending.message else [])]
            ending = reporting.Ending(reporting.STOPPED, "; ".join(texts))
        if self.streams.has_only_test and ending.kind == reporting.DONE:
            self.logger.info(
                "meltano config test: the settings are right, and the store can be opened. Nothing"
                " was sent, and the store keeps nothing of this test%s",
                run_named(self.run_id),
            )
        else:
            self._reporter.end(self.run.counts, ending, self._store)
        if self._store is not None:
            with contextlib.suppress(StorageError):  # The run has said what is wrong with it.
                self._store.close(forget=self.streams.has_only_test)

    def _stop_reading(self) -> None:
        self.message_reader.stopped = True
        if self._replay is not None:
            then = "The remaining dead letters stay in the store"
        else:
            then = (
                "The run does not read the rest of the input, and writes no STATE. So the next run"
                " reads the whole input again, and sends only the events that this run did not"
                " deliver"
            )
        limit = self.settings.limit
        self.logger.info("the limit of %s events (setting 'limit') is reached. %s", limit, then)

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Note a signal; the main loop stops after the message that it is processing."""
        if self._signals.note(signum):
            self.message_reader.stopped = True
            self.run.request_stop()

    # Messages

    def _make_sink(
        self, stream: Stream, plan: StreamPlan, *, gives_events: bool
    ) -> SkippedSink | LiveIntentSink:
        if not gives_events:
            return SkippedSink(self, stream, plan, self.run, self.settings)
        return LiveIntentSink(self, stream, plan, self.run, self.settings, self._suppressions)

    def _process_schema_message(self, message: Message) -> None:  # type: ignore[override]
        if self.streams.register(message):
            stream = singer.stream_of(message)
            columns = self.streams.columns_of(stream)
            self.message_reader.select_columns(stream, columns, self._process_of(stream))
            if self.streams.has_events:
                self.run.gate.awaits_stream = False

    def _process_of(self, stream: str) -> Callable[[dict[str, Any]], None]:
        """Return what processes the records of a stream: its sink, which is usually one."""
        sinks = self.streams.sinks[stream]
        if len(sinks) == 1:
            return sinks[0].process_record

        def process(record: dict[str, Any]) -> None:
            for sink in sinks:
                sink.process_record(record)

        return process

    def _process_record_message(self, message: Message) -> None:  # type: ignore[override]
        """Refuse a record that came before the SCHEMA of its stream; sinks get all others."""
        self._process_of(singer.stream_of(message))

    def _process_batch_message(self, message: Message) -> None:  # type: ignore[override]
        stream = singer.stream_of(message)
        process = self._process_of(stream)
        for record in singer.batch_records(message.encoding or {}, message.manifest or []):
            process(record)
            self.run.tick()
            if self.message_reader.stopped:
                return

    def _process_state_message(self, message: Message) -> None:  # type: ignore[override]
        self.run.gate.hold(singer.state_of(message))

    def _process_activate_version_message(self, message: Message) -> None:  # type: ignore[override]
        """Ignore the message: versions of a table do not matter to conversions."""

    def process_endofpipe(self) -> None:
        """Deliver everything that was read, if a stream is mapped to events."""
        if not self.message_reader.stopped:
            self.streams.warn_at_end()
        if not self.streams.has_events and self.run.counts.total.read > 0:
            self.streams.fail_unmapped()
        self.run.gate.awaits_stream = False
        self.run.finish()
        self.streams.clean_up()
